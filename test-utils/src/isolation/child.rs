//! How the process of an isolated test is started.

use std::cmp::Reverse;
use std::env;
use std::ffi::{CStr, CString, OsString, c_int};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::ptr;

use super::{LEVEL, SCRATCH, command_of_test, unshare};
use crate::mountinfo;
use crate::seccomp::{Filter, Rule};
use crate::sys::{c_path, check};

/// What a process gets.
pub(super) struct Surroundings<'a> {
    pub(super) level: u32,
    pub(super) tmpfs: bool,
    pub(super) rules: &'a [Rule],
}

/// Why there is no process.
#[derive(Debug)]
pub(super) enum Failure {
    /// The machine or the user does not allow these namespaces.
    NoNamespaces(io::Error),
    /// Anything else, which must not be taken for the former.
    Other(io::Error),
}

impl Surroundings<'_> {
    pub(super) fn run(&self, test: &str, namespaces: c_int) -> Result<Output, Failure> {
        let scratch = Scratch::new().map_err(Failure::Other)?;
        let entry = self.entry(namespaces, &scratch).map_err(Failure::Other)?;
        let mut command = command_of_test(test);
        command
            .env(LEVEL, self.level.to_string())
            .env(SCRATCH, &scratch.0);
        // SAFETY: between fork and exec, it makes system calls only.
        unsafe { command.pre_exec(move || entry.enter()) };
        command.output().map_err(failure)
    }

    fn entry(&self, namespaces: c_int, scratch: &Scratch) -> io::Result<Entry> {
        Ok(Entry {
            namespaces,
            maps: IdMaps::of_this_process(),
            tmpfs: match self.tmpfs {
                true => Some((c_path(&env::temp_dir())?, c_path(&scratch.0)?)),
                false => None,
            },
            filter: Filter::new(self.rules)?,
        })
    }
}

/// What a process does before it becomes the test binary. All memory is there before `fork`.
struct Entry {
    namespaces: c_int,
    maps: IdMaps,
    /// Where to mount it, and the directory to make in it.
    tmpfs: Option<(CString, CString)>,
    filter: Filter,
}

impl Entry {
    fn enter(&self) -> io::Result<()> {
        self.enter_namespaces().map_err(Step::Namespaces.failed())?;
        self.mount().map_err(Step::Mounts.failed())?;
        self.filter.install().map_err(Step::Filter.failed())
    }

    fn enter_namespaces(&self) -> io::Result<()> {
        if self.namespaces != 0 {
            unshare(self.namespaces)?;
        }
        if self.namespaces & libc::CLONE_NEWUSER != 0 {
            self.maps.write()?;
        }
        Ok(())
    }

    fn mount(&self) -> io::Result<()> {
        if self.namespaces & libc::CLONE_NEWNS != 0 {
            mount(None, c"/", libc::MS_REC | libc::MS_PRIVATE, None)?;
        }
        if let Some((directory, scratch)) = &self.tmpfs {
            mount(Some(c"tmpfs"), directory, 0, Some(c"mode=1777"))?;
            // SAFETY: a string that ends in NUL, and a number.
            check(unsafe { libc::mkdir(scratch.as_ptr(), 0o700) })?;
        }
        Ok(())
    }
}

/// What an [`Entry`] was doing when it failed. The parent is told one number alone, so that of the
/// step goes above that of the error.
#[derive(Clone, Copy, Debug)]
enum Step {
    Namespaces = 1,
    Mounts = 2,
    Filter = 3,
}

const STEP_SHIFT: u32 = 16;

impl Step {
    fn failed(self) -> impl Fn(io::Error) -> io::Error {
        move |error| {
            let number = error.raw_os_error().unwrap_or(libc::EINVAL);
            io::Error::from_raw_os_error((self as c_int) << STEP_SHIFT | number)
        }
    }
}

/// What `unshare(2)` and the files of `user_namespaces(7)` answer where there are no such namespaces,
/// no more of them, or none for this user.
const NO_NAMESPACES: [c_int; 5] = [
    libc::EPERM,
    libc::EINVAL,
    libc::ENOSPC,
    libc::EUSERS,
    libc::ENOSYS,
];

