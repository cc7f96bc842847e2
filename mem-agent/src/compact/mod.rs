//! The compact half: makes large free blocks, which the balloon can hand back to the host
//! ([free page reporting](https://docs.kernel.org/mm/free_page_reporting.html)).
//!
//! Every period, memory is compacted if there is little pressure
//! ([PSI](https://docs.kernel.org/accounting/psi.html)) and if, since the last compaction, free memory
//! has fallen or its fragments have grown by more than a threshold. A helper process writes to
//! [`compact_memory`](https://docs.kernel.org/admin-guide/sysctl/vm.html#compact-memory); it is killed
//! when it takes too long, under pressure, and when the half is disabled or the agent stopped.

mod config;
mod run;
mod state;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow};

use crate::blocking;
use crate::env::{Cancel, Env, Machine};

pub use config::{Config, OptionConfig};

/// The pure parts, for simulators.
#[doc(hidden)]
pub mod policy {
    pub use super::state::{Decision, Memory, State, Verdict};
}

use state::State;

/// The compact half. A clone is another handle to the same state.
///
/// [`MemAgent`](crate::agent::MemAgent) runs it; use it directly only to run it by hand:
///
/// ```no_run
/// use mem_agent::compact::{Compact, Config};
///
/// let mut compact = Compact::new(true, Config::default())?;
/// loop {
///     if compact.need_work() {
///         compact.work()?;
///         compact.reset_timer();
///     }
///     std::thread::sleep(compact.get_remaining_tokio_duration());
/// }
/// # #[allow(unreachable_code)]
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone)]
pub struct Compact {
    shared: Arc<Shared>,
}

struct Shared {
    machine: Machine,
    cancel: Cancel,
    /// Held for computations only, never while the machine is asked or told something (D30).
    state: Mutex<State>,
}

impl Compact {
    /// The compact half of the real system. May be called anywhere, also inside an asynchronous
    /// runtime.
    ///
    /// # Errors
    ///
    /// `psi::check failed: …`: enabled, but the kernel lacks `CONFIG_PSI` or `psi=1`.
    ///
    /// ```
    /// use mem_agent::compact::{Compact, Config};
    ///
    /// let config = Config { disabled: true, ..Default::default() };
    /// let compact = Compact::new(true, config)?;
    /// assert!(!compact.need_work()); // disabled, it needs nothing of the kernel
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn new(is_cg_v2: bool, config: Config) -> Result<Self> {
        Self::with_env(Env::of_cgroups(is_cg_v2), config)
    }

    /// The compact half of another system.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); the kind of the cgroup hierarchy cannot be found out.
    ///
    /// ```
    /// use mem_agent::compact::{Compact, Config};
    /// use mem_agent::env::Env;
    ///
    /// let env = Env { proc_root: "/nowhere".into(), sys_root: "/nowhere".into(), ..Env::default() };
    /// assert!(Compact::with_env(env, Config::default()).is_err()); // no pressure to be read there
    /// ```
    pub fn with_env(env: Env, config: Config) -> Result<Self> {
        let cancel = Cancel::new();
        let machine = Machine::new(env, cancel.clone());
        let mut state = State::new(config);
        if !state.config.disabled {
            let psi_path = state.config.psi_path.clone();
            let dir = psi_dir(&machine, &psi_path)?;
            state.found_psi_dir(&psi_path, Some(dir));
        }
        Ok(Self {
            shared: Arc::new(Shared {
                machine,
                cancel,
                state: Mutex::new(state),
            }),
        })
    }

    /// Whether it is time for [`work`](Self::work).
    ///
    /// ```
    /// use mem_agent::compact::{Compact, Config};
    ///
    /// let config = Config { disabled: true, ..Default::default() };
    /// let compact = Compact::new(true, config)?;
    /// assert!(!compact.need_work());
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn need_work(&self) -> bool {
        let now = self.shared.machine.now();
        self.state().is_due(now)
    }

    /// Begins the period anew.
    ///
    /// ```
    /// use mem_agent::compact::{Compact, Config};
    ///
    /// let config = Config { disabled: true, ..Default::default() };
    /// let mut compact = Compact::new(true, config)?;
    /// compact.reset_timer();
    /// assert!(!compact.need_work());
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn reset_timer(&mut self) {
        let now = self.shared.machine.now();
        self.state().restart(now);
    }

    /// Time until the next run is due; [`Duration::MAX`] if disabled.
    ///
    /// ```
    /// use mem_agent::compact::{Compact, Config};
    ///
    /// let config = Config { disabled: true, ..Default::default() };
    /// let compact = Compact::new(true, config)?;
    /// assert_eq!(compact.get_remaining_tokio_duration(), std::time::Duration::MAX);
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn get_remaining_tokio_duration(&self) -> Duration {
        let now = self.shared.machine.now();
        self.state().remaining(now)
    }

