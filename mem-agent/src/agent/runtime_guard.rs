//! The runtime of an agent, and its end.

use std::fmt;
use std::io;
use std::ops::Deref;

use tokio::runtime::{Builder, Runtime};

use crate::compact::Compact;
use crate::memcg::MemCG;

/// Little is on the stacks.
const STACK_SIZE: usize = 256 * 1024;

/// Keeps an agent running; dropping it ends the agent.
///
/// It is a [`Runtime`](https://docs.rs/tokio/1/tokio/runtime/struct.Runtime.html) by [`Deref`], with an end of its own, as a `Runtime` must not be dropped in
/// asynchronous code: dropping the guard never blocks and never panics. A run under way stops: an
/// eviction within 100 ms, a compaction at once. Its helper process is killed and reaped.
///
/// ```
/// use mem_agent::agent::MemAgent;
/// use mem_agent::{compact, memcg};
///
/// let off = memcg::SingleConfig { disabled: true, ..Default::default() };
/// let memcg = memcg::Config { default: off, ..Default::default() };
/// let compact = compact::Config { disabled: true, ..Default::default() };
/// let (agent, guard) = MemAgent::new(memcg, compact)?;
/// assert!(guard.block_on(agent.memcg_status_async())?.is_empty());
/// drop(guard);
/// # Ok::<(), anyhow::Error>(())
/// ```
pub struct RuntimeGuard {
    /// None only while it is dropped.
    runtime: Option<Runtime>,
    memcg: MemCG,
    compact: Compact,
}

impl RuntimeGuard {
    pub(super) fn new(memcg: MemCG, compact: Compact) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("mem-agent")
            .thread_stack_size(STACK_SIZE)
            .enable_all()
            .build()?;
        Ok(Self {
            runtime: Some(runtime),
            memcg,
            compact,
        })
    }
}

impl Deref for RuntimeGuard {
    type Target = Runtime;

    fn deref(&self) -> &Runtime {
        match &self.runtime {
            Some(runtime) => runtime,
            None => unreachable!("nobody has a reference to what is being dropped"),
        }
    }
}

impl Drop for RuntimeGuard {
    fn drop(&mut self) {
        self.memcg.cancel();
        self.compact.cancel();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for RuntimeGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RuntimeGuard").field(&self.runtime).finish()
    }
}