/// The failure that the error of a command stands for, whose [`Entry`] may have failed.
fn failure(error: io::Error) -> Failure {
    let Some(number) = error.raw_os_error() else {
        return Failure::Other(error);
    };
    let step = number >> STEP_SHIFT;
    let error = io::Error::from_raw_os_error(number & ((1 << STEP_SHIFT) - 1));
    let at = |what: &str| Failure::Other(io::Error::new(error.kind(), format!("{what}: {error}")));
    match step {
        _ if step == Step::Namespaces as c_int => match error.raw_os_error() {
            Some(number) if NO_NAMESPACES.contains(&number) => Failure::NoNamespaces(error),
            _ => at("enter the namespaces"),
        },
        _ if step == Step::Mounts as c_int => at("mount in the new namespace"),
        _ if step == Step::Filter as c_int => at("install the seccomp filter"),
        _ => Failure::Other(error),
    }
}

/// Root in the user namespace is who we are outside.
struct IdMaps {
    uid: String,
    gid: String,
}

impl IdMaps {
    fn of_this_process() -> Self {
        // SAFETY: geteuid takes nothing and cannot fail.
        let uid = unsafe { libc::geteuid() };
        // SAFETY: getegid takes nothing and cannot fail.
        let gid = unsafe { libc::getegid() };
        Self {
            uid: format!("0 {uid} 1"),
            gid: format!("0 {gid} 1"),
        }
    }

    fn write(&self) -> io::Result<()> {
        // Else, an ordinary user may not write the second map (user_namespaces(7)).
        write_file(c"/proc/self/setgroups", "deny")?;
        write_file(c"/proc/self/gid_map", &self.gid)?;
        write_file(c"/proc/self/uid_map", &self.uid)
    }
}

