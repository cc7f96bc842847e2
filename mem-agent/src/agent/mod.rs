//! The agent: runs both halves when they are due, and takes commands meanwhile.
//!
//! [`MemAgent::new`] starts a runtime of its own with one worker thread. On it, a control loop sleeps
//! until a half is due, or until there is a command. A run is a thread that ends with it; there is at
//! most one. Commands are answered during a run too.
//!
//! A half whose run fails is tried again after 300 s, or at once when it is changed such that its next
//! run may be due at another time; the other one goes on as if nothing had been.

mod control;
mod rest;
mod runtime_guard;

use std::collections::HashMap;

use anyhow::{Context, Result, anyhow};
use tokio::sync::{mpsc, oneshot};

use crate::compact::{self, Compact};
use crate::env::Env;
use crate::memcg::{self, MemCG, MemCgroup};

use control::{Command, Control};
pub use runtime_guard::RuntimeGuard;

/// Commands that may wait to be taken.
const COMMAND_QUEUE: usize = 10;

/// A handle to a running agent. Clones are handles to the same agent, which goes on without any.
#[derive(Clone, Debug)]
pub struct MemAgent {
    commands: mpsc::Sender<Command>,
}

impl MemAgent {
    /// Starts an agent for the real system. It ends when the guard is dropped.
    ///
    /// May be called inside and outside of an asynchronous runtime, and blocks for some
    /// milliseconds. A half that is disabled is not looked at: it needs nothing from the kernel. The
    /// first run of a half is due at once.
    ///
    /// ```no_run
    /// use mem_agent::{agent::MemAgent, compact, memcg};
    ///
    /// # async fn example() -> anyhow::Result<()> {
    /// let (agent, _runtime) = MemAgent::new(memcg::Config::default(), compact::Config::default())?;
    /// let swap = memcg::SingleOptionConfig { swap: Some(true), ..Default::default() };
    /// agent
    ///     .memcg_set_config_async(memcg::OptionConfig { default: swap, ..Default::default() })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// - `memcg::MemCG::new fail: …` and `compact::Compact::new fail: …`, with the errors of
    ///   [`MemCG::new`] and [`Compact::new`]
    /// - there can be no thread
    pub fn new(
        memcg_config: memcg::Config,
        compact_config: compact::Config,
    ) -> Result<(Self, RuntimeGuard)> {
        Self::with_env(Env::default(), memcg_config, compact_config)
    }

    /// Starts an agent for another system: a test's, or one that an embedding program looks after.
    ///
    /// ```
    /// use mem_agent::agent::MemAgent;
    /// use mem_agent::env::{CgroupVersion, Env};
    /// use mem_agent::{compact, memcg};
    ///
    /// let root = tempfile::tempdir()?;
    /// let env = Env {
    ///     sys_root: root.path().into(),
    ///     cgroup: CgroupVersion::V2,
    ///     ..Env::default()
    /// };
    /// let off = compact::Config { disabled: true, ..Default::default() };
    /// let error = MemAgent::with_env(env, memcg::Config::default(), off).unwrap_err();
    /// assert!(error.to_string().starts_with("memcg::MemCG::new fail: mglru::check failed: "));
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_env(
        env: Env,
        memcg_config: memcg::Config,
        compact_config: compact::Config,
    ) -> Result<(Self, RuntimeGuard)> {
        let memcg = MemCG::with_env(env.clone(), memcg_config)
            .map_err(|error| anyhow!("memcg::MemCG::new fail: {error:#}"))?;
        let compact = Compact::with_env(env.clone(), compact_config)
            .map_err(|error| anyhow!("compact::Compact::new fail: {error:#}"))?;
        let guard =
            RuntimeGuard::new(memcg.clone(), compact.clone()).context("cannot start a runtime")?;
        let (commands, queue) = mpsc::channel(COMMAND_QUEUE);
        guard.spawn(Control::new(env, memcg, compact, queue).run());
        Ok((Self { commands }, guard))
    }

