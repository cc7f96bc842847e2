//! Overlays with more layers than fit into a page.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use kata_sys_util::mount::{Error, Mounter};
use kata_types::mount::Mount;
use nix::errno::Errno;
use test_utils::seccomp::{Rule, run_under};

use crate::support::*;

/// Where nothing but compaction is left.
const WITHOUT_CONTEXT: [&[Rule]; 5] = [
    &[Rule::fail(FSOPEN, libc::ENOSYS)],
    &[Rule::fail(FSCONFIG, libc::EPERM)],
    &[Rule::fail(FSMOUNT, libc::EPERM)],
    &[Rule::fail(FSMOUNT, libc::ENOSPC)],
    &[Rule::fail(MOVE_MOUNT, libc::ENOSYS)],
];

fn overlay(options: Vec<String>) -> Mount {
    Mount {
        source: "overlay".to_owned(),
        fs_type: "overlay".to_owned(),
        options,
        ..Mount::default()
    }
}

/// Layers that all have a file `which`, with the name of the layer; the first is the topmost.
struct Layers {
    base: PathBuf,
    names: Vec<String>,
}

impl Layers {
    /// Each path is some `length` bytes long.
    fn new(count: usize, length: usize) -> Self {
        let root = tempfile::tempdir().unwrap().keep();
        let base = root.join("x".repeat(length.saturating_sub(root.as_os_str().len() + 10)));
        let names: Vec<_> = (0..count).map(|i| format!("layer-{i}")).collect();
        for name in &names {
            file(base.join(name).join("which"), name);
            file(base.join(name).join(format!("only-{name}")), "");
        }
        Self { base, names }
    }

    fn lowerdir(&self) -> String {
        let paths = self
            .names
            .iter()
            .map(|n| format!("{}/{n}", self.base.display()));
        format!("lowerdir={}", paths.collect::<Vec<_>>().join(":"))
    }

    /// The directory to write to, and the options of a writable overlay without set-user-ID.
    fn writable(&self) -> (PathBuf, Vec<String>) {
        let (upper, work) = (dir(self.base.join("upper")), dir(self.base.join("work")));
        let options = vec![
            format!("upperdir={}", upper.display()),
            self.lowerdir(),
            format!("workdir={}", work.display()),
            "userxattr".to_owned(),
            "nosuid".to_owned(),
        ];
        (upper, options)
    }

    fn target(&self) -> PathBuf {
        tempfile::tempdir().unwrap().keep()
    }

    #[track_caller]
    fn assert_merged(&self, target: &Path) {
        assert_eq!(
            fs::read_to_string(target.join("which")).unwrap(),
            self.names[0]
        );
        for name in &self.names {
            assert!(target.join(format!("only-{name}")).exists(), "{name}");
        }
    }
}

#[test]
fn overlay_below_a_page_needs_nothing_new() {
    private_mounts!();
    let layers = Layers::new(3, 60);
    on_kernels(|_| {
        let target = layers.target();
        overlay(vec![layers.lowerdir(), "nodev".to_owned()])
            .mount(&target)
            .unwrap();
        layers.assert_merged(&target);
        assert_eq!(entry_at(&target).flags, ["nodev"]);
    });
}

/// With their paths too long for a page, and the names of the layers not.
#[test]
fn overlay_of_200_layers_is_mounted_by_every_kernel() {
    private_mounts!();
    for rules in [&[], WITHOUT_CONTEXT[0]] {
        let layers = Layers::new(200, 150);
        assert!(layers.lowerdir().len() > 4 * 4096);
        let (upper, options) = layers.writable();
        let target = layers.target();
        run_under(rules, || overlay(options).mount(&target)).unwrap();
        layers.assert_merged(&target);
        assert_eq!(entry_at(&target).flags, ["nosuid"]);
        file(target.join("new"), "text");
        assert_eq!(fs::read(upper.join("new")).unwrap(), b"text");
    }
}

#[test]
fn overlay_of_400_layers_is_mounted() {
    private_mounts!();
    if is_older_than((6, 8), "lowerdir+") {
        return;
    }
    let layers = Layers::new(400, 150);
    let (upper, work) = (
        dir(layers.base.join("up,per\\x:y")),
        dir(layers.base.join("work")),
    );
    let escaped = upper
        .to_str()
        .unwrap()
        .replace('\\', "\\\\")
        .replace(',', "\\,");
    let options = vec![
        layers.lowerdir(),
        format!("upperdir={escaped},workdir={}", work.display()),
        "userxattr".to_owned(),
        "noexec".to_owned(),
        "shared".to_owned(),
    ];
    let target = layers.target();
    let link = link(&target, target.with_extension("link"));
    overlay(options).mount(&link).unwrap();
    layers.assert_merged(&target);
    let entry = entry_at(&target);
    assert_eq!(
        (entry.flags, entry.propagation),
        (vec!["noexec".to_owned()], vec!["shared".to_owned()])
    );
    assert_eq!(
        (entry.fs_type.as_str(), entry.source.as_str()),
        ("overlay", "overlay")
    );
    file(target.join("new"), "text");
    assert_eq!(fs::read(upper.join("new")).unwrap(), b"text");
}

