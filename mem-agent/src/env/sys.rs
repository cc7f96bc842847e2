//! The system calls of this crate, and all of its `unsafe`.

use std::ffi::{CStr, CString, c_int};
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use super::files::c_path;

/// `sysconf(_SC_PAGESIZE)`.
pub(super) fn page_size() -> u64 {
    // SAFETY: sysconf takes a number.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).unwrap_or(4096)
}

/// `statfs(path).f_type`.
pub(super) fn file_system_magic(path: &Path) -> io::Result<i64> {
    let path = c_path(path)?;
    let mut stat = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the path is NUL-terminated, and the kernel fills one structure.
    check(unsafe { libc::statfs(path.as_ptr(), stat.as_mut_ptr()) })?;
    // SAFETY: the call has succeeded, so the structure is filled.
    let stat = unsafe { stat.assume_init() };
    Ok(magic(&stat))
}

/// `fstatfs(file).f_type`.
pub(super) fn file_system_magic_of(file: BorrowedFd<'_>) -> io::Result<i64> {
    let mut stat = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the kernel fills one structure.
    check(unsafe { libc::fstatfs(file.as_raw_fd(), stat.as_mut_ptr()) })?;
    // SAFETY: the call has succeeded, so the structure is filled.
    let stat = unsafe { stat.assume_init() };
    Ok(magic(&stat))
}

#[allow(
    clippy::unnecessary_cast,
    clippy::cast_lossless,
    reason = "the type of `f_type` differs between architectures and libraries"
)]
fn magic(stat: &libc::statfs) -> i64 {
    // All magic numbers have 32 bits; some have the highest one set.
    i64::from(stat.f_type as u32)
}

/// `eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)`.
pub(super) fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: eventfd takes numbers.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    owned(fd)
}

/// Makes an eventfd readable. It can only fail if it is readable already.
pub(super) fn signal_eventfd(event: BorrowedFd<'_>) {
    let one = 1_u64.to_ne_bytes();
    // SAFETY: the kernel reads the eight bytes of `one`.
    unsafe { libc::write(event.as_raw_fd(), one.as_ptr().cast(), one.len()) };
}

/// `poll` until one of `readable` is, or one of `urgent` has a priority event, or for at most
/// `time`. True if there was one of the latter.
pub(super) fn wait_for_any<'a>(
    readable: impl Iterator<Item = BorrowedFd<'a>>,
    urgent: impl Iterator<Item = BorrowedFd<'a>>,
    time: Duration,
) -> bool {
    let event = |fd: BorrowedFd<'_>, events| libc::pollfd {
        fd: fd.as_raw_fd(),
        events,
        revents: 0,
    };
    let mut fds: Vec<libc::pollfd> = readable.map(|fd| event(fd, libc::POLLIN)).collect();
    fds.extend(urgent.map(|fd| event(fd, libc::POLLPRI)));
    let count = libc::nfds_t::try_from(fds.len()).unwrap_or(0);
    let mut timeout = c_int::try_from(time.as_millis()).unwrap_or(c_int::MAX);
    if timeout == c_int::MAX {
        timeout = -1;
    }
    // SAFETY: the kernel reads and writes `count` structures, which are there.
    let ready = unsafe { libc::poll(fds.as_mut_ptr(), count, timeout) };
    ready > 0 && fds.iter().any(|fd| fd.revents & libc::POLLPRI != 0)
}

/// `openat(directory, name, flags | O_CLOEXEC)` of a file that exists.
pub(super) fn open_at(directory: BorrowedFd<'_>, name: &CStr, flags: c_int) -> io::Result<OwnedFd> {
    // SAFETY: the name is NUL-terminated; without O_CREAT no mode is read.
    let fd = unsafe {
        libc::openat(
            directory.as_raw_fd(),
            name.as_ptr(),
            flags | libc::O_CLOEXEC,
        )
    };
    owned(fd)
}

