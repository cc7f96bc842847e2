//! What is queued when the process exits is written nevertheless (D6a).
//!
//! exit(3) runs the hook in the thread that exits, while the workers still run. That thread may
//! hold any lock, for example because a signal came while it was logging, so the hook waits for
//! none: it tries again until its time is over.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError, TryLockError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crate::pipeline::{LAST_WORDS, Pipeline};
use crate::queue::Reached;
use crate::sys;

/// Pause between two looks.
const PAUSE: Duration = Duration::from_micros(100);

static LIVE: Mutex<Vec<Weak<Pipeline>>> = Mutex::new(Vec::new());

/// How many forks lie between the first process and this one.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// The generation of the process that has a logger.
static OWNER: AtomicU32 = AtomicU32::new(0);

/// A number that is another one in a forked child.
pub(crate) fn generation() -> u32 {
    GENERATION.load(Relaxed)
}

extern "C" fn on_fork() {
    GENERATION.fetch_add(1, Relaxed);
}

/// Flushes `pipeline` when the process exits.
pub(crate) fn register(pipeline: &Arc<Pipeline>) {
    OWNER.store(generation(), Relaxed);
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let result = sys::at_exit(on_exit).and_then(|()| sys::in_forked_children(on_fork));
        if let Err(error) = result {
            sys::write_stderr(
                format!("logging: an exit may lose records, no exit hook: {error}\n").as_bytes(),
            );
        }
    });
    let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
    live.retain(|other| other.strong_count() > 0);
    live.push(Arc::downgrade(pipeline));
}

/// The guard of `pipeline` is gone, and all is written.
pub(crate) fn forget(pipeline: &Arc<Pipeline>) {
    let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
    live.retain(|other| other.as_ptr() != Arc::as_ptr(pipeline));
}

extern "C" fn on_exit() {
    if OWNER.load(Relaxed) != generation() {
        return; // a forked child: the threads are its parent's, and locks may be held for ever
    }
    let deadline = Instant::now() + LAST_WORDS;
    let Some(live) = retry(deadline, try_live) else {
        return;
    };
    // All are asked before one is waited for.
    for pipeline in live.iter().filter_map(Weak::upgrade) {
        if pipeline.can_be_waited_for() {
            let ticket = retry(deadline, || pipeline.queue.try_ask_flush());
            pipeline.set_exit_ticket(ticket);
        }
    }
    for pipeline in live.iter().filter_map(Weak::upgrade) {
        let Some(ticket) = pipeline.exit_ticket() else {
            continue;
        };
        retry(deadline, || match pipeline.queue.try_flushed(ticket) {
            Reached::Done(_) => Some(()),
            Reached::Pending => None,
        });
    }
}

fn try_live() -> Option<MutexGuard<'static, Vec<Weak<Pipeline>>>> {
    match LIVE.try_lock() {
        Ok(live) => Some(live),
        Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

fn retry<T>(deadline: Instant, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    loop {
        let result = attempt();
        if result.is_some() || Instant::now() >= deadline {
            return result;
        }
        thread::sleep(PAUSE);
    }
}
