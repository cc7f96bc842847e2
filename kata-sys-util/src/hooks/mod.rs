//! Running OCI hooks
//! ([POSIX-platform hooks](https://github.com/opencontainers/runtime-spec/blob/main/config.md#posix-platform-hooks)
//! of the OCI runtime specification).
//!
//! [`HookStates::execute_hooks`] runs a list of hooks and goes on after failures;
//! [`HookStates::execute_hooks_strict`] stops at the first one, as OCI wants it for all hooks but
//! `poststart` and `poststop`. [`HookStates::execute_hook`] runs one.
//!
//! # What a hook gets
//!
//! | | A hook has |
//! |---|---|
//! | program | its `path`, without a search in `PATH`; a script with `#!` is fine |
//! | arguments | its `args`, of which the first is the program's name; its `path` if there are none |
//! | environment | its `env` and nothing else; entries that [`valid_env`](crate::validate::valid_env) refuses are left out, and of entries with the same key the last one counts |
//! | standard input | the container's state as JSON, and then its end; `/dev/null` without a state |
//! | standard output and error | logged, up to 64 KiB of each; what is beyond that is read and discarded |
//! | other descriptors | none |
//! | signals | all at their default, none blocked |
//! | process group | its own, in the caller's session |
//! | the rest | of the calling thread: namespaces, working directory, umask, credentials, limits, seccomp filter |
//!
//! # How it ends
//!
//! A hook has `timeout` seconds from the call on, 10 if its timeout is absent, zero or negative.
//! When they have passed, the hook and its process group are killed, and the error is of the kind
//! [`TimedOut`](std::io::ErrorKind::TimedOut). All other errors are of the kind
//! [`Other`](std::io::ErrorKind::Other):
//!
//! | Error | What has happened |
//! |---|---|
//! | `path of hook "…" is empty`, `… is not absolute`, `… does not exist` | nothing was run |
//! | `failed to create subprocess for hook "…": CAUSE` | nothing was run, or the program could not be executed |
//! | `hook "…" exit status with N` | another exit status than 0 |
//! | `no exit code for hook "…": Signaled(N)` | it was killed by signal *N* |
//! | `no exit code for hook "…": Undetermined` | its supervisor (see below) was killed |
//! | `wait_timeout for hook "…" failed: CAUSE` | it could not be waited for or be given its whole input, and was killed |
//!
//! As soon as the hook itself has ended, its exit status decides. Processes that it has left behind
//! are not waited for, whether they hold its standard output or not, and they are killed only
//! after a timeout, and only those in its process group. A hook that does not read its input has
//! not failed.
//!
//! # In any process
//!
//! While a hook runs, it is the child of a process that the calling thread makes for the purpose.
//! So its status cannot be lost to another thread that waits for any child, or to `SIGCHLD` being
//! ignored, and its process id cannot become another one's before it is killed. That *supervisor*
//! shares the caller's memory instead of copying it, as after
//! [`vfork(2)`](https://man7.org/linux/man-pages/man2/vfork.2.html): a hook costs the same in a
//! process that maps the memory of a virtual machine. The calling thread is suspended meanwhile,
//! and nobody gets a `SIGCHLD`.
//!
//! SIGPIPE is never sent to the caller, whatever its disposition. No descriptor is open to other
//! programs that the caller starts meanwhile.
//!
//! Everything works on old kernels, without `/proc`, and under a seccomp filter that answers with
//! an error:
//!
//! | Linux | Without it |
//! |---|---|
//! | 5.3 (descriptors of processes that can be polled) | the end of a hook is noticed after up to 5 ms |
//! | 5.1, 6.9 (`pidfd_send_signal`, for groups) | `kill(2)`, which is as safe here |
//! | 5.11 (`close_range`) | descriptors are found in `/proc/self/fd`, or tried one by one |
//! | a second process | the hook is a child of the caller; if another thread reaps it, its status is known since Linux 6.15 (`PIDFD_GET_INFO`), and else `Undetermined` |
//!
//! # Blocking
//!
//! A call blocks for up to the sum of the timeouts. From asynchronous code, use a thread for
//! blocking work, unless the hook needs the namespaces of the calling thread.

mod command;
mod kmsg;
mod process;
mod state;
mod stream;
mod sys;

pub use state::{HookFailure, HookState, HookStates};