/// An empty directory.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> io::Result<Self> {
        let parent = env::temp_dir();
        let template = c_path(&parent.join("kata-test-XXXXXX"))?.into_raw();
        // SAFETY: a string that ends in NUL and in six X, and may be written.
        let made = unsafe { libc::mkdtemp(template) };
        let made = match made.is_null() {
            true => Err(io::Error::last_os_error()),
            false => Ok(()),
        };
        let made = made.map_err(|error| {
            let what = format!("make a directory in {}: {error}", parent.display());
            io::Error::new(error.kind(), what)
        });
        // SAFETY: it is the string from above, as long as before.
        let path = unsafe { CString::from_raw(template) };
        made?;
        Ok(Self(OsString::from_vec(path.into_bytes()).into()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A test that has failed may have left mounts, which are not ours to empty. What stays is for
        // whoever cleans up temporary files.
        if unmount_below(&self.0).is_ok() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// Takes away all mounts at or below a directory.
fn unmount_below(directory: &Path) -> io::Result<()> {
    let directory = fs::canonicalize(directory)?; // as in the table
    loop {
        let table = mountinfo::read()?;
        let mut points: Vec<_> = mountinfo::mounts(&table).map(|(point, _)| point).collect();
        points.retain(|point| point.starts_with(&directory));
        if points.is_empty() {
            return Ok(());
        }
        points.sort_by_key(|point| Reverse(point.as_os_str().len())); // the deepest first
        // One that is hidden by another comes in a later round.
        let results: Vec<_> = points.iter().map(|point| detach(point)).collect();
        if results.iter().all(Result::is_err) {
            return results.into_iter().collect();
        }
    }
}

/// `umount2(2)`, also of what is in use.
fn detach(point: &Path) -> io::Result<()> {
    let point = c_path(point)?;
    // SAFETY: a string that ends in NUL, and a number.
    check(unsafe { libc::umount2(point.as_ptr(), libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW) })
}

/// A tmpfs, or other flags for the mount that is there.
fn mount(
    fs_type: Option<&CStr>,
    target: &CStr,
    flags: libc::c_ulong,
    data: Option<&CStr>,
) -> io::Result<()> {
    let pointer = |text: Option<&CStr>| text.map_or(ptr::null(), CStr::as_ptr);
    let (fs_type, data) = (pointer(fs_type), pointer(data));
    // SAFETY: strings that end in NUL, or null where the kernel allows it.
    check(unsafe { libc::mount(fs_type, target.as_ptr(), fs_type, flags, data.cast()) })
}

fn write_file(path: &CStr, text: &str) -> io::Result<()> {
    // SAFETY: a string that ends in NUL.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
    check(fd)?;
    // SAFETY: the buffer is as long as is said.
    let written = unsafe { libc::write(fd, text.as_ptr().cast(), text.len()) };
    let result = check(if written < 0 { -1 } else { 0 });
    // SAFETY: the descriptor is ours, and not used after this.
    unsafe { libc::close(fd) };
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolation::{Isolation, scratch};
    use crate::seccomp::run_under;

    #[test]
    fn scratch_is_an_empty_directory_of_its_own_until_it_is_dropped() {
        let (a, b) = (Scratch::new().unwrap(), Scratch::new().unwrap());
        assert_ne!(a.0, b.0);
        let path = a.0.clone();
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
        fs::create_dir(path.join("d")).unwrap();
        fs::write(path.join("d/file"), "").unwrap();
        drop(a);
        assert!(!path.exists());
        assert!(b.0.exists());
    }

    fn mount_namespace() -> Isolation<'static> {
        let (mounts, user) = (libc::CLONE_NEWNS, libc::CLONE_NEWUSER);
        Isolation::new()
            .namespaces(mounts)
            .or_namespaces(mounts | user)
            .tmpfs()
    }

    fn bind(from: &Path, to: &Path) {
        let [from, to] = [from, to].map(|path| c_path(path).unwrap());
        let (flags, none) = (libc::MS_BIND, ptr::null());
        // SAFETY: strings that end in NUL, and nothing else.
        let result = unsafe { libc::mount(from.as_ptr(), to.as_ptr(), none, flags, none.cast()) };
        check(result).unwrap();
    }

    /// A directory of the machine, with a file in it.
    fn foreign() -> (PathBuf, PathBuf) {
        let directory = scratch().join("foreign");
        fs::create_dir_all(directory.join("sub")).unwrap();
        let file = directory.join("sub/file");
        fs::write(&file, "").unwrap();
        (directory, file)
    }

    #[test]
    fn what_is_mounted_below_scratch_outlives_it() {
        crate::isolate!(mount_namespace());
        let (directory, file) = foreign();
        for points in [
            &["plain"][..],
            &["with space\\and\ttab\n"],
            &[".", "."],                // on itself, twice
            &["one", "one/sub", "one"], // the last one hides the others
            &["a", "ab", "a/sub", "a-longer one"],
        ] {
            let made = Scratch::new().unwrap();
            let path = made.0.clone();
            let beside = PathBuf::from(format!("{}-beside", path.display()));
            fs::create_dir(&beside).unwrap();
            bind(&directory, &beside);
            for point in points {
                let point = path.join(point);
                fs::create_dir_all(&point).unwrap();
                bind(&directory, &point);
            }
            drop(made);
            assert!(file.exists(), "{points:?}");
            assert!(!path.exists(), "{points:?}");
            assert!(beside.join("sub/file").exists(), "{points:?}");
        }
    }

    #[test]
    fn scratch_with_a_mount_that_stays_is_left_alone() {
        crate::isolate!(mount_namespace());
        let (directory, file) = foreign();
        let made = Scratch::new().unwrap();
        let point = made.0.join("point");
        fs::create_dir(&point).unwrap();
        bind(&directory, &point);
        run_under(&[Rule::fail(libc::SYS_umount2, libc::EPERM)], || drop(made));
        assert!(file.exists());
        assert!(point.join("sub/file").exists());
    }

    #[test]
    fn only_namespaces_that_are_not_to_be_had_count_as_such() {
        let is_lack = |step: Option<Step>, number| {
            let error = io::Error::from_raw_os_error(number);
            let error = match step {
                Some(step) => step.failed()(error),
                None => error,
            };
            match failure(error) {
                Failure::NoNamespaces(error) => {
                    assert_eq!(error.raw_os_error(), Some(number));
                    true
                }
                Failure::Other(error) => {
                    let plain = io::Error::from_raw_os_error(number).to_string();
                    assert!(error.to_string().ends_with(&plain), "{error}");
                    false
                }
            }
        };
        for number in NO_NAMESPACES {
            assert!(is_lack(Some(Step::Namespaces), number), "{number}");
            for step in [None, Some(Step::Mounts), Some(Step::Filter)] {
                assert!(!is_lack(step, number), "{step:?} {number}");
            }
        }
        for number in [libc::ENOENT, libc::EACCES, libc::ENOMEM, libc::EAGAIN] {
            for step in [None, Some(Step::Namespaces)] {
                assert!(!is_lack(step, number), "{step:?} {number}");
            }
        }
        assert!(matches!(
            failure(io::ErrorKind::InvalidInput.into()),
            Failure::Other(_)
        ));
    }
}