/// A new mount of a file system that is nowhere in the file tree
/// (`fsopen`, `fsconfig`, `fsmount`; Linux 5.2).
pub(super) fn detached_mount(file_system: &CStr) -> io::Result<OwnedFd> {
    const FSOPEN_CLOEXEC: c_int = 1;
    const FSCONFIG_CMD_CREATE: c_int = 6;
    const FSMOUNT_CLOEXEC: c_int = 1;
    const MOUNT_ATTR_NOSUID_NODEV_NOEXEC: c_int = 2 | 4 | 8;

    // SAFETY: the name is NUL-terminated.
    let context = unsafe { libc::syscall(libc::SYS_fsopen, file_system.as_ptr(), FSOPEN_CLOEXEC) };
    let context = owned(c_int::try_from(context).unwrap_or(-1))?;
    let none = std::ptr::null::<libc::c_char>();
    // SAFETY: this command takes no key and no value.
    let created = unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            FSCONFIG_CMD_CREATE,
            none,
            none,
            0,
        )
    };
    check(c_int::try_from(created).unwrap_or(-1))?;
    // SAFETY: fsmount takes numbers.
    let mount = unsafe {
        libc::syscall(
            libc::SYS_fsmount,
            context.as_raw_fd(),
            FSMOUNT_CLOEXEC,
            MOUNT_ATTR_NOSUID_NODEV_NOEXEC,
        )
    };
    owned(c_int::try_from(mount).unwrap_or(-1))
}

/// A child process that has been started here and is reaped here.
pub(super) struct ChildProcess {
    pid: libc::pid_t,
    /// None before Linux 5.3.
    pidfd: Option<OwnedFd>,
}

/// How a child process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChildState {
    Running,
    /// With this status.
    Exited(c_int),
    /// By a signal.
    Killed,
    /// Another thread has waited for any child (D26).
    ReapedByOther,
}