#[test]
fn long_paths_go_in_as_descriptors() {
    private_mounts!();
    if is_older_than((6, 13), "overlay layers as descriptors") {
        return;
    }
    let name = "n".repeat(200);
    let base = tempfile::tempdir().unwrap().keep().join(&name).join(&name);
    let layers: Vec<_> = (0..12).map(|i| dir(base.join(i.to_string()))).collect();
    file(layers[11].join("file"), "");
    let (upper, work) = (dir(base.join("up,per\\x")), dir(base.join("work")));
    let lowerdir = layers
        .iter()
        .map(|l| l.to_str().unwrap())
        .collect::<Vec<_>>()
        .join(":");
    let escaped = upper
        .to_str()
        .unwrap()
        .replace('\\', "\\\\")
        .replace(',', "\\,");
    let options = vec![
        format!("lowerdir={lowerdir}"),
        format!("upperdir={escaped}"),
        format!("workdir={}", work.display()),
        "userxattr".to_owned(),
    ];
    let target = dir(env::temp_dir().join("target"));
    overlay(options).mount(&target).unwrap();
    assert!(target.join("file").exists());
    file(target.join("new"), "");
    assert!(upper.join("new").exists());
}

#[test]
fn escaped_names_are_the_same_directories_either_way() {
    private_mounts!();
    let base = dir(env::temp_dir().join(r"co:mm\on"));
    let names = [r"a:b", r"c,d", r"e\f", r"g\:h", "plain"];
    let escaped: Vec<_> = names
        .iter()
        .map(|name| {
            let path = file(base.join(name).join("which"), name)
                .parent()
                .unwrap()
                .to_owned();
            file(path.join(format!("in {name}")), "");
            let path = path.to_str().unwrap();
            path.replace('\\', r"\\")
                .replace(':', r"\:")
                .replace(',', r"\,")
        })
        .collect();
    // Repeated, to be long enough.
    let filler = (0..200).map(|i| dir(base.join(format!("filler-{i}"))));
    let filler = filler.map(|p| p.to_str().unwrap().replace('\\', r"\\").replace(':', r"\:"));
    let lowerdir = escaped
        .into_iter()
        .chain(filler)
        .collect::<Vec<_>>()
        .join(":");
    assert!(lowerdir.len() > 4096);
    let mount = overlay(vec![format!("lowerdir={lowerdir}")]);
    let check = |rules: &[Rule]| {
        let target = tempfile::tempdir().unwrap().keep();
        run_under(rules, || mount.mount(&target)).unwrap();
        assert_eq!(fs::read(target.join("which")).unwrap(), b"a:b");
        for name in names {
            assert!(target.join(format!("in {name}")).exists(), "{name}");
        }
    };
    check(&[]);
    check(WITHOUT_CONTEXT[0]);
}

#[test]
fn without_file_system_contexts_the_common_directory_is_taken_out() {
    private_mounts!();
    for rules in WITHOUT_CONTEXT {
        let layers = Layers::new(60, 120);
        assert!(layers.lowerdir().len() > 4096);
        let (upper, mut options) = layers.writable();
        options.push("shared".to_owned());
        let target = layers.target();
        run_under(rules, || overlay(options).mount(&target)).unwrap();
        layers.assert_merged(&target);
        let entry = entry_at(&target);
        assert_eq!(
            (entry.flags, entry.propagation),
            (vec!["nosuid".to_owned()], vec!["shared".to_owned()])
        );
        let lowerdir = entry.options.iter().find(|o| o.starts_with("lowerdir"));
        if let Some(lowerdir) = lowerdir {
            assert!(lowerdir.starts_with("lowerdir=layer-0"), "{lowerdir}");
        }
        file(target.join("new"), "");
        assert!(upper.join("new").exists());
    }
}

