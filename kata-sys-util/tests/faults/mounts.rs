//! Mounts and what they are made on, in a mount namespace of their own.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use kata_sys_util::mount::{Mounter, bind_mount_unchecked, bind_remount, create_mount_destination};
use kata_types::mount::Mount;
use nix::mount::MsFlags;
use test_utils::faults::{AllocationFault, Extent, Fault, at_every_allocation, at_every_call};
use test_utils::isolate;
use test_utils::isolation::{Isolation, scratch};
use test_utils::seccomp::{Rule, run_under};

/// Linux 4.10.
const OLD_KERNEL: [Rule; 8] = [
    Rule::fail(428, libc::ENOSYS), // open_tree
    Rule::fail(429, libc::ENOSYS), // move_mount
    Rule::fail(430, libc::ENOSYS), // fsopen
    Rule::fail(431, libc::ENOSYS), // fsconfig
    Rule::fail(432, libc::ENOSYS), // fsmount
    Rule::fail(442, libc::ENOSYS), // mount_setattr
    Rule::fail(457, libc::ENOSYS), // statmount
    Rule::fail(libc::SYS_statx, libc::ENOSYS),
];

/// Ends the names of operations there.
const OLD: &str = ", old kernel";

pub(crate) fn private_mounts() -> Isolation<'static> {
    let (user, mounts) = (libc::CLONE_NEWUSER, libc::CLONE_NEWNS);
    Isolation::new()
        .namespaces(user | mounts)
        .or_namespaces(mounts)
        .tmpfs()
}

/// On this kernel and on an old one.
pub(crate) fn on_kernels(test: impl Fn(&str) + Sync) {
    test("");
    run_under(&OLD_KERNEL, || test(OLD));
}

/// A source with a file, and a target.
pub(crate) struct Place {
    pub(crate) source: PathBuf,
    pub(crate) target: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let (source, target) = (scratch().join("source"), scratch().join("target"));
        for directory in [&source, &target, &scratch().join("source-lower")] {
            fs::create_dir_all(directory).unwrap();
        }
        fs::write(source.join("file"), "text").unwrap();
        Self { source, target }
    }

    fn without_target() -> Self {
        let place = Self::new();
        fs::remove_dir_all(&place.target).unwrap();
        place
    }

    pub(crate) fn with_tmpfs() -> Self {
        let place = Self::new();
        mount_tmpfs(&place.target);
        place
    }

    /// The options of the mount at the target.
    pub(crate) fn mounts(&self) -> Vec<String> {
        let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let fields = table
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>());
        let at_target = fields.filter(|fields| Path::new(fields[4]) == self.target);
        at_target.map(|fields| fields[5].to_owned()).collect()
    }

    fn is_read_only(&self) -> bool {
        self.mounts()
            .iter()
            .any(|options| options.split(',').any(|option| option == "ro"))
    }

    /// Unmounts all, and returns how many there were.
    pub(crate) fn clear(&self) -> usize {
        let count = self.mounts().len();
        for _ in 0..count {
            let target = c_path(&self.target);
            // SAFETY: a string that ends in NUL.
            let result = unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) };
            assert_eq!(result, 0);
        }
        count
    }
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

pub(crate) fn mount_tmpfs(target: &Path) {
    mount_tmpfs_with(target, 0);
}

pub(crate) fn mount_tmpfs_with(target: &Path, flags: libc::c_ulong) {
    let (name, target) = (c"tmpfs".as_ptr(), c_path(target));
    // SAFETY: strings that end in NUL, or null where the kernel allows it.
    let result = unsafe { libc::mount(name, target.as_ptr(), name, flags, std::ptr::null()) };
    assert_eq!(result, 0);
}

/// Whether taking a mount away may have failed. Before Linux 5.8, it takes a look at the mount table.
fn may_stay(operation: &str, fault: Option<&Fault>) -> bool {
    fault.is_some_and(|fault| {
        let is_blind = fault.extent == Extent::EveryCall && operation.ends_with(OLD);
        fault.concerns("umount2") || is_blind
    })
}

/// `mount` makes one mount, of the kind wanted, or none.
fn one_or_none(
    operation: &str,
    prepare: fn() -> Place,
    mount: impl Fn(&Place) -> Result<(), kata_sys_util::mount::Error> + Sync,
    is_right: impl Fn(&Place) -> bool,
) {
    at_every_call(
        operation,
        prepare,
        |place| mount(place),
        |place, mounted, fault| match mounted {
            Ok(()) => {
                assert_eq!(place.mounts().len(), 1);
                assert!(is_right(place));
                place.clear();
            }
            Err(error) => {
                assert!(fault.is_some(), "{error}");
                let left = place.clear();
                assert!(
                    left == 0 || may_stay(operation, fault),
                    "{left} mounts are left after {error}"
                );
            }
        },
    );
    at_every_allocation(
        operation,
        prepare,
        |place| drop(mount(place)),
        |place, end| {
            // Whoever is gone cannot take it away.
            let count = place.mounts().len();
            assert!(count <= 1 && (count == 1 || end != AllocationFault::None));
            // An old kernel has its flags set afterwards.
            let is_set_at_once = end == AllocationFault::None || !operation.ends_with(OLD);
            assert!(count == 0 || !is_set_at_once || is_right(place), "{end:?}");
            place.clear();
        },
    );
}

pub(crate) fn mount_of(source: &Path, fs_type: &str, options: &[&str]) -> Mount {
    Mount {
        source: source.display().to_string(),
        fs_type: fs_type.to_owned(),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    }
}

