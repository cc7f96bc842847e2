//! The end of a logger, which its `AsyncGuard` waits for (3.2).
//!
//! An `AsyncGuard` can only come from a `slog_async` core: a thread that owns a drain until the
//! guard is dropped, which waits for the thread. Ours gets no records; its drain is the owner of the
//! pipeline, and dropping that is what the guard waits for.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use slog::{Drain, Never, OwnedKVList, Record};
use slog_async::{AsyncCore, AsyncGuard};

use crate::pipeline::Pipeline;
use crate::{exit_hook, sys};

/// How long a worker that nobody waits for any more may take to end: a journald that is stopped holds
/// it up for a second, and after that, what matters is to go to standard error (D13).
const LAST_ATTEMPT: Duration = Duration::from_millis(1500);

/// The guard of a pipeline with this worker.
pub(crate) fn guard(pipeline: Arc<Pipeline>, worker: Option<JoinHandle<()>>) -> AsyncGuard {
    exit_hook::register(&pipeline);
    let owner = Owner { pipeline, worker };
    let (_, guard) = AsyncCore::custom(owner)
        .chan_size(1)
        .thread_name("slog-guard".to_owned())
        .build_with_guard();
    guard
}

struct Owner {
    pipeline: Arc<Pipeline>,
    worker: Option<JoinHandle<()>>,
}

impl Drain for Owner {
    type Ok = ();
    type Err = Never;

    fn log(&self, _: &Record<'_>, _: &OwnedKVList) -> Result<(), Never> {
        Ok(())
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let pipeline = &self.pipeline;
        pipeline.queue.close();
        let mut finished = pipeline.while_it_moves(|time| pipeline.queue.wait_finished(time));
        exit_hook::forget(pipeline);
        if !finished {
            pipeline.abandon();
            finished = pipeline.queue.wait_finished(LAST_ATTEMPT);
        }
        if finished {
            // It has nothing to do any more but to end.
            let _ = self.worker.take().map(JoinHandle::join);
            return;
        }
        let lost = pipeline.queue.pending();
        for chunk in pipeline.queue.abandon() {
            for frame in &chunk.frames {
                pipeline.counters.drop_one(frame.level);
            }
            pipeline.queue.complete(chunk);
        }
        // What is in the worker's hands may still be written. If it fails, that is counted.
        if pipeline.queue.wait_finished(Duration::ZERO) {
            return;
        }
        sys::write_stderr(
            format!("logging: the log writer is stuck, gave up on {lost} log records\n").as_bytes(),
        );
    }
}
