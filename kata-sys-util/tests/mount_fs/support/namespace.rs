//! Processes with mounts of their own.

use std::env;
use std::ffi::CStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

use super::{nothing, raw_mount};

/// Marks a process that [`in_parent`] or [`outside`] has started, with the number of namespaces
/// that it is in.
const DEPTH: &str = "KATA_TEST_NAMESPACE_DEPTH";

/// Runs the rest of the test in a process of its own, as root of a new user namespace with a new
/// mount namespace; as real root, without a new user namespace if the kernel does not allow one.
/// There, a tmpfs is mounted on the directory for temporary files, and no mount leaves the
/// namespace.
#[macro_export]
macro_rules! private_mounts {
    () => {
        fn here() {}
        if $crate::support::in_parent(std::any::type_name_of_val(&here)) {
            return;
        }
    };
}

/// After [`private_mounts!`]: mounts with `$prepare`, and runs the rest of the test in another user
/// namespace inside the first, with a copy of the mounts. Their flags are locked there.
#[macro_export]
macro_rules! locked_mounts {
    ($prepare:expr) => {
        if $crate::support::outside(std::any::type_name_of_val(&here), || $prepare) {
            return;
        }
    };
}

/// Whether this is the process of the test run. If so, the test has run in another process, or was
/// skipped.
#[track_caller]
pub(crate) fn in_parent(function: &str) -> bool {
    match env::var(DEPTH).as_deref() {
        Ok("1") => raw_mount("tmpfs", &env::temp_dir(), "tmpfs", 0, "mode=1777"),
        Ok(_) => {}
        Err(_) => {
            let namespaces = [libc::CLONE_NEWUSER | libc::CLONE_NEWNS, libc::CLONE_NEWNS];
            let mut outputs = namespaces
                .iter()
                .map(|n| run_in(*n, test_name(function), "1"));
            let Some(output) = outputs.find_map(Result::ok) else {
                test_utils::skip_if_no_cap!(CAP_SYS_ADMIN, true);
                panic!("no mount namespace in spite of CAP_SYS_ADMIN");
            };
            assert_passed(&output);
            return true;
        }
    }
    false
}

/// Whether this is the process in the outer namespace. If so, the test has run in the inner one.
#[track_caller]
pub(crate) fn outside(function: &str, prepare: impl FnOnce()) -> bool {
    if env::var(DEPTH).as_deref() != Ok("1") {
        return false;
    }
    prepare();
    let test = test_name(function);
    match run_in(libc::CLONE_NEWUSER | libc::CLONE_NEWNS, test, "2") {
        Ok(output) => assert_passed(&output),
        Err(error) => println!("INFO: skipping {test} which needs user namespaces: {error}"),
    }
    true
}

fn test_name(function: &str) -> &str {
    let (_, test) = function.split_once("::").unwrap();
    test.strip_suffix("::here").unwrap()
}

#[track_caller]
fn assert_passed(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    // The first one follows the name of the test on its line.
    for line in text.lines() {
        if let Some(start) = line.find("INFO: ") {
            println!("{}", &line[start..]);
        }
    }
}

/// An error means that the namespaces cannot be had.
fn run_in(namespaces: libc::c_int, test: &str, depth: &str) -> io::Result<Output> {
    // By its path, it may be hidden by a mount.
    let mut command = Command::new("/proc/self/exe");
    command
        .args([
            "--exact",
            test,
            "--test-threads=1",
            "--nocapture",
            "--include-ignored",
        ])
        .env(DEPTH, depth);
    let maps = IdMaps::of_this_process();
    let enter = move || {
        unshare(namespaces)?;
        if namespaces & libc::CLONE_NEWUSER != 0 {
            maps.write()?;
        }
        make_mounts_private()
    };
    // SAFETY: between fork and exec, only system calls are made.
    unsafe { command.pre_exec(enter) };
    command.output()
}

/// A mount namespace for this thread alone.
pub(crate) fn unshare_mounts() {
    unshare(libc::CLONE_NEWNS).unwrap();
}

fn unshare(namespaces: libc::c_int) -> io::Result<()> {
    // SAFETY: unshare takes a number.
    check(unsafe { libc::unshare(namespaces) })
}

fn make_mounts_private() -> io::Result<()> {
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: the strings end in NUL; null is allowed for what the kernel ignores.
    check(unsafe { libc::mount(nothing(), c"/".as_ptr(), nothing(), flags, nothing()) })
}

/// Root in the namespace is who we are outside.
#[derive(Clone)]
struct IdMaps {
    uid: String,
    gid: String,
}

impl IdMaps {
    fn of_this_process() -> Self {
        // SAFETY: geteuid takes no argument and cannot fail.
        let uid = unsafe { libc::geteuid() };
        // SAFETY: getegid takes no argument and cannot fail.
        let gid = unsafe { libc::getegid() };
        Self {
            uid: format!("0 {uid} 1"),
            gid: format!("0 {gid} 1"),
        }
    }

    fn write(&self) -> io::Result<()> {
        write_file(c"/proc/self/setgroups", "deny")?;
        write_file(c"/proc/self/gid_map", &self.gid)?;
        write_file(c"/proc/self/uid_map", &self.uid)
    }
}

fn write_file(path: &CStr, text: &str) -> io::Result<()> {
    // SAFETY: a string that ends in NUL.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
    check(fd)?;
    // SAFETY: the buffer is as long as is said.
    let written = unsafe { libc::write(fd, text.as_ptr().cast(), text.len()) };
    let result = if written < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    };
    // SAFETY: the descriptor is ours, and not used after this.
    unsafe { libc::close(fd) };
    result
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
