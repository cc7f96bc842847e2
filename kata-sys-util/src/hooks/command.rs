//! From a hook as it is written in the OCI spec to what is executed, and from its end to the result.

use std::collections::HashMap;
use std::ffi::{CString, NulError, OsStr};
use std::fmt::Display;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use oci_spec::runtime::Hook;
use slog::{error, info};

use super::process::{self, End, Report, Status};
use super::stream::Captured;
use super::sys::Program;
use crate::sl;
use crate::validate::valid_env;

/// The time for a hook whose own is not positive.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs a hook, with the container's state as its input, and logs its output.
pub(super) fn run(hook: &Hook, state: Option<&str>) -> io::Result<()> {
    let path = hook.path();
    check_path(path)?;
    let not_started = |cause: &dyn Display| {
        io::Error::other(format!(
            "failed to create subprocess for hook {path:?}: {cause}"
        ))
    };
    let program = program(hook).map_err(|e| not_started(&e))?;
    let timeout = timeout(hook);
    info!(sl!(), "run hook {path:?}"; "timeout" => ?timeout);
    let report =
        process::run(&program, state.map(str::as_bytes), timeout).map_err(|e| not_started(&e))?;
    log_output(path, &report);
    match report.end {
        End::Ended(Status::Exited(0)) => Ok(()),
        End::Ended(Status::Exited(code)) => Err(io::Error::other(format!(
            "hook {path:?} exit status with {code}"
        ))),
        End::Ended(status) => Err(io::Error::other(format!(
            "no exit code for hook {path:?}: {status:?}"
        ))),
        End::TimedOut => Err(io::Error::new(
            ErrorKind::TimedOut,
            format!("hook {path:?} has not finished within {timeout:?}"),
        )),
        End::NotStarted(cause) => Err(not_started(&cause)),
        End::WaitFailed(cause) => Err(io::Error::other(format!(
            "wait_timeout for hook {path:?} failed: {cause}"
        ))),
    }
}

fn check_path(path: &Path) -> io::Result<()> {
    let problem = if path.as_os_str().is_empty() {
        "is empty"
    } else if !path.is_absolute() {
        "is not absolute"
    } else if is_missing(path) {
        "does not exist"
    } else {
        return Ok(());
    };
    Err(io::Error::other(format!("path of hook {path:?} {problem}")))
}

/// Whether there is surely no such file. Other problems show up when it is executed.
fn is_missing(path: &Path) -> bool {
    matches!(
        fs::metadata(path),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
    )
}

fn program(hook: &Hook) -> Result<Program, NulError> {
    let path = c_string(hook.path())?;
    let args = match hook.args().as_deref() {
        None | Some([]) => vec![path.clone()],
        Some(args) => args.iter().map(c_string).collect::<Result<_, _>>()?,
    };
    Ok(Program::new(path, args, environment(hook)?))
}

fn c_string<S: AsRef<OsStr> + ?Sized>(text: &S) -> Result<CString, NulError> {
    CString::new(text.as_ref().as_bytes())
}

/// The valid entries as `KEY=VALUE`, each key once, with its last value in the place of the first.
fn environment(hook: &Hook) -> Result<Vec<CString>, NulError> {
    let mut entries: Vec<(&str, &str)> = Vec::new();
    let mut places = HashMap::new();
    for (key, value) in hook.env().iter().flatten().filter_map(|e| valid_env(e)) {
        let place = *places.entry(key).or_insert(entries.len());
        match entries.get_mut(place) {
            Some(entry) => entry.1 = value,
            None => entries.push((key, value)),
        }
    }
    let entries = entries.into_iter();
    entries
        .map(|(key, value)| CString::new(format!("{key}={value}")))
        .collect()
}

fn timeout(hook: &Hook) -> Duration {
    match hook.timeout().map(u64::try_from) {
        None | Some(Ok(0) | Err(_)) => DEFAULT_TIMEOUT,
        Some(Ok(seconds)) => Duration::from_secs(seconds),
    }
}

fn log_output(path: &Path, report: &Report) {
    if let Some(text) = text(&report.stderr) {
        error!(sl!(), "stderr of hook {path:?}: {text}");
    }
    if let Some(text) = text(&report.stdout) {
        info!(sl!(), "stdout of hook {path:?}: {text}");
    }
}

/// What has been written, if anything.
fn text(output: &Captured) -> Option<String> {
    let mut text = String::from_utf8_lossy(output.bytes()).into_owned();
    if text.is_empty() {
        return None;
    }
    match output.discarded() {
        0 => {}
        more => text.push_str(&format!(" [cut: {more} bytes more]")),
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::HookBuilder;

    use super::*;

    #[test]
    fn timeout_is_in_seconds_and_10_unless_positive() {
        for (seconds, expected) in [
            (None, 10),
            (Some(0), 10),
            (Some(-1), 10),
            (Some(i64::MIN), 10),
            (Some(1), 1),
            (Some(3600), 3600),
            (Some(i64::MAX), i64::MAX.unsigned_abs()),
        ] {
            let mut hook = HookBuilder::default().path("/bin/true").build().unwrap();
            hook.set_timeout(seconds);
            assert_eq!(timeout(&hook), Duration::from_secs(expected), "{seconds:?}");
        }
    }

    #[test]
    fn environment_has_each_key_once_with_its_last_value() {
        let with = |env: Option<&[&str]>| {
            let mut hook = HookBuilder::default().path("/bin/true").build().unwrap();
            hook.set_env(env.map(|env| env.iter().map(|e| (*e).to_owned()).collect()));
            let env = environment(&hook).unwrap();
            env.iter()
                .map(|e| e.to_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert!(with(None).is_empty());
        assert!(with(Some(&[])).is_empty());
        assert_eq!(with(Some(&["A=1", "B=2", "A=3"])), ["A=3", "B=2"]);
        assert_eq!(with(Some(&["A=1", " A = 2 ", "a=3"])), ["A=2", "a=3"]);
        assert_eq!(
            with(Some(&["A", "=1", " =1", "A=\0", "B=a=b="])),
            ["B=a=b="]
        );
    }

    /// The environment is a pod owner's, and is read before the hook's time begins.
    #[test]
    fn environment_of_a_hundred_thousand_keys_keeps_their_order() {
        let entry = |key: usize, value: usize| format!("K{key}={value}");
        let keys = 0..100_000;
        let twice = keys.clone().map(|key| entry(key, 1));
        let twice = twice.chain(keys.clone().rev().map(|key| entry(key, 2)));
        let mut hook = HookBuilder::default().path("/bin/true").build().unwrap();
        hook.set_env(Some(twice.collect()));
        let env = environment(&hook).unwrap();
        assert_eq!(env.len(), keys.len());
        for (key, found) in keys.zip(env) {
            assert_eq!(found.to_str().unwrap(), entry(key, 2));
        }
    }

    #[test]
    fn missing_file_is_told_from_one_that_cannot_be_seen() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        assert!(is_missing(&link), "dangling");
        assert!(is_missing(Path::new("/bin/sh/x")));
        assert!(!is_missing(Path::new("/bin/sh")));
        // Too long a name is another problem.
        assert!(!is_missing(&Path::new("/").join("x".repeat(300))));
    }
}