#[test]
fn relative_paths_are_those_of_the_caller() {
    private_mounts!();
    for rules in [&[], WITHOUT_CONTEXT[0]] {
        let layers = Layers::new(200, 60);
        let here = layers.base.parent().unwrap();
        let base = layers.base.file_name().unwrap().to_str().unwrap();
        for name in ["upper", "work", "target"] {
            dir(here.join(name));
        }
        env::set_current_dir(here).unwrap();
        let lowerdir: Vec<_> = layers
            .names
            .iter()
            .map(|n| format!("{base}/.//{n}"))
            .collect();
        let options = vec![
            format!("lowerdir={}", lowerdir.join(":")),
            "upperdir=upper".to_owned(),
            "workdir=./work".to_owned(),
            "userxattr".to_owned(),
        ];
        run_under(rules, || overlay(options).mount("target")).unwrap();
        layers.assert_merged(&here.join("target"));
        file(here.join("target/new"), "");
        assert!(here.join("upper/new").exists());
        assert_eq!(env::current_dir().unwrap(), here);
    }
}

#[test]
fn missing_layer_is_the_reason() {
    private_mounts!();
    let layers = Layers::new(60, 120);
    fs::remove_dir_all(layers.base.join("layer-30")).unwrap();
    let target = layers.target();
    for rules in [&[], WITHOUT_CONTEXT[0]] {
        let result = run_under(rules, || overlay(vec![layers.lowerdir()]).mount(&target));
        assert!(
            matches!(&result, Err(Error::Mount(s, t, Errno::ENOENT)) if s == Path::new("overlay") && *t == target),
            "{result:?}"
        );
        assert!(!is_listed(&target));
    }
    let layers = Layers::new(60, 120);
    let missing = target.join("none");
    for rules in [&[], WITHOUT_CONTEXT[0]] {
        let result = run_under(rules, || overlay(vec![layers.lowerdir()]).mount(&missing));
        assert!(
            matches!(&result, Err(Error::Mount(_, t, Errno::ENOENT)) if *t == missing),
            "{result:?}"
        );
    }
}

#[test]
fn wrong_option_is_the_reason() {
    private_mounts!();
    if is_older_than((6, 8), "lowerdir+") {
        return;
    }
    let layers = Layers::new(60, 120);
    let mount = overlay(vec![layers.lowerdir(), "no-such-option=1".to_owned()]);
    let target = layers.target();
    for rules in [&[], WITHOUT_CONTEXT[0]] {
        let result = run_under(rules, || mount.mount(&target));
        assert!(
            matches!(&result, Err(Error::Mount(_, _, Errno::EINVAL))),
            "{result:?}"
        );
    }
}

#[test]
fn more_layers_than_the_kernel_has_is_an_error() {
    private_mounts!();
    let layers = Layers::new(501, 60);
    let target = layers.target();
    let result = overlay(vec![layers.lowerdir()]).mount(&target);
    // Compacted, it is still too long for an older kernel.
    assert!(
        matches!(
            &result,
            Err(Error::Mount(_, _, Errno::EINVAL) | Error::MountOptionTooBig)
        ),
        "{result:?}"
    );
}

#[test]
fn what_stays_too_big_is_an_error() {
    private_mounts!();
    let too_long = Layers::new(600, 60).lowerdir();
    let nothing_common = format!("lowerdir=/a{0}/1:/b{0}/2", "x".repeat(70_000));
    let data_layers = Layers::new(60, 120).lowerdir().replace(":", "::");
    for lowerdir in [too_long, nothing_common, data_layers] {
        let target = env::temp_dir();
        let mount = overlay(vec![lowerdir]);
        let result = run_under(WITHOUT_CONTEXT[0], || mount.mount(&target));
        assert!(
            matches!(result, Err(Error::MountOptionTooBig)),
            "{result:?}"
        );
    }
}

/// A list that is too long, below `directory`, which compaction has to enter.
fn below(directory: &Path) -> Mount {
    let layers = (0..200).map(|i| format!("{}/layer-{i}", directory.display()));
    overlay(vec![format!(
        "lowerdir={}",
        layers.collect::<Vec<_>>().join(":")
    )])
}

#[test]
fn common_directory_must_be_one() {
    private_mounts!();
    let root = tempfile::tempdir().unwrap().keep();
    let target = dir(root.join("target"));
    let missing = root.join("none/of/these/directories");
    let result = run_under(WITHOUT_CONTEXT[0], || below(&missing).mount(&target));
    assert!(
        matches!(&result, Err(Error::OpenByPath(p, e)) if *p == missing && e.raw_os_error() == Some(libc::ENOENT)),
        "{result:?}"
    );
    let file = file(root.join("a-regular-file-with-a-long-name"), "");
    let result = run_under(WITHOUT_CONTEXT[0], || below(&file).mount(&target));
    assert!(
        matches!(&result, Err(Error::InvalidPath(p)) if *p == file),
        "{result:?}"
    );

    let rules = [
        WITHOUT_CONTEXT[0],
        &[Rule::fail(libc::SYS_statx, libc::EACCES)],
    ]
    .concat();
    let directory = dir(root.join("a-directory-that-cannot-be-looked-at"));
    let result = run_under(&rules, || below(&directory).mount(&target));
    assert!(
        matches!(&result, Err(Error::ReadMetadata(p, e)) if *p == directory && e.raw_os_error() == Some(libc::EACCES)),
        "{result:?}"
    );
}

