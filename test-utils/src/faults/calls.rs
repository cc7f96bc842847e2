//! The system calls that can be made to fail, and with what: errors that the kernel itself may give,
//! by the *ERRORS* sections of the manual pages and by what file systems hand on. The server of a FUSE
//! file system may answer `EINTR` to every question, so also a lookup of a path may end like this.

use std::ffi::{c_int, c_long};

use libc::{EAGAIN, EINTR, EIO, EMFILE, ENOMEM, ENOSPC};

/// A system call, and what it may fail with.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) number: c_long,
    pub(super) name: &'static str,
    pub(super) errors: &'static [c_int],
    /// Only if argument number `.0` has the bits `.2` under the mask `.1`.
    pub(super) argument: Option<(u8, u32, u32)>,
    /// Not in threads and processes that the operation starts.
    pub(super) is_for_own_thread: bool,
}

const OPENS: &[c_int] = &[EMFILE, ENOMEM, EIO, EINTR];
const CREATES: &[c_int] = &[EMFILE, ENOMEM, EIO, ENOSPC, EINTR];
const NEW_DESCRIPTOR: &[c_int] = &[EMFILE, ENOMEM];
const READS: &[c_int] = &[EIO, ENOMEM, EINTR];
const WRITES: &[c_int] = &[EIO, ENOSPC, ENOMEM, EINTR];
const LOOKS_UP: &[c_int] = &[EIO, ENOMEM, EINTR];
const CHANGES_DIRECTORY: &[c_int] = &[EIO, ENOSPC, ENOMEM, EINTR];
const CHANGES_ATTRIBUTES: &[c_int] = &[EIO, ENOSPC, EINTR];
const SYNCS: &[c_int] = &[EIO, ENOSPC, EINTR];
const MOUNTS: &[c_int] = &[EIO, ENOMEM, ENOSPC, EINTR];
const WAITS: &[c_int] = &[EINTR];
const POLLS: &[c_int] = &[EINTR, ENOMEM];
const NEW_PROCESS: &[c_int] = &[EAGAIN, ENOMEM];
const EXECUTES: &[c_int] = &[EIO, ENOMEM, EMFILE, EINTR];
const SENDS: &[c_int] = &[ENOMEM, EINTR];
const NO_MEMORY: &[c_int] = &[ENOMEM];

const fn call(number: c_long, name: &'static str, errors: &'static [c_int]) -> Call {
    Call {
        number,
        name,
        errors,
        argument: None,
        is_for_own_thread: false,
    }
}

const fn call_if(call: Call, index: u8, mask: u32, value: u32) -> Call {
    Call {
        argument: Some((index, mask, value)),
        ..call
    }
}

const fn call_in_own_thread(call: Call) -> Call {
    Call {
        is_for_own_thread: true,
        ..call
    }
}

/// Of aarch64, `libc` has it only in newer releases than we ask for.
#[cfg(target_arch = "aarch64")]
const SENDFILE: c_long = 71;
#[cfg(not(target_arch = "aarch64"))]
const SENDFILE: c_long = libc::SYS_sendfile;

const O_CREAT: u32 = libc::O_CREAT as u32;
const MAP_STACK: u32 = libc::MAP_STACK as u32;
const PROT_NONE: u32 = libc::PROT_NONE as u32;
const DUPLICATE: u32 = libc::F_DUPFD_CLOEXEC as u32;

