//! Exported macros: the scoped logger, and the two path checks of `config`.

/// The logger of the current [`slog_scope`](https://docs.rs/slog-scope/4/slog_scope/) scope, for `info!(sl!(), …)`.
///
/// The calling crate needs `slog-scope` as a dependency.
///
/// ```
/// use kata_types::sl;
/// slog::info!(sl!(), "sandbox started"; "id" => "s1");
/// ```
#[macro_export]
macro_rules! sl {
    () => {
        slog_scope::logger()
    };
}

/// Replaces a path held in a `String` place by its canonical form.
///
/// `resolve_path!(place, format)` is an expression of type `std::io::Result<()>`. An empty string
/// is left alone. The format has two `{}`: the path as it was, and the reason why it cannot be
/// resolved. A canonical path that is not valid UTF-8 is an error as well, because a `String` could
/// only hold a different path.
///
/// ```
/// let mut path = "/proc/../proc/version".to_string();
/// kata_types::resolve_path!(path, "guest kernel `{}` is invalid: {}")?;
/// assert_eq!(path, "/proc/version");
///
/// let mut missing = "/no/such/file".to_string();
/// let error = kata_types::resolve_path!(missing, "guest kernel `{}` is invalid: {}").unwrap_err();
/// assert!(error.to_string().starts_with("guest kernel `/no/such/file` is invalid: "));
/// # Ok::<(), std::io::Error>(())
/// ```
#[macro_export]
macro_rules! resolve_path {
    ($field:expr, $fmt:expr) => {
        $crate::__private::resolve_in_place(&mut $field)
            .map_err(|error| ::std::io::Error::other(::std::format!($fmt, &$field, error)))
    };
}

/// Checks that a path exists, without changing it.
///
/// `validate_path!(path, format)` is an expression of type `std::io::Result<()>`; `path` is a
/// `String` or `&str`, and an empty one passes. The format has two `{}`: the path and the reason.
///
/// ```
/// assert!(kata_types::validate_path!("/proc", "path `{}` is invalid: {}").is_ok());
/// assert!(kata_types::validate_path!("", "path `{}` is invalid: {}").is_ok());
/// assert!(kata_types::validate_path!("/no/such/file", "path `{}` is invalid: {}").is_err());
/// ```
#[macro_export]
macro_rules! validate_path {
    ($field:expr, $fmt:expr) => {
        match &$field {
            field => $crate::__private::check_exists(field)
                .map_err(|error| ::std::io::Error::other(::std::format!($fmt, field, error))),
        }
    };
}

/// What the macros expand to; not part of the public interface.
pub mod private {
    use std::io::{self, ErrorKind};
    use std::path::Path;

    /// See [`resolve_path!`](crate::resolve_path).
    ///
    /// # Errors
    /// When the path does not resolve, or resolves to a name that is not UTF-8.
    pub fn resolve_in_place(path: &mut String) -> io::Result<()> {
        if path.is_empty() {
            return Ok(());
        }
        let resolved = Path::new(path).canonicalize()?;
        *path = resolved.into_os_string().into_string().map_err(|name| {
            io::Error::new(
                ErrorKind::InvalidData,
                format!("{} is not valid UTF-8", name.display()),
            )
        })?;
        Ok(())
    }

    /// See [`validate_path!`](crate::validate_path).
    ///
    /// # Errors
    /// When the path does not resolve.
    pub fn check_exists<P: AsRef<str> + ?Sized>(path: &P) -> io::Result<()> {
        let path = path.as_ref();
        if path.is_empty() {
            return Ok(());
        }
        Path::new(path).canonicalize().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    #[test]
    fn empty_path_is_left_alone() {
        let mut path = String::new();
        resolve_path!(path, "{} {}").unwrap();
        assert_eq!(path, "");
        validate_path!(path, "{} {}").unwrap();
    }

    #[test]
    fn resolve_follows_links_and_overwrites_the_place() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::write(root.join("kernel"), "").unwrap();
        symlink("kernel", root.join("link")).unwrap();
        struct Holder {
            inner: String,
        }
        let mut holder = Holder {
            inner: root.join("link").to_str().unwrap().to_string(),
        };
        resolve_path!(holder.inner, "{} {}").unwrap();
        assert_eq!(holder.inner, root.join("kernel").to_str().unwrap());

        let mut list = [root.join("link").to_str().unwrap().to_string()];
        for entry in list.iter_mut() {
            resolve_path!(*entry, "{} {}").unwrap();
        }
        assert!(list[0].ends_with("/kernel"));
    }

    #[test]
    fn failure_fills_the_format_and_keeps_the_place() {
        let mut path = "/no/such/file".to_string();
        let error = resolve_path!(path, "kernel {} bad: {}").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::Other);
        assert_eq!(
            error.to_string(),
            "kernel /no/such/file bad: No such file or directory (os error 2)"
        );
        assert_eq!(path, "/no/such/file");
        let error = validate_path!(path.as_str(), "kernel {} bad: {}").unwrap_err();
        assert!(error.to_string().starts_with("kernel /no/such/file bad: "));
    }

    #[test]
    fn canonical_path_that_is_not_utf8_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join(OsStr::from_bytes(b"k\xff"));
        std::fs::write(&target, "").unwrap();
        symlink(&target, dir.path().join("link")).unwrap();
        let mut path = dir.path().join("link").to_str().unwrap().to_string();
        let before = path.clone();
        let error = resolve_path!(path, "{}: {}").unwrap_err();
        assert!(error.to_string().ends_with("is not valid UTF-8"), "{error}");
        assert_eq!(path, before);
        validate_path!(path, "{}: {}").unwrap();
    }
}