#[test]
fn thread_that_cannot_start_or_enter_is_an_error() {
    private_mounts!();
    let layers = Layers::new(60, 120);
    let (mount, target) = (overlay(vec![layers.lowerdir()]), layers.target());
    let no_threads = [libc::SYS_clone3, libc::SYS_clone].map(|call| Rule::fail(call, libc::EAGAIN));
    let rules = [WITHOUT_CONTEXT[0], &no_threads].concat();
    let result = run_under(&rules, || mount.mount(&target));
    assert!(matches!(result, Err(Error::Join(_))), "{result:?}");

    let rules = [
        WITHOUT_CONTEXT[0],
        &[Rule::fail(libc::SYS_unshare, libc::EPERM)],
    ]
    .concat();
    let result = run_under(&rules, || mount.mount(&target));
    assert!(
        matches!(result, Err(Error::Mount(_, _, Errno::EPERM))),
        "{result:?}"
    );
    assert!(!is_listed(&target));
}

#[test]
fn failed_propagation_takes_the_overlay_away() {
    private_mounts!();
    let no_slave =
        Rule::fail(libc::SYS_mount, libc::EACCES).if_argument(3, u32::MAX, libc::MS_SLAVE as u32);
    let no_setattr = Rule::fail(MOUNT_SETATTR, libc::EPERM);
    let layers = Layers::new(60, 120);
    for rules in [&[], WITHOUT_CONTEXT[0]] {
        let target = layers.target();
        let mount = overlay(vec![layers.lowerdir(), "slave".to_owned()]);
        let rules = [rules, &[no_slave, no_setattr]].concat();
        let result = run_under(&rules, || mount.mount(&target));
        assert!(
            matches!(&result, Err(Error::Mount(s, _, Errno::EACCES)) if s == Path::new("")),
            "{result:?}"
        );
        assert!(!is_listed(&target));
    }
}

/// 1000 mounts, half of them with a directory of their own to work in, while another thread looks
/// at the working directory all the time.
#[test]
fn working_directory_of_the_process_never_changes() {
    private_mounts!();
    let layers = Layers::new(18, 240);
    assert!(layers.lowerdir().len() > 4096);
    let here = dir(env::temp_dir().join("here"));
    file(here.join("only here"), "");
    env::set_current_dir(&here).unwrap();
    let stop = AtomicBool::new(false);
    let looks = thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut looks = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(env::current_dir().unwrap(), here);
                assert!(fs::exists("only here").unwrap());
                assert!(!fs::exists("layer-0").unwrap());
                looks += 1;
            }
            looks
        });
        let mounted = thread::scope(|scope| {
            let mounters = WITHOUT_CONTEXT[..2].iter().map(|rules| {
                let (layers, target) = (&layers, layers.target());
                scope.spawn(move || {
                    run_under(rules, || {
                        for _ in 0..500 {
                            // One above the other: they go all at once, with the process.
                            overlay(vec![layers.lowerdir()]).mount(&target)?;
                        }
                        Ok::<(), Error>(())
                    })
                })
            });
            let mounters: Vec<_> = mounters.collect();
            mounters.into_iter().map(|m| m.join()).collect::<Vec<_>>()
        });
        stop.store(true, Ordering::Relaxed);
        for result in mounted {
            result.unwrap().unwrap();
        }
        watcher.join().unwrap()
    });
    assert!(looks > 100, "{looks} looks are no watch");
}

#[test]
fn deleted_working_directory_is_no_obstacle() {
    private_mounts!();
    let layers = Layers::new(60, 120);
    let here = dir(env::temp_dir().join("here"));
    env::set_current_dir(&here).unwrap();
    fs::remove_dir(&here).unwrap();
    for rules in [&[], WITHOUT_CONTEXT[0]] {
        let target = layers.target();
        run_under(rules, || overlay(vec![layers.lowerdir()]).mount(&target)).unwrap();
        layers.assert_merged(&target);
    }
    let result = run_under(WITHOUT_CONTEXT[0], || {
        overlay(vec![layers.lowerdir()]).mount("relative")
    });
    assert!(
        matches!(result, Err(Error::Mount(_, _, Errno::ENOENT))),
        "{result:?}"
    );
}