fn shows_source(place: &Place) -> bool {
    fs::read(place.target.join("file")).is_ok_and(|text| text == b"text")
}

#[test]
fn bind_mount_that_fails_is_taken_away() {
    isolate!(private_mounts());
    on_kernels(|kernel| {
        for (prepare, what) in [
            (Place::new as fn() -> Place, ""),
            (Place::without_target, ", new target"),
        ] {
            for readonly in [false, true] {
                let flag = if readonly {
                    MsFlags::MS_SLAVE
                } else {
                    MsFlags::MS_SHARED
                };
                one_or_none(
                    &format!("bind_mount_unchecked, readonly {readonly}{what}{kernel}"),
                    prepare,
                    |place| bind_mount_unchecked(&place.source, &place.target, readonly, flag),
                    |place| shows_source(place) && place.is_read_only() == readonly,
                );
            }
        }
    });
}

#[test]
fn mount_that_fails_is_taken_away() {
    isolate!(private_mounts());
    on_kernels(|kernel| {
        one_or_none(
            &format!("Mounter, bind{kernel}"),
            Place::new,
            |place| mount_of(&place.source, "", &["rbind", "ro", "rslave"]).mount(&place.target),
            |place| shows_source(place) && place.is_read_only(),
        );
        one_or_none(
            &format!("Mounter, tmpfs{kernel}"),
            Place::new,
            |place| {
                mount_of(
                    Path::new("tmpfs"),
                    "tmpfs",
                    &["nosuid", "size=1m", "private"],
                )
                .mount(&place.target)
            },
            |place| place.mounts()[0].contains("nosuid"),
        );
        one_or_none(
            &format!("Mounter, overlay{kernel}"),
            Place::new,
            |place| {
                let lower = format!("lowerdir={0}:{0}-lower", place.source.display());
                mount_of(Path::new("overlay"), "overlay", &[&lower, "nodev"]).mount(&place.target)
            },
            shows_source,
        );
    });
}

#[test]
fn overlay_of_many_layers_that_fails_is_taken_away() {
    isolate!(private_mounts());
    let base = scratch().join("x".repeat(120));
    let layers: Vec<_> = (0..40).map(|i| base.join(i.to_string())).collect();
    for layer in &layers {
        fs::create_dir_all(layer).unwrap();
        fs::write(layer.join("file"), "text").unwrap();
    }
    let lower: Vec<_> = layers
        .iter()
        .map(|layer| layer.display().to_string())
        .collect();
    let lower = format!("lowerdir={}", lower.join(":"));
    on_kernels(|kernel| {
        one_or_none(
            &format!("Mounter, overlay of more than a page{kernel}"),
            Place::new,
            |place| mount_of(Path::new("overlay"), "overlay", &[&lower]).mount(&place.target),
            shows_source,
        );
    });
}

#[test]
fn remount_that_fails_leaves_the_mount_as_it_was() {
    isolate!(private_mounts());
    on_kernels(|kernel| {
        for readonly in [true, false] {
            let operation = format!("bind_remount, readonly {readonly}{kernel}");
            let prepare = || {
                let place = Place::with_tmpfs();
                if !readonly {
                    bind_remount(&place.target, true).unwrap();
                }
                place
            };
            at_every_call(
                &operation,
                prepare,
                |place| bind_remount(&place.target, readonly),
                |place, remounted, fault| {
                    match remounted {
                        Ok(()) => assert_eq!(place.is_read_only(), readonly),
                        Err(error) => {
                            assert!(fault.is_some(), "{error}");
                            assert_eq!(place.is_read_only(), !readonly);
                        }
                    }
                    assert_eq!(place.clear(), 1);
                },
            );
            at_every_allocation(
                &operation,
                prepare,
                |place| drop(bind_remount(&place.target, readonly)),
                |place, end| {
                    assert!(place.is_read_only() == readonly || end != AllocationFault::None);
                    assert_eq!(place.clear(), 1);
                },
            );
        }
    });
}

#[test]
fn destination_is_of_the_right_kind_or_an_error() {
    isolate!(private_mounts());
    on_kernels(|kernel| {
        for (root, fs_type, is_dir) in [
            (scratch(), "bind", true),
            (scratch(), "tmpfs", true),
            (PathBuf::from("/"), "bind", true),
            (scratch(), "bind", false),
            (PathBuf::from("/"), "bind", false),
        ] {
            let source = |place: &Place| match is_dir {
                true => place.source.clone(),
                false => place.source.join("file"),
            };
            let destination = |place: &Place| place.target.join("a/b");
            let create = |place: &Place| {
                create_mount_destination(source(place), destination(place), &root, fs_type)
                    .map(drop)
            };
            let is_right = |place: &Place| match is_dir {
                true => destination(place).is_dir(),
                false => destination(place).is_file(),
            };
            let operation = format!(
                "create_mount_destination, {fs_type} of {} below {}{kernel}",
                if is_dir { "a directory" } else { "a file" },
                root.display()
            );
            at_every_call(
                &operation,
                Place::without_target,
                |place| create(place),
                |place, created, fault| {
                    match created {
                        Ok(()) => assert!(is_right(place), "{fault:?}"),
                        Err(error) => assert!(fault.is_some(), "{error}"),
                    }
                    create(place).unwrap();
                    assert!(is_right(place), "{fault:?}");
                },
            );
            at_every_allocation(
                &operation,
                Place::without_target,
                |place| drop(create(place)),
                |place, end| {
                    assert!(is_right(place) || end != AllocationFault::None);
                    create(place).unwrap();
                    assert!(is_right(place));
                },
            );
        }
    });
}
