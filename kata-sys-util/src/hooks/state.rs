//! Which hooks have been run, and with what result.

use std::io;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Hook;
use runtime_spec::State;
use slog::{Drain, Level, error};

use super::{command, kmsg};
use crate::sl;

/// Where a process without a logger reports failures.
const KERNEL_LOG: &str = "/dev/kmsg";

/// What is to be done with a hook.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HookState {
    /// It is to be run: it has not been, or has failed.
    Pending,
    /// It has been run with success, and is not run again.
    Done,
    /// It is not to be run.
    Ignored,
}

/// A hook that has failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HookFailure {
    /// The hook's program.
    pub path: PathBuf,
    /// What went wrong, as the error said.
    pub error: String,
}

/// Runs hooks, and remembers which have been run.
///
/// A hook is known by its whole value: two hooks that differ in path, arguments, environment or
/// timeout are two hooks. Equal ones are one, wherever they come from: a `HookStates` runs a hook
/// once, if one list contains it twice, and also if two lists contain it, such as `prestart` and
/// `poststop`. Where it is to run at both points, take a `HookStates` for each.
///
/// See [`hooks`](super) for what a hook gets and how it ends.
///
/// ```
/// use kata_sys_util::hooks::{HookState, HookStates};
/// use oci_spec::runtime::HookBuilder;
/// use runtime_spec::{ContainerState, State};
///
/// let hook = HookBuilder::default()
///     .path("/bin/sh")
///     .args(["sh", "-c", r#"grep -q '"id":"web"'"#].map(String::from))
///     .env(["PATH=/usr/bin:/bin".to_owned()])
///     .timeout(5)
///     .build()?;
/// let state = State {
///     version: "1.1.0".to_owned(),
///     id: "web".to_owned(),
///     status: ContainerState::Created,
///     pid: 4242,
///     bundle: "/run/bundles/web".to_owned(),
///     annotations: Default::default(),
/// };
///
/// let mut states = HookStates::new();
/// states.execute_hooks_strict(&[hook.clone()], Some(state))?;
/// assert_eq!(states.get(&hook), HookState::Done);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A hook of two lists:
///
/// ```
/// use kata_sys_util::hooks::HookStates;
/// use oci_spec::runtime::HookBuilder;
///
/// # let directory = tempfile::tempdir()?;
/// # let log = directory.path().join("log");
/// let notify = HookBuilder::default()
///     .path("/bin/sh")
///     .args(["sh", "-c", "echo called >> \"$LOG\""].map(String::from))
///     .env([format!("LOG={}", log.display())])
///     .build()?;
/// let (poststart, poststop) = ([notify.clone()], [notify]);
///
/// let mut states = HookStates::new();
/// states.execute_hooks(&poststart, None)?;
/// states.execute_hooks(&poststop, None)?; // it is done already
/// assert_eq!(std::fs::read_to_string(&log)?, "called\n");
///
/// HookStates::new().execute_hooks(&poststop, None)?;
/// assert_eq!(std::fs::read_to_string(&log)?, "called\ncalled\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct HookStates {
    /// A pod has a handful of hooks: comparing them costs less than hashing one.
    states: Vec<(Hook, HookState)>,
    failures: Vec<HookFailure>,
}

impl HookStates {
    /// No hook has been run.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is to be done with a hook: [`Pending`](HookState::Pending) if it is unknown.
    pub fn get(&self, hook: &Hook) -> HookState {
        self.position(hook)
            .and_then(|position| self.states.get(position))
            .map_or(HookState::Pending, |(_, state)| *state)
    }

