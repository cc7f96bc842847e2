//! The memcg half: ages memory cgroups and evicts what stays cold.
//!
//! Every period, each memory cgroup is aged on each NUMA node: the kernel makes a new generation of
//! its pages ([Multi-Gen LRU](https://docs.kernel.org/admin-guide/mm/multigen_lru.html)). One that has
//! been aged often enough is then evicted from: pages of its oldest generation, which have not been
//! used since, are reclaimed. Cgroups under pressure
//! ([PSI](https://docs.kernel.org/accounting/psi.html)) are left alone.
//!
//! | A cgroup is passed over | until |
//! |---|---|
//! | with more pressure than `period_psi_percent_limit` since the last run | the next run |
//! | whose youngest generation is less than 60 s old | the next run |
//! | that has been aged less than `eviction_run_aging_count_min` times | it has (no eviction) |
//! | with `memory.current` up to its `memory.min` or `memory.low`, or with such an ancestor | it has more (no eviction) |
//!
//! Cgroups that are offline, and those whose name is not UTF-8, are not managed.
//!
//! # How an eviction goes
//!
//! It begins with 64 pages at a time, twice as many after each look with little pressure, half as
//! many after one with more, up to 16384 and to an eighth of what is left. A look, every 100 ms at
//! most, is one reading of `lru_gen` for all cgroups at once; with so many cgroups that this takes
//! long, it is a fifth of the time. Pressure counts over the last 500 ms.
//!
//! It ends when nothing is left, when the generation does not shrink, with pressure above
//! `eviction_psi_percent_limit`, after half of the period or 10 s, whichever is longer, or when the
//! cgroup is disabled or the agent stopped. [`EvictionCount`] tells how often each has happened.

mod batches;
mod config;
mod evict;
mod eviction;
mod known;
mod refault;
mod run;
mod state;
mod status;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow};
use chrono::Utc;

use crate::blocking;
use crate::env::{Cancel, CgroupWatch, Env, Host, Snapshot, SystemHost};

pub use config::{
    Actuator, CgroupConfig, CgroupOptionConfig, Config, OptionConfig, SingleConfig,
    SingleOptionConfig,
};
pub use status::{EvictionCount, MemCgroup, Numa};

/// The pure parts, for simulators.
#[doc(hidden)]
pub mod policy {
    pub use super::eviction::{
        Batch, Eviction, LARGEST_BATCH, Observation, SMALLEST_BATCH, Stop, SwapSpace,
    };
    pub use super::refault::{Refaults, allowance};
    pub use super::state::{Gate, Member, State};
}

/// The memcg half. A clone is another handle to the same state.
///
/// [`MemAgent`](crate::agent::MemAgent) runs it; use it directly only to run it by hand:
///
/// ```no_run
/// use mem_agent::memcg::{Config, MemCG};
///
/// let mut memcg = MemCG::new(true, Config::default())?;
/// loop {
///     let due = memcg.get_timeout_list();
///     memcg.work(&due)?;
///     memcg.reset_timers(&due);
///     std::thread::sleep(memcg.get_remaining_tokio_duration());
/// }
/// # #[allow(unreachable_code)]
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone)]
pub struct MemCG {
    shared: Arc<Shared>,
}

struct Shared {
    host: Arc<dyn Host>,
    cancel: Cancel,
    /// Held for computations only, never while the machine is asked or told something (D30).
    state: Mutex<State>,
    /// Where pressure is read, and for what the machine has been found usable, if it has.
    probed: Mutex<Option<(PathBuf, Actuator)>>,
}

use state::State;

impl MemCG {
    /// The memcg half of the real system.
    ///
    /// If anything in `config` is enabled, switches MGLRU on and looks for all cgroups. May be called
    /// anywhere, also inside an asynchronous runtime; it blocks for some milliseconds.
    ///
    /// # Errors
    ///
    /// `mglru::check failed: …`, `psi::check failed: …`, `init refresh failed: …`: the kernel lacks
    /// `CONFIG_LRU_GEN`, `CONFIG_DEBUG_FS` or `CONFIG_PSI` (or `psi=1`), or may not be asked.
    ///
    /// ```
    /// use mem_agent::memcg::{Config, MemCG, SingleConfig};
    ///
    /// let config = Config {
    ///     default: SingleConfig { disabled: true, ..Default::default() },
    ///     ..Default::default()
    /// };
    /// let memcg = MemCG::new(true, config)?;
    /// assert!(memcg.get_timeout_list().is_empty()); // disabled, it needs nothing of the kernel
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn new(is_cg_v2: bool, config: Config) -> Result<Self> {
        Self::with_env(Env::of_cgroups(is_cg_v2), config)
    }

