//! What can go wrong with a mount.

use std::io;
use std::path::PathBuf;

/// An error of [`mount`](super): which step failed, on which path, and what the kernel said.
///
/// The texts are the ones that kata-containers has always logged. Only [`Io`](Error::Io) has a
/// source: the others print their cause themselves.
///
/// ```
/// use kata_sys_util::mount::{Error, get_linux_mount_info};
///
/// let error = get_linux_mount_info("/no/such/mount").err().unwrap();
/// assert!(matches!(&error, Error::NoMountEntry(path) if path == "/no/such/mount"));
/// assert_eq!(error.to_string(), "Can not find mountpoint for /no/such/mount");
/// ```
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A bind mount of field 0 to field 1 was refused.
    #[error("Can not bind mount {0} to {1}: {2}")]
    BindMount(PathBuf, PathBuf, nix::Error),
    /// A fail point was told to fail.
    #[error("Failure injection: {0}")]
    FailureInject(String),
    /// Reading, creating or looking at a file failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A line of the mount table has fewer fields (1) than expected (0).
    #[error("Invalid mountpoint entry (expected {0} fields, got {1}) fields: {2}")]
    InvalidMountEntry(usize, usize, String),
    /// An option that a mount cannot have, such as `loop`.
    #[error("Invalid mount option: {0}")]
    InvalidMountOption(String),
    /// A path that does not exist, has the wrong type, leaves its root, or is the root itself.
    #[error("Invalid path: {0}")]
    InvalidPath(PathBuf),
    /// A helper thread could not be started or died.
    #[error("Failure in waiting for thread: {0}")]
    Join(String),
    /// A mount of field 0 to field 1, or a change of the propagation of field 1, was refused.
    #[error("Can not mount {0} to {1}: {2}")]
    Mount(PathBuf, PathBuf, nix::Error),
    /// The mount data do not fit into a memory page, the limit of `mount(2)`. The text says 4K
    /// whatever the page size.
    #[error("Mount option exceeds 4K size")]
    MountOptionTooBig,
    /// A source or target path is empty.
    #[error("Path for mountpoint is null")]
    NullMountPointPath,
    /// A propagation type other than `MS_SHARED` and `MS_SLAVE`.
    #[error("Invalid Propagation type Flag")]
    InvalidPgMountFlag,
    /// The directory that shortens an overlay's options could not be opened.
    #[error("Faile to open file {0} by path, {1}")]
    OpenByPath(PathBuf, io::Error),
    /// `stat(2)` failed.
    #[error("Can not read metadata of {0}, {1}")]
    ReadMetadata(PathBuf, io::Error),
    /// A change of the flags of a mount was refused.
    #[error("Can not remount {0}: {1}")]
    Remount(PathBuf, nix::Error),
    /// Nothing is mounted at this path.
    #[error("Can not find mountpoint for {0}")]
    NoMountEntry(String),
    /// An unmount was refused.
    #[error("Can not umount {0}, {1}")]
    Umount(PathBuf, io::Error),
}

/// The result of a function of [`mount`](super).
pub type Result<T> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use nix::errno::Errno;

    use super::*;

    fn not_found() -> io::Error {
        io::Error::from_raw_os_error(libc::ENOENT)
    }

    #[test]
    fn texts_are_those_of_the_contract() {
        let path = |p: &str| PathBuf::from(p);
        let cases = [
            (
                Error::BindMount(path("/s"), path("/d"), Errno::ENOENT),
                "Can not bind mount /s to /d: ENOENT: No such file or directory",
            ),
            (
                Error::FailureInject("Bind mount fail point injection".into()),
                "Failure injection: Bind mount fail point injection",
            ),
            (
                Error::Io(not_found()),
                "No such file or directory (os error 2)",
            ),
            (
                Error::InvalidMountEntry(6, 2, "a b".into()),
                "Invalid mountpoint entry (expected 6 fields, got 2) fields: a b",
            ),
            (
                Error::InvalidMountOption("loop".into()),
                "Invalid mount option: loop",
            ),
            (Error::InvalidPath(path("/a b")), "Invalid path: /a b"),
            (
                Error::Join("gone".into()),
                "Failure in waiting for thread: gone",
            ),
            (
                Error::Mount(path(""), path("/t"), Errno::EINVAL),
                "Can not mount  to /t: EINVAL: Invalid argument",
            ),
            (Error::MountOptionTooBig, "Mount option exceeds 4K size"),
            (Error::NullMountPointPath, "Path for mountpoint is null"),
            (Error::InvalidPgMountFlag, "Invalid Propagation type Flag"),
            (
                Error::OpenByPath(path("/w"), not_found()),
                "Faile to open file /w by path, No such file or directory (os error 2)",
            ),
            (
                Error::ReadMetadata(path("/m"), not_found()),
                "Can not read metadata of /m, No such file or directory (os error 2)",
            ),
            (
                Error::Remount(path("/r"), Errno::EPERM),
                "Can not remount /r: EPERM: Operation not permitted",
            ),
            (
                Error::NoMountEntry("/n".into()),
                "Can not find mountpoint for /n",
            ),
            (
                Error::Umount(path("/u"), io::Error::from_raw_os_error(libc::EPERM)),
                "Can not umount /u, Operation not permitted (os error 1)",
            ),
        ];
        for (error, text) in cases {
            assert_eq!(error.to_string(), text);
            assert!(error.source().is_none(), "{text}");
        }
    }

    #[test]
    fn io_error_keeps_the_source_of_the_inner_error() {
        let inner = io::Error::other(Error::MountOptionTooBig);
        let error = Error::from(inner);
        assert_eq!(error.to_string(), "Mount option exceeds 4K size");
        assert!(matches!(error, Error::Io(_)));
    }

    #[test]
    fn error_can_be_sent_and_shared() {
        fn is_portable<T: Send + Sync + 'static>() {}
        is_portable::<Error>();
    }
}