/// All of them. `close` is not there: it closes the descriptor whatever it returns. Nor are the
/// commands of `fcntl` that make no descriptor: they fail only for a wrong argument. Of memory, only
/// stacks and their guards, as what the allocator asks for is for [`FailingAllocator`] to refuse; and
/// not in new threads, as the standard library panics in one that cannot have its signal stack.
///
/// [`FailingAllocator`]: super::FailingAllocator
pub(super) const CALLS: &[Call] = &[
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_access, "access", LOOKS_UP),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_chmod, "chmod", WRITES),
    call(libc::SYS_clone, "clone", NEW_PROCESS),
    call(libc::SYS_clone3, "clone3", NEW_PROCESS),
    call(libc::SYS_close_range, "close_range", NO_MEMORY),
    call(libc::SYS_copy_file_range, "copy_file_range", WRITES),
    call(libc::SYS_dup, "dup", &[EMFILE]),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_dup2, "dup2", &[EMFILE, EINTR]),
    call(libc::SYS_dup3, "dup3", &[EMFILE, EINTR]),
    call(libc::SYS_epoll_pwait, "epoll_pwait", WAITS),
    call(libc::SYS_execve, "execve", EXECUTES),
    call(libc::SYS_faccessat2, "faccessat2", LOOKS_UP),
    call(libc::SYS_fallocate, "fallocate", WRITES),
    call(libc::SYS_fchdir, "fchdir", LOOKS_UP),
    call(libc::SYS_fchmod, "fchmod", CHANGES_ATTRIBUTES),
    call(libc::SYS_fchmodat, "fchmodat", CHANGES_ATTRIBUTES),
    call_if(
        call(libc::SYS_fcntl, "fcntl", &[EMFILE]),
        1,
        u32::MAX,
        DUPLICATE,
    ),
    call(libc::SYS_fdatasync, "fdatasync", SYNCS),
    call(libc::SYS_flock, "flock", &[EINTR, ENOMEM]),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_fork, "fork", NEW_PROCESS),
    call(431, "fsconfig", MOUNTS),
    call(432, "fsmount", &[EIO, ENOMEM, EMFILE]),
    call(430, "fsopen", NEW_DESCRIPTOR),
    call(libc::SYS_fstat, "fstat", LOOKS_UP),
    call(libc::SYS_fstatfs, "fstatfs", &[EIO, ENOMEM, EINTR]),
    call(libc::SYS_fsync, "fsync", SYNCS),
    call(libc::SYS_ftruncate, "ftruncate", WRITES),
    call(libc::SYS_getdents64, "getdents64", LOOKS_UP),
    call(libc::SYS_ioctl, "ioctl", WRITES),
    call(libc::SYS_linkat, "linkat", CHANGES_DIRECTORY),
    call(libc::SYS_lseek, "lseek", &[EIO, EINTR]),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_lstat, "lstat", LOOKS_UP),
    call(libc::SYS_memfd_create, "memfd_create", NEW_DESCRIPTOR),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_mkdir, "mkdir", CHANGES_DIRECTORY),
    call(libc::SYS_mkdirat, "mkdirat", CHANGES_DIRECTORY),
    call_in_own_thread(call_if(
        call(libc::SYS_mmap, "mmap, MAP_STACK", NO_MEMORY),
        3,
        MAP_STACK,
        MAP_STACK,
    )),
    call(libc::SYS_mount, "mount", MOUNTS),
    call(442, "mount_setattr", MOUNTS),
    call(429, "move_mount", MOUNTS),
    call_in_own_thread(call_if(
        call(libc::SYS_mprotect, "mprotect, PROT_NONE", NO_MEMORY),
        2,
        u32::MAX,
        PROT_NONE,
    )),
    #[cfg(not(any(target_arch = "s390x", target_arch = "powerpc64")))]
    call(libc::SYS_newfstatat, "newfstatat", LOOKS_UP),
    #[cfg(target_arch = "x86_64")]
    call_if(call(libc::SYS_open, "open", OPENS), 1, O_CREAT, 0),
    #[cfg(target_arch = "x86_64")]
    call_if(
        call(libc::SYS_open, "open, O_CREAT", CREATES),
        1,
        O_CREAT,
        O_CREAT,
    ),
    call(428, "open_tree", &[EIO, ENOMEM, ENOSPC, EMFILE, EINTR]),
    call_if(call(libc::SYS_openat, "openat", OPENS), 2, O_CREAT, 0),
    call_if(
        call(libc::SYS_openat, "openat, O_CREAT", CREATES),
        2,
        O_CREAT,
        O_CREAT,
    ),
    call(libc::SYS_openat2, "openat2", OPENS),
    call(libc::SYS_pidfd_open, "pidfd_open", NEW_DESCRIPTOR),
    call(libc::SYS_pipe2, "pipe2", NEW_DESCRIPTOR),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_poll, "poll", POLLS),
    call(libc::SYS_ppoll, "ppoll", POLLS),
    call(libc::SYS_pread64, "pread64", READS),
    call(libc::SYS_pwrite64, "pwrite64", WRITES),
    call(libc::SYS_read, "read", READS),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_readlink, "readlink", LOOKS_UP),
    call(libc::SYS_readlinkat, "readlinkat", LOOKS_UP),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_rename, "rename", CHANGES_DIRECTORY),
    #[cfg(not(any(target_arch = "riscv64", target_arch = "loongarch64")))]
    call(libc::SYS_renameat, "renameat", CHANGES_DIRECTORY),
    call(libc::SYS_renameat2, "renameat2", CHANGES_DIRECTORY),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_rmdir, "rmdir", CHANGES_DIRECTORY),
    call(SENDFILE, "sendfile", WRITES),
    call(libc::SYS_sendmsg, "sendmsg", SENDS),
    call(libc::SYS_sendto, "sendto", SENDS),
    call(libc::SYS_setns, "setns", NO_MEMORY),
    call(libc::SYS_socket, "socket", NEW_DESCRIPTOR),
    call(libc::SYS_socketpair, "socketpair", NEW_DESCRIPTOR),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_stat, "stat", LOOKS_UP),
    call(libc::SYS_statfs, "statfs", &[EIO, ENOMEM, EINTR]),
    call(457, "statmount", NO_MEMORY),
    call(libc::SYS_statx, "statx", LOOKS_UP),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_symlink, "symlink", CHANGES_DIRECTORY),
    call(libc::SYS_symlinkat, "symlinkat", CHANGES_DIRECTORY),
    call(libc::SYS_umount2, "umount2", NO_MEMORY),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_unlink, "unlink", CHANGES_DIRECTORY),
    call(libc::SYS_unlinkat, "unlinkat", CHANGES_DIRECTORY),
    call(libc::SYS_unshare, "unshare", &[ENOMEM, ENOSPC]),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_vfork, "vfork", NEW_PROCESS),
    call(libc::SYS_wait4, "wait4", WAITS),
    call(libc::SYS_waitid, "waitid", WAITS),
    call(libc::SYS_write, "write", WRITES),
    call(libc::SYS_writev, "writev", WRITES),
];

