//! Processes with mounts of their own.

use test_utils::isolation::Isolation;

/// Runs the rest of the test in a process of its own, as root of a new user namespace with a new
/// mount namespace; as real root, without a new user namespace if the kernel does not allow one.
/// There, a tmpfs is mounted on the directory for temporary files, and no mount leaves the
/// namespace.
#[macro_export]
macro_rules! private_mounts {
    () => {
        ::test_utils::isolate!($crate::support::private_mounts());
    };
}

/// After [`private_mounts!`]: mounts with `$prepare`, and runs the rest of the test in another user
/// namespace inside the first, with a copy of the mounts. Their flags are locked there.
#[macro_export]
macro_rules! locked_mounts {
    ($prepare:expr) => {
        ::test_utils::isolate!($crate::support::locked_mounts(|| $prepare));
    };
}

const MOUNTS: libc::c_int = libc::CLONE_NEWNS;
const USER: libc::c_int = libc::CLONE_NEWUSER;

pub(crate) fn private_mounts() -> Isolation<'static> {
    let isolation = Isolation::new().namespaces(USER | MOUNTS);
    isolation.or_namespaces(MOUNTS).tmpfs()
}

pub(crate) fn locked_mounts<'a>(prepare: impl FnOnce() + 'a) -> Isolation<'a> {
    Isolation::new().namespaces(USER | MOUNTS).before(prepare)
}

/// A mount namespace for this thread alone.
pub(crate) fn unshare_mounts() {
    test_utils::isolation::unshare(MOUNTS).unwrap();
}
