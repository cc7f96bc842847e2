//! Fault injection: an operation again and again, with one system call or one allocation after the
//! other failing.
//!
//! [`at_every_call`] runs an operation once for every system call that it makes, and every error
//! that the kernel may give there: `EMFILE`, `ENOMEM`, `EIO`, `ENOSPC`, `EINTR`, `EAGAIN`. Each time,
//! it must end, without a panic, and give back its descriptors, children and mounts; what else is to
//! be true is for the test to say. [`at_every_allocation`] does the same with memory.
//!
//! The calls of the operation's thread, and of what it starts, are counted by a *supervisor* that
//! the kernel asks before each of them
//! ([`seccomp_unotify(2)`](https://man7.org/linux/man-pages/man2/seccomp_unotify.2.html), Linux 5.5),
//! so that no privilege is needed and nothing of the operation is replaced. Programs that it executes
//! are left alone.
//!
//! ```
//! use std::fs;
//! use test_utils::faults::at_every_call;
//! use test_utils::isolate;
//! use test_utils::isolation::{Isolation, scratch};
//!
//! fn file_is_never_lost() {
//!     isolate!(Isolation::new()); // descriptors of other tests are not ours
//!     let path = scratch().join("file");
//!     at_every_call(
//!         "replace a file",
//!         || fs::write(&path, "old").unwrap(),
//!         |()| {
//!             let new = path.with_extension("new");
//!             fs::write(&new, "new").and_then(|()| fs::rename(&new, &path))
//!         },
//!         |(), result, _fault| {
//!             let expected = if result.is_ok() { "new" } else { "old" };
//!             assert_eq!(fs::read_to_string(&path).unwrap(), expected);
//!         },
//!     );
//! }
//! # // A documentation test is not run by libtest, which is to run it again.
//! # let _ = file_is_never_lost;
//! ```

mod calls;
mod memory;
mod resources;
mod supervisor;

use std::collections::BTreeMap;
use std::env;
use std::ffi::c_int;
use std::fmt::{self, Display};
use std::thread;

use calls::{CALLS, name_of_error};
pub use memory::{AllocationFault, FailingAllocator, at_every_allocation};
use resources::Resources;
use supervisor::{Seen, Worker};

use crate::isolation::SCRATCH;
use crate::skip::{Need, announce};

/// More calls of a kind than any operation makes: one that goes on for ever after a fault.
const MOST_CALLS: u32 = 5000;

/// What goes wrong while an operation runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// The name of a system call: `openat`; `openat, O_CREAT` for one that may create a file.
    pub call: &'static str,
    /// Which of these calls fails first, from 1.
    pub nth: u32,
    /// The error number that it gets. It has no effect otherwise.
    pub error: c_int,
    /// What fails after it.
    pub extent: Extent,
}

/// For how long something goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    /// For one call.
    Once,
    /// For that call and all later ones of the same name.
    SameCall,
    /// For that call and all later ones that may fail with the same error: the disk is broken, the
    /// descriptors or the memory have run out. Cleaning up fails as well.
    EveryCall,
}

impl Fault {
    /// Whether this call may have failed.
    ///
    /// ```
    /// use test_utils::faults::{at_every_call, Fault};
    ///
    /// // A temporary file may stay if it could not be removed.
    /// fn may_stay(fault: Option<&Fault>) -> bool {
    ///     fault.is_some_and(|fault| fault.concerns("unlink"))
    /// }
    /// assert!(!may_stay(None));
    /// ```
    pub fn concerns(&self, call: &str) -> bool {
        let listed = || CALLS.iter().find(|listed| listed.name == call);
        self.call == call
            || (self.extent == Extent::EveryCall
                && listed().is_some_and(|listed| listed.errors.contains(&self.error)))
    }
}

/// For messages: `openat number 2 fails with EMFILE, and so do all later ones`.
impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (call, nth, error) = (self.call, self.nth, name_of_error(self.error));
        write!(f, "{call} number {nth} fails with {error}")?;
        f.write_str(match self.extent {
            Extent::Once => "",
            Extent::SameCall => ", and so do all later ones",
            Extent::EveryCall => ", and so does every later call that may",
        })
    }
}