/// The place in [`CALLS`] of a call with these arguments.
pub(super) fn find(number: c_long, arguments: &[u64; 6]) -> Option<usize> {
    CALLS.iter().position(|call| {
        call.number == number
            && call.argument.is_none_or(|(index, mask, value)| {
                let argument = arguments.get(usize::from(index)).copied();
                argument.is_some_and(|argument| argument as u32 & mask == value)
            })
    })
}

/// How the manual pages call an error.
pub(super) fn name_of_error(error: c_int) -> &'static str {
    match error {
        EAGAIN => "EAGAIN",
        EINTR => "EINTR",
        EIO => "EIO",
        EMFILE => "EMFILE",
        ENOMEM => "ENOMEM",
        ENOSPC => "ENOSPC",
        _ => "another error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_sorted_by_name_and_unique() {
        assert!(CALLS.is_sorted_by(|a, b| a.name < b.name));
        let calls = CALLS.iter().map(|call| (call.number, call.argument));
        let mut calls: Vec<_> = calls.collect();
        calls.sort_unstable();
        calls.dedup();
        assert_eq!(calls.len(), CALLS.len());
    }

    #[test]
    fn disk_is_full_only_for_who_creates_a_file() {
        let errors = |flags: c_int| {
            let arguments = [0, 0, flags as u64, 0, 0, 0];
            CALLS[find(libc::SYS_openat, &arguments).unwrap()].errors
        };
        assert_eq!(errors(libc::O_RDONLY | libc::O_CLOEXEC), OPENS);
        assert_eq!(errors(libc::O_WRONLY | libc::O_CREAT), CREATES);
    }

    #[test]
    fn every_error_has_a_name_and_is_listed_once() {
        for call in CALLS {
            assert!(!call.errors.is_empty(), "{}", call.name);
            for (i, error) in call.errors.iter().enumerate() {
                assert_ne!(name_of_error(*error), "another error", "{}", call.name);
                assert!(!call.errors[..i].contains(error), "{}", call.name);
            }
        }
    }

    #[test]
    fn whatever_looks_up_a_path_may_be_interrupted() {
        let interrupted = |call: &&Call| call.errors.contains(&EINTR);
        let names = CALLS.iter().filter(interrupted).map(|call| call.name);
        let names: Vec<_> = names.collect();
        for name in [
            "getdents64",
            "mkdirat",
            "mount",
            "move_mount",
            "newfstatat",
            "open_tree",
            "openat",
            "readlinkat",
            "renameat2",
            "statx",
            "unlinkat",
        ] {
            assert!(names.contains(&name), "{name}");
        }
    }

    #[test]
    fn memory_counts_only_if_it_is_for_a_stack() {
        let stack = |flags: c_int| find(libc::SYS_mmap, &[0, 1, 3, flags as u64, 0, 0]).is_some();
        assert!(stack(libc::MAP_PRIVATE | libc::MAP_STACK));
        assert!(!stack(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS));
        let guard = |access: c_int| find(libc::SYS_mprotect, &[0, 1, access as u64, 0, 0, 0]);
        assert!(guard(libc::PROT_NONE).is_some());
        assert!(guard(libc::PROT_READ | libc::PROT_WRITE).is_none());
    }

    #[test]
    fn fcntl_counts_only_if_it_makes_a_descriptor() {
        let arguments = |command| [3, command, 0, 0, 0, 0];
        let duplicate = libc::F_DUPFD_CLOEXEC as u64;
        assert!(find(libc::SYS_fcntl, &arguments(duplicate)).is_some());
        assert!(find(libc::SYS_fcntl, &arguments(libc::F_GETFL as u64)).is_none());
        assert!(find(libc::SYS_close, &arguments(0)).is_none());
    }
}