/// Starts a process that writes `bytes` to each of `files`, and exits with 0 or with the number of
/// the first error.
///
/// It shares the table of descriptors, so that none is kept open by it, and sends no SIGCHLD. It ends
/// with the thread that calls this, which may be killed with its process at any time.
pub(super) fn spawn_writer(files: &[BorrowedFd<'_>], bytes: &[u8]) -> io::Result<ChildProcess> {
    // SAFETY: getpid takes nothing.
    let parent = unsafe { libc::getpid() };
    let (pid, pidfd) = match clone3() {
        // Before Linux 5.5, or under a seccomp filter.
        Err(error) if is_unknown_call(&error) => {
            // SAFETY: the child calls nothing but prctl, getppid, write and _exit, which may follow a
            // fork of a process with threads.
            let pid = unsafe { libc::fork() };
            check(pid)?;
            (pid, None)
        }
        result => result?,
    };
    if pid == 0 {
        end_with_thread_of(parent);
        write_and_exit(files, bytes);
    }
    Ok(ChildProcess { pid, pidfd })
}

/// Asks the kernel to kill this process when the thread that has started it ends. Nothing here
/// allocates or locks.
fn end_with_thread_of(parent: libc::pid_t) {
    // SAFETY: prctl takes numbers here.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    // SAFETY: getppid takes nothing.
    let current = unsafe { libc::getppid() };
    // It has ended already; 0 is a parent outside of this PID namespace.
    if current != parent && current != 0 {
        // SAFETY: ends the process at once.
        unsafe { libc::_exit(libc::ESRCH) };
    }
}

/// What the helper process does. Nothing here allocates or locks.
fn write_and_exit(files: &[BorrowedFd<'_>], bytes: &[u8]) -> ! {
    for file in files {
        loop {
            // SAFETY: the kernel reads as many bytes as there are.
            let written =
                unsafe { libc::write(file.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
            if written >= 0 {
                break;
            }
            let errno = io::Error::last_os_error()
                .raw_os_error()
                .unwrap_or(libc::EIO);
            if errno != libc::EINTR {
                // SAFETY: ends the process at once.
                unsafe { libc::_exit(errno) };
            }
        }
    }
    // SAFETY: ends the process at once.
    unsafe { libc::_exit(0) }
}

/// `struct clone_args` of `clone3(2)`, in its first version. The C library's bindings lack it on some
/// architectures.
#[repr(C, align(8))]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
}

/// A copy of this process with the calling thread alone: 0 in the copy.
fn clone3() -> io::Result<(libc::pid_t, Option<OwnedFd>)> {
    /// Handlers of signals are none of the copy's business.
    const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
    const FLAGS: u64 = CLONE_CLEAR_SIGHAND | libc::CLONE_PIDFD as u64 | libc::CLONE_FILES as u64;

    let mut pidfd: c_int = -1;
    // All else is zero: nothing asked for.
    let mut args = CloneArgs {
        flags: FLAGS,
        pidfd: (&raw mut pidfd) as u64,
        ..CloneArgs::default()
    };
    // SAFETY: without CLONE_VM, the copy has memory of its own and goes on from here. The kernel
    // writes one descriptor to where `pidfd` is.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<CloneArgs>()) };
    match libc::pid_t::try_from(pid) {
        Ok(0) => Ok((0, None)),
        Ok(pid) if pid > 0 => Ok((pid, Some(owned(pidfd)?))),
        _ => Err(io::Error::last_os_error()),
    }
}

fn is_unknown_call(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOSYS | libc::EINVAL | libc::EPERM)
    )
}

impl ChildProcess {
    /// Readable when the process has ended.
    pub(super) fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        use std::os::fd::AsFd;
        self.pidfd.as_ref().map(AsFd::as_fd)
    }

    /// Reaps the process if it has ended.
    pub(super) fn state(&self) -> io::Result<ChildState> {
        self.wait(libc::WNOHANG)
    }

    /// `SIGKILL`. No error if the process has ended.
    pub(super) fn kill(&self) -> io::Result<()> {
        let result = match &self.pidfd {
            Some(pidfd) => {
                let none = std::ptr::null::<libc::siginfo_t>();
                // SAFETY: without information of its own, the signal is like one of kill.
                let result = unsafe {
                    libc::syscall(
                        libc::SYS_pidfd_send_signal,
                        pidfd.as_raw_fd(),
                        libc::SIGKILL,
                        none,
                        0,
                    )
                };
                c_int::try_from(result).unwrap_or(-1)
            }
            // SAFETY: kill takes numbers. The process has not been reaped, at least not by us.
            None => unsafe { libc::kill(self.pid, libc::SIGKILL) },
        };
        match check(result) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            result => result,
        }
    }

    /// Leaves nothing of the process behind.
    pub(super) fn kill_and_reap(&self) {
        if self.kill().is_ok() {
            // Whatever it is, it is no child of ours any more.
            let _: io::Result<ChildState> = self.wait(0);
        }
    }

    fn wait(&self, flags: c_int) -> io::Result<ChildState> {
        let (kind, id) = match &self.pidfd {
            Some(pidfd) => (libc::P_PIDFD, libc::id_t::try_from(pidfd.as_raw_fd())),
            None => (libc::P_PID, libc::id_t::try_from(self.pid)),
        };
        let id = id.map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        // SAFETY: `siginfo_t` is numbers; all zero is valid and means "nobody".
        let mut info: libc::siginfo_t = unsafe { MaybeUninit::zeroed().assume_init() };
        loop {
            // SAFETY: the kernel writes one structure.
            let result = unsafe {
                libc::waitid(
                    kind,
                    id,
                    &raw mut info,
                    libc::WEXITED | libc::__WALL | flags,
                )
            };
            match check(result) {
                Ok(()) => break,
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR) => {}
                    Some(libc::ECHILD) => return Ok(ChildState::ReapedByOther),
                    _ => return Err(error),
                },
            }
        }
        // SAFETY: waitid fills this field, or leaves its 0.
        let pid = unsafe { info.si_pid() };
        if pid == 0 {
            return Ok(ChildState::Running);
        }
        if info.si_code != libc::CLD_EXITED {
            return Ok(ChildState::Killed);
        }
        // SAFETY: waitid fills this field for a process that has ended.
        Ok(ChildState::Exited(unsafe { info.si_status() }))
    }
}

/// `inotify_init1(IN_CLOEXEC | IN_NONBLOCK)`.
pub(super) fn inotify() -> io::Result<OwnedFd> {
    // SAFETY: inotify_init1 takes a number.
    owned(unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) })
}

/// Watches a directory for directories that come and go. The number identifies it in events.
pub(super) fn watch_directory(inotify: BorrowedFd<'_>, path: &Path) -> io::Result<c_int> {
    let path: CString = c_path(path)?;
    let mask = libc::IN_CREATE
        | libc::IN_DELETE
        | libc::IN_MOVED_FROM
        | libc::IN_MOVED_TO
        | libc::IN_ONLYDIR
        | libc::IN_DONT_FOLLOW;
    // SAFETY: the path is NUL-terminated.
    let watch = unsafe { libc::inotify_add_watch(inotify.as_raw_fd(), path.as_ptr(), mask) };
    check(watch)?;
    Ok(watch)
}

/// Ends a watch. No matter if the kernel has done so.
pub(super) fn unwatch(inotify: BorrowedFd<'_>, watch: c_int) {
    // SAFETY: inotify_rm_watch takes numbers.
    unsafe { libc::inotify_rm_watch(inotify.as_raw_fd(), watch) };
}

