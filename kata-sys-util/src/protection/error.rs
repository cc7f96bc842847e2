//! Why the protection of guests is not known.

use std::io;
use std::path::PathBuf;

/// Why the protection of guests is not known.
#[derive(Debug, thiserror::Error)]
pub enum ProtectionError {
    /// Only root may ask (s390x, powerpc64le).
    #[error("No permission to check guest protection")]
    NoPerms,
    /// A file cannot be read, or CPU and kernel do not fit together.
    #[error("Failed to check guest protection: {0}")]
    CheckFailed(String),
    /// Secure Execution is there, but the kernel was not told to use it (s390x).
    #[error("Invalid guest protection value: {0}")]
    InvalidValue(String),
    /// Not given by this crate; for callers that resolve paths themselves.
    #[error("Cannot resolve path {0} below {1}: {2}")]
    CannotResolvePath(String, PathBuf, #[source] anyhow::Error),
    /// Not given by this crate; for callers that expect further files.
    #[error("Expected file {0} not found: {1}")]
    FileMissing(String, #[source] io::Error),
    /// Not given by this crate; for callers that read further files.
    #[error("File {0} contains unexpected content: {1}")]
    FileInvalid(PathBuf, #[source] anyhow::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_that_callers_print() {
        use ProtectionError::*;
        let missing = || io::Error::from_raw_os_error(libc::ENOENT);
        for (error, expected) in [
            (NoPerms, "No permission to check guest protection"),
            (
                CheckFailed("x".into()),
                "Failed to check guest protection: x",
            ),
            (
                InvalidValue("x".into()),
                "Invalid guest protection value: x",
            ),
            (
                CannotResolvePath("a".into(), "/b".into(), anyhow::anyhow!("c")),
                "Cannot resolve path a below /b: c",
            ),
            (
                FileMissing("/a".into(), missing()),
                "Expected file /a not found: No such file or directory (os error 2)",
            ),
            (
                FileInvalid("/a".into(), anyhow::anyhow!("c")),
                "File /a contains unexpected content: c",
            ),
        ] {
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn error_can_be_sent_and_wrapped() {
        fn check<T: std::error::Error + Send + Sync + 'static>(error: T) -> anyhow::Error {
            error.into()
        }
        assert!(check(ProtectionError::NoPerms).is::<ProtectionError>());
    }
}