    /// Sets what is to be done with a hook.
    ///
    /// ```
    /// use kata_sys_util::hooks::{HookState, HookStates};
    /// use oci_spec::runtime::HookBuilder;
    ///
    /// let hook = HookBuilder::default().path("/bin/false").build()?;
    /// let mut states = HookStates::new();
    /// states.update(&hook, HookState::Ignored);
    /// states.execute_hook(&hook, None)?; // is not run
    ///
    /// states.remove(&hook);
    /// assert_eq!(states.get(&hook), HookState::Pending);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn update(&mut self, hook: &Hook, state: HookState) {
        match self.position(hook).and_then(|p| self.states.get_mut(p)) {
            Some((_, known)) => *known = state,
            None => self.states.push((hook.clone(), state)),
        }
    }

    /// Forgets a hook.
    pub fn remove(&mut self, hook: &Hook) {
        self.states.retain(|(known, _)| known != hook);
    }

    /// Whether a hook has been tried and is still [`Pending`](HookState::Pending).
    pub fn should_retry(&self) -> bool {
        let mut states = self.states.iter();
        states.any(|(_, state)| *state == HookState::Pending)
    }

    /// All failures of hooks since [`new`](Self::new), in order. A hook that was tried twice can be
    /// there twice.
    ///
    /// ```
    /// use kata_sys_util::hooks::HookStates;
    /// use oci_spec::runtime::HookBuilder;
    ///
    /// let hook = HookBuilder::default().path("/no/such/hook").build()?;
    /// let mut states = HookStates::new();
    /// states.execute_hooks(&[hook], None)?;
    ///
    /// let failure = &states.failures()[0];
    /// assert_eq!(failure.path.to_str(), Some("/no/such/hook"));
    /// assert_eq!(failure.error, r#"path of hook "/no/such/hook" does not exist"#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn failures(&self) -> &[HookFailure] {
        &self.failures
    }

    /// Runs a hook, unless it is [`Done`](HookState::Done) or [`Ignored`](HookState::Ignored).
    ///
    /// After success it is [`Done`](HookState::Done), after a failure
    /// [`Pending`](HookState::Pending).
    ///
    /// # Errors
    ///
    /// See [`hooks`](super): of the kind [`TimedOut`](io::ErrorKind::TimedOut) if the hook has not
    /// finished in time, else of the kind [`Other`](io::ErrorKind::Other).
    pub fn execute_hook(&mut self, hook: &Hook, state: Option<State>) -> io::Result<()> {
        self.execute(hook, state.map(|state| state.to_json()).as_deref())
    }

    /// Runs hooks one after the other as far as possible: a failure is logged and recorded, and
    /// the next hook is run.
    ///
    /// Without a logger for errors, a failure is written to `/dev/kmsg`, if that is a character device.
    ///
    /// # Errors
    ///
    /// None: it is always `Ok`. See [`failures`](Self::failures) for what has failed, and
    /// [`execute_hooks_strict`](Self::execute_hooks_strict) for the hooks whose failure must stop
    /// a container.
    pub fn execute_hooks(&mut self, hooks: &[Hook], state: Option<State>) -> io::Result<()> {
        let state = state.map(|state| state.to_json());
        for hook in hooks {
            if let Err(error) = self.execute(hook, state.as_deref()) {
                log_failure(hook.path(), &error);
            }
        }
        Ok(())
    }

    /// Runs hooks one after the other, up to the first failure.
    ///
    /// # Errors
    ///
    /// That failure, as of [`execute_hook`](Self::execute_hook).
    ///
    /// ```
    /// use kata_sys_util::hooks::{HookState, HookStates};
    /// use oci_spec::runtime::HookBuilder;
    ///
    /// let hook = |path: &str| HookBuilder::default().path(path).build();
    /// let hooks = [hook("/bin/true")?, hook("/bin/false")?, hook("/bin/ls")?];
    /// let mut states = HookStates::new();
    ///
    /// let error = states.execute_hooks_strict(&hooks, None).unwrap_err();
    /// assert_eq!(error.to_string(), r#"hook "/bin/false" exit status with 1"#);
    /// assert_eq!(states.get(&hooks[2]), HookState::Pending);
    /// assert!(states.should_retry());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn execute_hooks_strict(&mut self, hooks: &[Hook], state: Option<State>) -> io::Result<()> {
        let state = state.map(|state| state.to_json());
        let mut hooks = hooks.iter();
        hooks.try_for_each(|hook| self.execute(hook, state.as_deref()))
    }

    fn execute(&mut self, hook: &Hook, state: Option<&str>) -> io::Result<()> {
        let result = self.execute_pending(hook, state);
        if let Err(error) = &result {
            self.failures.push(HookFailure {
                path: hook.path().clone(),
                error: error.to_string(),
            });
        }
        result
    }

    fn execute_pending(&mut self, hook: &Hook, state: Option<&str>) -> io::Result<()> {
        if self.get(hook) != HookState::Pending {
            return Ok(());
        }
        fail::fail_point!("execute_hook", |_| {
            Err(io::Error::other("execute hook fail point injection"))
        });
        self.update(hook, HookState::Pending);
        command::run(hook, state)?;
        self.update(hook, HookState::Done);
        Ok(())
    }

    fn position(&self, hook: &Hook) -> Option<usize> {
        self.states.iter().position(|(known, _)| known == hook)
    }
}

fn log_failure(path: &Path, error: &io::Error) {
    if slog_scope::with_logger(|logger| logger.is_enabled(Level::Error)) {
        error!(sl!(), "hook {path:?} failed: {error}");
        return;
    }
    // There is nobody left to tell if that fails.
    let _ = kmsg::report_failure(Path::new(KERNEL_LOG), path, &error.to_string());
}