fn owned(fd: c_int) -> io::Result<OwnedFd> {
    check(fd)?;
    // SAFETY: the kernel just returned this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The error of a call that has returned -1.
fn check(result: c_int) -> io::Result<()> {
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::time::Instant;

    use super::*;

    #[test]
    fn file_systems_are_told_apart() {
        const PROC_SUPER_MAGIC: i64 = 0x9fa0;
        assert_eq!(
            file_system_magic(Path::new("/proc")).unwrap(),
            PROC_SUPER_MAGIC
        );
        let file = File::open("/proc/self/status").unwrap();
        assert_eq!(
            file_system_magic_of(file.as_fd()).unwrap(),
            PROC_SUPER_MAGIC
        );
        assert!(file_system_magic(Path::new("/proc/no\0ne")).is_err());
    }

    #[test]
    fn waiting_ends_with_an_event_or_with_time() {
        let event = eventfd().unwrap();
        let none = std::iter::empty;
        assert!(!wait_for_any(
            std::iter::once(event.as_fd()),
            none(),
            Duration::from_millis(1)
        ));
        signal_eventfd(event.as_fd());
        let begin = Instant::now();
        assert!(!wait_for_any(
            std::iter::once(event.as_fd()),
            none(),
            Duration::MAX
        ));
        // It stays readable.
        wait_for_any(
            std::iter::once(event.as_fd()),
            none(),
            Duration::from_secs(3600),
        );
        assert!(begin.elapsed() < Duration::from_secs(3600));
    }

    /// D38: a file system that is nowhere in the file tree.
    #[test]
    fn detached_mount_has_its_files_and_no_place() {
        test_utils::skip_if_no_cap!(CAP_SYS_ADMIN);
        let mount = match detached_mount(c"proc") {
            Ok(mount) => mount,
            // Under a seccomp filter, or in a user namespace that may not see all of proc.
            Err(error) if is_unknown_call(&error) => return println!("INFO: skipping: {error}"),
            Err(error) => panic!("{error}"),
        };
        let mut version = String::new();
        let mut file = File::from(open_at(mount.as_fd(), c"version", libc::O_RDONLY).unwrap());
        file.read_to_string(&mut version).unwrap();
        assert!(version.starts_with("Linux"), "{version}");
        assert!(open_at(mount.as_fd(), c"no such file", libc::O_RDONLY).is_err());
        assert!(detached_mount(c"no such file system").is_err());
    }

    #[test]
    fn writer_reports_its_end_and_can_be_killed() {
        let file = tempfile::tempfile().unwrap();
        let writer = spawn_writer(&[file.as_fd(), file.as_fd()], b"1").unwrap();
        assert_eq!(writer.wait(0).unwrap(), ChildState::Exited(0));
        assert_eq!(file.metadata().unwrap().len(), 2);
        assert_eq!(writer.state().unwrap(), ChildState::ReapedByOther);
        writer.kill().unwrap();

        let read_only = File::open("/proc/self/status").unwrap();
        let writer = spawn_writer(&[read_only.as_fd()], b"1").unwrap();
        assert_eq!(writer.wait(0).unwrap(), ChildState::Exited(libc::EBADF));

        // A write to an eventfd that is full blocks.
        // SAFETY: eventfd takes numbers.
        let full = owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) }).unwrap();
        let most = (u64::MAX - 1).to_ne_bytes();
        // SAFETY: the kernel reads the eight bytes of `most`.
        let written = unsafe { libc::write(full.as_raw_fd(), most.as_ptr().cast(), 8) };
        assert_eq!(written, 8);
        let writer = spawn_writer(&[full.as_fd()], &1_u64.to_ne_bytes()).unwrap();
        assert_eq!(writer.state().unwrap(), ChildState::Running);
        writer.kill().unwrap();
        if let Some(pidfd) = writer.pidfd() {
            wait_for_any(std::iter::once(pidfd), std::iter::empty(), Duration::MAX);
        }
        assert_eq!(writer.wait(0).unwrap(), ChildState::Killed);

        let writer = spawn_writer(&[full.as_fd()], &1_u64.to_ne_bytes()).unwrap();
        writer.kill_and_reap();
        assert_eq!(writer.state().unwrap(), ChildState::ReapedByOther);
    }
}
