//! Rootless mode: a process-wide flag, and the directory below which paths then live.
//!
//! Source: the [XDG base directory specification] for `XDG_RUNTIME_DIR`.
//!
//! [XDG base directory specification]: https://specifications.freedesktop.org/basedir-spec/latest/

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use slog::error;

static ROOTLESS: AtomicBool = AtomicBool::new(false);
static FALLBACK_REPORTED: AtomicBool = AtomicBool::new(false);

/// Sets the process-wide rootless flag, visible to all threads at once. It starts as `false`.
///
/// ```standalone_crate
/// use kata_types::rootless::{is_rootless, set_rootless};
/// assert!(!is_rootless());
/// set_rootless(true);
/// assert!(is_rootless());
/// ```
pub fn set_rootless(rootless: bool) {
    ROOTLESS.store(rootless, Ordering::SeqCst);
}

/// Whether the process runs rootless; see [`set_rootless`].
///
/// ```
/// if kata_types::rootless::is_rootless() {
///     println!("files lie below {}", kata_types::rootless::rootless_dir());
/// }
/// ```
pub fn is_rootless() -> bool {
    ROOTLESS.load(Ordering::SeqCst)
}

/// The directory of rootless runtime files: the value of `XDG_RUNTIME_DIR`, read on every call.
///
/// When the variable is unset, empty or not UTF-8, this is `/run/user/<effective uid>`, and the
/// first such call logs an error.
///
/// ```no_run
/// // XDG_RUNTIME_DIR=/run/user/1000
/// assert_eq!(kata_types::rootless::rootless_dir(), "/run/user/1000");
/// ```
pub fn rootless_dir() -> String {
    match std::env::var("XDG_RUNTIME_DIR") {
        Ok(dir) if !dir.is_empty() => dir,
        _ => fallback_dir(),
    }
}

/// Prefixes a host path with [`rootless_dir`] when the process is rootless.
///
/// Otherwise the path is returned unchanged. In rootless mode all leading slashes, and one trailing
/// slash of an absolute path, are dropped before joining; nothing else is normalised.
///
/// ```
/// use kata_types::rootless::prefix_with_rootless_dir;
/// assert_eq!(prefix_with_rootless_dir("/run/kata"), "/run/kata"); // not rootless
/// ```
pub fn prefix_with_rootless_dir(path: &str) -> String {
    if is_rootless() {
        join_below(&rootless_dir(), path)
    } else {
        path.to_string()
    }
}

fn fallback_dir() -> String {
    // SAFETY: geteuid(2) takes no arguments and always succeeds.
    let uid = unsafe { libc::geteuid() };
    let dir = format!("/run/user/{uid}");
    if !FALLBACK_REPORTED.swap(true, Ordering::Relaxed) {
        error!(sl!(), "XDG_RUNTIME_DIR is not set yet"; "using" => &dir);
    }
    dir
}

fn join_below(dir: &str, path: &str) -> String {
    let relative = path.trim_start_matches('/');
    let relative = if relative.len() < path.len() {
        relative.strip_suffix('/').unwrap_or(relative)
    } else {
        relative
    };
    Path::new(dir).join(relative).to_string_lossy().into_owned()
}

// The flag and the environment belong to the whole process: see `tests/rootless.rs`.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn join_keeps_every_path_below_the_directory() {
        for (path, joined) in [
            ("/run/kata", "/d/run/kata"),
            ("run/kata", "/d/run/kata"),
            ("//etc", "/d/etc"),
            ("///etc//x", "/d/etc//x"),
            ("/run/kata/", "/d/run/kata"),
            ("run/kata/", "/d/run/kata/"),
            ("/a/./b", "/d/a/./b"),
        ] {
            assert_eq!(join_below("/d", path), joined, "{path}");
        }
    }

    #[test]
    fn path_is_unchanged_when_not_rootless() {
        assert!(!is_rootless());
        assert_eq!(prefix_with_rootless_dir("//a/../b/"), "//a/../b/");
        assert_eq!(crate::build_path("x"), "x");
    }
}