    /// The memcg half of another system.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); the kind of the cgroup hierarchy cannot be found out.
    ///
    /// ```
    /// use mem_agent::env::Env;
    /// use mem_agent::memcg::{Config, MemCG};
    ///
    /// let env = Env { proc_root: "/nowhere".into(), sys_root: "/nowhere".into(), ..Env::default() };
    /// assert!(MemCG::with_env(env, Config::default()).is_err()); // no lru_gen there
    /// ```
    pub fn with_env(env: Env, config: Config) -> Result<Self> {
        let cancel = Cancel::new();
        let host = SystemHost::new(env, cancel.clone());
        Self::start(Arc::new(host), cancel, config)
    }

    /// The memcg half of a simulated system.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    #[doc(hidden)]
    pub fn with_host(host: Arc<dyn Host>, config: Config) -> Result<Self> {
        Self::start(host, Cancel::new(), config)
    }

    fn start(host: Arc<dyn Host>, cancel: Cancel, config: Config) -> Result<Self> {
        let actuator = config.actuator;
        let memcg = Self {
            shared: Arc::new(Shared {
                host,
                cancel,
                state: Mutex::new(State::new(config)),
                probed: Mutex::new(None),
            }),
        };
        if !memcg.state().is_disabled() {
            memcg.probe(actuator)?;
            memcg
                .refresh()
                .map_err(|error| anyhow!("init refresh failed: {error:#}"))?;
        }
        Ok(memcg)
    }

    /// One run for the cgroups with these periods, in seconds: looks for cgroups, ages them, evicts.
    /// Blocks until it is over.
    ///
    /// # Errors
    ///
    /// `lru_gen` or the amount of free swap space cannot be read, or another run is under way.
    ///
    /// ```no_run
    /// use mem_agent::memcg::{Config, MemCG};
    ///
    /// let mut memcg = MemCG::new(true, Config::default())?; // as root
    /// let due = memcg.get_timeout_list();
    /// memcg.work(&due)?;
    /// memcg.reset_timers(&due);
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    #[allow(clippy::ptr_arg, reason = "contract")]
    pub fn work(&mut self, work_list: &Vec<u64>) -> Result<()> {
        if !self.state().begin_run(work_list) {
            return Err(anyhow!("another run is under way"));
        }
        let _end = EndOfRun(self);
        run::run(&self.shared, work_list)
    }

    /// The periods, in seconds, of which the timer has expired. Those of new cgroups have.
    ///
    /// ```
    /// use mem_agent::memcg::{Config, MemCG, SingleConfig};
    ///
    /// let config = Config {
    ///     default: SingleConfig { disabled: true, ..Default::default() },
    ///     ..Default::default()
    /// };
    /// let memcg = MemCG::new(true, config)?;
    /// assert!(memcg.get_timeout_list().is_empty());
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn get_timeout_list(&self) -> Vec<u64> {
        self.state().expired(self.shared.host.now())
    }

    /// Restarts the timers of these periods.
    ///
    /// A group that was changed by [`set_config`](Self::set_config) during the last run stays due.
    ///
    /// ```
    /// use mem_agent::memcg::{Config, MemCG, SingleConfig};
    ///
    /// let config = Config {
    ///     default: SingleConfig { disabled: true, ..Default::default() },
    ///     ..Default::default()
    /// };
    /// let mut memcg = MemCG::new(true, config)?;
    /// let due = memcg.get_timeout_list();
    /// memcg.reset_timers(&due);
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    #[allow(clippy::ptr_arg, reason = "contract")]
    pub fn reset_timers(&mut self, work_list: &Vec<u64>) {
        let now = self.shared.host.now();
        self.state().restart(work_list, now);
    }

    /// Time until the next run is due; [`Duration::MAX`] if nothing is enabled.
    ///
    /// ```
    /// use mem_agent::memcg::{Config, MemCG, SingleConfig};
    ///
    /// let config = Config {
    ///     default: SingleConfig { disabled: true, ..Default::default() },
    ///     ..Default::default()
    /// };
    /// let memcg = MemCG::new(true, config)?;
    /// assert_eq!(memcg.get_remaining_tokio_duration(), std::time::Duration::MAX);
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn get_remaining_tokio_duration(&self) -> Duration {
        let now = self.shared.host.now();
        self.state().remaining(now)
    }

    /// As [`get_remaining_tokio_duration`](Self::get_remaining_tokio_duration). Never waits.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// use mem_agent::memcg::{Config, MemCG, SingleConfig};
    ///
    /// let config = Config {
    ///     default: SingleConfig { disabled: true, ..Default::default() },
    ///     ..Default::default()
    /// };
    /// let memcg = MemCG::new(true, config)?;
    /// let remaining = memcg.async_get_remaining_tokio_duration().await;
    /// assert_eq!(remaining, std::time::Duration::MAX);
    /// # Ok::<(), anyhow::Error>(())
    /// # })?;
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub async fn async_get_remaining_tokio_duration(&self) -> Duration {
        self.get_remaining_tokio_duration()
    }