    /// As [`get_remaining_tokio_duration`](Self::get_remaining_tokio_duration). Never waits.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// use mem_agent::compact::{Compact, Config};
    ///
    /// let config = Config { disabled: true, ..Default::default() };
    /// let compact = Compact::new(true, config)?;
    /// let remaining = compact.async_get_remaining_tokio_duration().await;
    /// assert_eq!(remaining, std::time::Duration::MAX);
    /// # Ok::<(), anyhow::Error>(())
    /// # })?;
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub async fn async_get_remaining_tokio_duration(&self) -> Duration {
        self.get_remaining_tokio_duration()
    }

    /// One run: compacts if there is reason to. Blocks until it is over.
    ///
    /// # Errors
    ///
    /// The compaction cannot be started or is refused by the kernel, or another run is under way.
    ///
    /// ```no_run
    /// use mem_agent::compact::{Compact, Config};
    ///
    /// let mut compact = Compact::new(true, Config::default())?;
    /// compact.work()?; // as root
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn work(&mut self) -> Result<()> {
        if !self.state().begin_run() {
            return Err(anyhow!("another run is under way"));
        }
        let _end = EndOfRun(self);
        run::run(&self.shared)
    }

    /// Changes the configuration, also during a run, which heeds it within a second. True if the next
    /// run may be due at another time.
    ///
    /// A pressure directory that cannot be used is logged, and nothing is changed.
    ///
    /// # Cancel safety
    ///
    /// The change is made even if nobody waits for it.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// use mem_agent::compact::{Compact, Config, OptionConfig};
    ///
    /// let config = Config { disabled: true, ..Default::default() };
    /// let mut compact = Compact::new(true, config)?;
    /// let change = OptionConfig { compact_sec_max: Some(60), ..Default::default() };
    /// compact.set_config(change).await;
    /// # Ok::<(), anyhow::Error>(())
    /// # })?;
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub async fn set_config(&mut self, new_config: OptionConfig) -> bool {
        let compact = self.clone();
        let change = move || compact.change(&new_config);
        blocking::run("mem-agent-conf", change)
            .await
            .unwrap_or_else(|error| {
                error!("compact configuration refused: {:#}", error);
                false
            })
    }

    /// [`set_config`](Self::set_config) on the calling thread, with the reason of a refusal.
    pub(crate) fn change(&self, change: &OptionConfig) -> Result<bool> {
        let (new, is_known) = {
            let state = self.state();
            let new = state.preview(change);
            let is_same_path = new.psi_path == state.config.psi_path;
            (new, is_same_path && state.psi_dir().is_some())
        };
        // One that is set while disabled is checked too, unless it is to be searched for.
        let is_needed =
            !new.disabled || (change.psi_path.is_some() && !new.psi_path.as_os_str().is_empty());
        let found = if is_needed && !is_known {
            Some(usable_psi_dir(&self.shared.machine, &new.psi_path)?)
        } else {
            None
        };
        let now = self.shared.machine.now();
        let reset = {
            let mut state = self.state();
            let reset = state.change(change, now);
            if found.is_some() {
                state.found_psi_dir(&new.psi_path, found);
            }
            reset
        };
        crate::log::safely(|| info!("compact configuration: {:?}", change));
        Ok(reset)
    }

    /// Stops a run, and every later one.
    pub(crate) fn cancel(&self) {
        self.shared.cancel.raise();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.shared.state)
    }
}

impl fmt::Debug for Compact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compact")
            .field("state", &*self.state())
            .finish_non_exhaustive()
    }
}

/// Ends a run even if it panics.
struct EndOfRun<'a>(&'a Compact);

impl Drop for EndOfRun<'_> {
    fn drop(&mut self) {
        self.0.state().end_run();
    }
}

/// Where the pressure for `psi_path` is (P1).
fn psi_dir(machine: &Machine, psi_path: &Path) -> Result<PathBuf> {
    machine
        .psi_dir(psi_path)
        .map_err(|error| anyhow!("psi::check failed: {error:#}"))
}

/// The same, and all of that pressure can be read (D33).
fn usable_psi_dir(machine: &Machine, psi_path: &Path) -> Result<PathBuf> {
    let dir = psi_dir(machine, psi_path)?;
    Machine::totals(&dir).map_err(|error| anyhow!("psi::check failed: {error}"))?;
    Ok(dir)
}

/// A panic elsewhere is no reason to fail here: the state is consistent between statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