    /// Changes the configuration of the memcg half. It has taken effect when this returns: a run
    /// under way heeds it from its next batch on.
    ///
    /// May be awaited on any executor.
    ///
    /// ```
    /// # use mem_agent::agent::MemAgent;
    /// # use mem_agent::{compact, memcg};
    /// # let off = memcg::SingleConfig { disabled: true, ..Default::default() };
    /// # let memcg = memcg::Config { default: off, ..Default::default() };
    /// # let compact = compact::Config { disabled: true, ..Default::default() };
    /// # let (agent, guard) = MemAgent::new(memcg, compact)?;
    /// # guard.block_on(async {
    /// let swap = memcg::SingleOptionConfig { swap: Some(true), ..Default::default() };
    /// let change = memcg::OptionConfig { default: swap, ..Default::default() };
    /// agent.memcg_set_config_async(change).await?;
    ///
    /// // There is no entry for this path.
    /// let entry = memcg::CgroupOptionConfig { path: "/pod7".into(), ..Default::default() };
    /// let change = memcg::OptionConfig { set: vec![entry], ..Default::default() };
    /// let error = agent.memcg_set_config_async(change).await.unwrap_err();
    /// assert!(error.to_string().ends_with("path /pod7 numa_id [] not exists"));
    /// # Ok::<(), anyhow::Error>(())
    /// # })?;
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - `mem_agent thread memcg_set_config_async failed: …`: refused, and nothing is changed
    /// - `send_cmd failed: …`: the agent has ended
    ///
    /// # Cancel safety
    ///
    /// The change is made even if nobody waits for it.
    pub async fn memcg_set_config_async(&self, opt: memcg::OptionConfig) -> Result<()> {
        self.send(|reply| Command::MemcgSet(opt, reply))
            .await?
            .map_err(|error| anyhow!("mem_agent thread memcg_set_config_async failed: {error:#}"))
    }

    /// Changes the configuration of the compact half. It has taken effect when this returns: a
    /// compaction under way heeds it within a second.
    ///
    /// May be awaited on any executor.
    ///
    /// ```
    /// # use mem_agent::agent::MemAgent;
    /// # use mem_agent::{compact, memcg};
    /// # let off = memcg::SingleConfig { disabled: true, ..Default::default() };
    /// # let memcg = memcg::Config { default: off, ..Default::default() };
    /// # let compact = compact::Config { disabled: true, ..Default::default() };
    /// # let (agent, guard) = MemAgent::new(memcg, compact)?;
    /// # guard.block_on(async {
    /// let change = compact::OptionConfig {
    ///     compact_sec_max: Some(60),
    ///     compact_force_times: Some(6),
    ///     ..Default::default()
    /// };
    /// agent.compact_set_config_async(change).await?;
    /// # Ok::<(), anyhow::Error>(())
    /// # })?;
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - `mem_agent thread compact_set_config_async failed: …`: refused, and nothing is changed
    /// - `send_cmd failed: …`: the agent has ended
    ///
    /// # Cancel safety
    ///
    /// The change is made even if nobody waits for it.
    pub async fn compact_set_config_async(&self, opt: compact::OptionConfig) -> Result<()> {
        self.send(|reply| Command::CompactSet(opt, reply))
            .await?
            .map_err(|error| anyhow!("mem_agent thread compact_set_config_async failed: {error:#}"))
    }

    /// The cgroups that are managed, by path as in `lru_gen`. Never waits for a run. May be awaited
    /// on any executor.
    ///
    /// ```
    /// # use mem_agent::agent::MemAgent;
    /// # use mem_agent::{compact, memcg};
    /// # let off = memcg::SingleConfig { disabled: true, ..Default::default() };
    /// # let memcg = memcg::Config { default: off, ..Default::default() };
    /// # let compact = compact::Config { disabled: true, ..Default::default() };
    /// # let (agent, guard) = MemAgent::new(memcg, compact)?;
    /// # guard.block_on(async {
    /// for (path, cgroup) in agent.memcg_status_async().await? {
    ///     let pages: u64 = cgroup.numa.values().map(|numa| numa.eviction_count.page).sum();
    ///     println!("{path} (id {}): {pages} pages evicted", cgroup.kernel_id());
    /// }
    /// # Ok::<(), anyhow::Error>(())
    /// # })?;
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - `send_cmd failed: …`: the agent has ended
    pub async fn memcg_status_async(&self) -> Result<HashMap<String, MemCgroup>> {
        self.send(Command::MemcgStatus).await
    }

    async fn send<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(command(reply))
            .await
            .map_err(|error| anyhow!("send_cmd failed: cmd_tx.send cmd failed: {error}"))?;
        answer
            .await
            .map_err(|error| anyhow!("send_cmd failed: ret_rx.recv failed: {error}"))
    }
}