    /// Changes the configuration, also during a run, which heeds it from its next batch on. True if
    /// the next run may be due at another time.
    ///
    /// What becomes enabled for the first time is probed as in [`new`](Self::new). May be awaited on
    /// any executor.
    ///
    /// # Errors
    ///
    /// `path … already exists`, `path … not exists`; `mglru::host_memcgs_get failed: …` and the
    /// errors of [`new`](Self::new), unless all is disabled. Then nothing is changed.
    ///
    /// # Cancel safety
    ///
    /// The change is made even if nobody waits for it.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// use mem_agent::memcg::{Config, MemCG, OptionConfig, SingleConfig, SingleOptionConfig};
    ///
    /// let config = Config {
    ///     default: SingleConfig { disabled: true, ..Default::default() },
    ///     ..Default::default()
    /// };
    /// let mut memcg = MemCG::new(true, config)?;
    /// let swap = SingleOptionConfig { swap: Some(true), ..Default::default() };
    /// memcg.set_config(OptionConfig { default: swap, ..Default::default() }).await?;
    /// # Ok::<(), anyhow::Error>(())
    /// # })?;
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub async fn set_config(&mut self, new_config: OptionConfig) -> Result<bool> {
        let memcg = self.clone();
        blocking::run("mem-agent-conf", move || memcg.change(&new_config)).await
    }

    /// The cgroups that are managed, by path. Never waits for a run.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// use mem_agent::memcg::{Config, MemCG, SingleConfig};
    ///
    /// let config = Config {
    ///     default: SingleConfig { disabled: true, ..Default::default() },
    ///     ..Default::default()
    /// };
    /// let memcg = MemCG::new(true, config)?;
    /// assert!(memcg.get_status().await.is_empty());
    /// # Ok::<(), anyhow::Error>(())
    /// # })?;
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub async fn get_status(&self) -> HashMap<String, MemCgroup> {
        self.status()
    }

    /// [`get_status`](Self::get_status), outside of asynchronous code.
    #[doc(hidden)]
    pub fn status(&self) -> HashMap<String, MemCgroup> {
        self.state().status()
    }

    /// [`set_config`](Self::set_config) on the calling thread.
    #[doc(hidden)]
    pub fn change(&self, change: &OptionConfig) -> Result<bool> {
        let (preview, is_running) = {
            let state = self.state();
            (state.preview(change)?, state.is_running())
        };
        if !preview.is_disabled() {
            self.probe(preview.actuator)?;
            // A run has looked for cgroups itself, and may be keeping the kernel busy.
            if !is_running {
                self.refresh()
                    .map_err(|error| anyhow!("mglru::host_memcgs_get failed: {error:#}"))?;
            }
        }
        let reset = self.state().change(change)?;
        crate::log::safely(|| info!("memcg configuration: {:?}", change));
        Ok(reset)
    }

    /// Looks for cgroups.
    pub(crate) fn refresh(&self) -> Result<()> {
        run::refresh(&self.shared)
    }

    /// Whether it is time for [`work`](Self::work), though no period may have expired.
    pub(crate) fn needs_scan(&self) -> bool {
        let now = self.shared.host.now();
        self.state().needs_scan(now)
    }

    pub(crate) fn is_disabled(&self) -> bool {
        self.state().is_disabled()
    }

    /// Calls `on_change` when cgroups have come or gone. False if the kernel does not tell.
    pub(crate) fn watch(
        &self,
        env: &Env,
        on_change: impl FnMut() -> bool + Send + 'static,
    ) -> bool {
        let cancel = self.shared.cancel.clone();
        let result = env
            .memcg_root()
            .and_then(|root| Ok(CgroupWatch::start(&root, cancel, on_change)?));
        if let Err(error) = &result {
            crate::log::safely(|| {
                debug!("new cgroups are found with the next run only: {:#}", error)
            });
        }
        result.is_ok()
    }

    /// Stops a run, and every later one.
    pub(crate) fn cancel(&self) {
        self.shared.cancel.raise();
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.shared.cancel.is_raised()
    }

    /// Finds the machine usable: once, and when pages are to be taken in another way.
    fn probe(&self, actuator: Actuator) -> Result<()> {
        let probed = lock(&self.shared.probed)
            .as_ref()
            .map(|(_, probed)| *probed);
        if probed == Some(actuator) {
            return Ok(());
        }
        let psi_path = self.state().config.psi_path.clone();
        let psi_dir = self.shared.host.probe(&psi_path, actuator)?;
        *lock(&self.shared.probed) = Some((psi_dir, actuator));
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl fmt::Debug for MemCG {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemCG")
            .field("state", &*self.state())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn psi_dir(&self) -> Option<PathBuf> {
        lock(&self.probed).as_ref().map(|(dir, _)| dir.clone())
    }

    /// Takes over a snapshot of all cgroups.
    fn refresh(&self, snapshot: &Snapshot) {
        let wall_clock = Utc::now();
        self.state().refresh(snapshot, wall_clock);
    }
}

/// Ends a run even if it panics.
struct EndOfRun<'a>(&'a MemCG);

impl Drop for EndOfRun<'_> {
    fn drop(&mut self) {
        self.0.state().end_run();
    }
}

/// A panic elsewhere is no reason to fail here: the state is consistent between statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