/// Runs an operation without a fault, and then with every [`Fault`] that it can meet.
///
/// Each time, `prepare` makes what `act` works on, and `check` looks at both and at the result:
/// without a fault, the operation is meant to succeed; with one, a success must be a true one. Only
/// `act` meets the fault. Afterwards, when the state and the result are dropped, the process must
/// have the same descriptors, no child, and the same mounts below
/// [`scratch`](crate::isolation::scratch).
///
/// The process must not do anything else meanwhile: see [`isolate!`](crate::isolate). If the kernel
/// cannot do it, the test is skipped, unless `KATA_TEST_STRICT` has the word `faults`. How many faults
/// there were is printed as a line that begins with `INFO: faults`.
///
/// # Panics
///
/// With `prepare`, `act` or `check`, if something is not given back or `/proc` does not tell whether
/// it is, and if the operation makes no system call that can fail. An operation that neither ends nor makes a call for a minute aborts the
/// process.
#[expect(clippy::panic, reason = "the test fails")]
pub fn at_every_call<S: Send, T: Send>(
    operation: &str,
    mut prepare: impl FnMut() -> S,
    act: impl Fn(&mut S) -> T + Sync,
    mut check: impl FnMut(&mut S, T, Option<&Fault>),
) {
    thread::scope(|scope| {
        let worker = match Worker::start(scope, &act) {
            Ok(worker) => worker,
            Err(error) => {
                let what = format_args!(
                    "faults in {operation} which need a supervisor for system calls: {error}"
                );
                return announce(Need::Faults, what);
            }
        };
        let directory = env::var(SCRATCH).ok();
        let resources = || match Resources::now(directory.as_deref()) {
            Ok(resources) => resources,
            Err(error) => panic!("{operation}: what it gives back cannot be seen: {error}"),
        };
        let before = resources();
        run_all(operation, |fault| {
            let _context = Context::new(operation, fault);
            let (mut state, result, seen) = match worker.run(prepare(), fault) {
                Ok(outcome) => outcome,
                Err(error) => panic!("{operation}: the supervisor failed: {error}"),
            };
            check(&mut state, result, fault.filter(|_| seen.is_hit));
            drop(state);
            let changes = resources().changes_since(&before);
            assert!(changes.is_empty(), "{operation}: {changes}");
            seen
        });
    });
}

/// Lets the operation meet nothing, and then every fault.
fn run_all(operation: &str, mut attempt: impl FnMut(Option<&Fault>) -> Seen) {
    let calls = attempt(None).calls();
    assert!(!calls.is_empty(), "{operation} makes no call that can fail");
    let mut hits = BTreeMap::new();
    for call in calls.iter().filter_map(|place| CALLS.get(*place)) {
        for error in call.errors {
            // Interrupted again and again, an operation may go on for ever.
            let extents = match *error {
                libc::EINTR => &[Extent::Once][..],
                _ => &[Extent::Once, Extent::SameCall, Extent::EveryCall],
            };
            for extent in extents {
                for nth in 1.. {
                    assert!(nth <= MOST_CALLS, "{operation}: {} never ends", call.name);
                    let fault = Fault {
                        call: call.name,
                        nth,
                        error: *error,
                        extent: *extent,
                    };
                    if !attempt(Some(&fault)).is_hit {
                        break;
                    }
                    *hits.entry((call.name, *error)).or_insert(0_u32) += 1;
                }
            }
        }
    }
    report(operation, &hits);
}

#[expect(clippy::print_stdout, reason = "for the output of the test")]
fn report(operation: &str, hits: &BTreeMap<(&str, c_int), u32>) {
    let total: u32 = hits.values().sum();
    let list: Vec<String> = hits
        .iter()
        .map(|((call, error), count)| format!("{call} {} {count}", name_of_error(*error)))
        .collect();
    println!("INFO: faults in {operation}: {total}: {}", list.join(", "));
}

/// Tells which fault it was if the test fails.
struct Context(String);

impl Context {
    fn new(operation: &str, fault: Option<impl Display>) -> Self {
        Self(match fault {
            Some(fault) => format!("in {operation}: {fault}"),
            None => format!("in {operation}, without a fault"),
        })
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_reads_as_a_sentence_and_concerns_what_it_says() {
        let mut fault = Fault {
            call: "unlinkat",
            nth: 2,
            error: libc::EIO,
            extent: Extent::Once,
        };
        assert_eq!(fault.to_string(), "unlinkat number 2 fails with EIO");
        assert!(fault.concerns("unlinkat") && !fault.concerns("openat"));
        fault.extent = Extent::SameCall;
        assert!(fault.concerns("unlinkat") && !fault.concerns("openat"));
        fault.extent = Extent::EveryCall;
        assert!(fault.concerns("openat") && !fault.concerns("dup") && !fault.concerns("close"));
    }
}
