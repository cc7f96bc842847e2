//! The guest that `guest/run` boots in QEMU: whether a test runs there, and a guard for those that
//! need a machine of their own.

use std::env;

use crate::skip::{Need, announce};

/// Set by the runner in the guest, and nowhere else.
const GUEST: &str = "KATA_TEST_GUEST";

/// Whether this is the guest of `test-utils/guest`, whose processor may be emulated: for tests that
/// must be content with less there.
///
/// ```
/// let bytes: u64 = if test_utils::is_guest() { 64 << 20 } else { 1 << 30 };
/// # assert!(bytes > 0);
/// ```
pub fn is_guest() -> bool {
    env::var_os(GUEST).is_some_and(|value| value == "1")
}

/// Returns from the test unless it runs in the guest of `test-utils/guest`, a virtual machine that
/// a test may change as it likes: load on all memory, swap, kernel settings, devices.
///
/// The runner sets `KATA_TEST_GUEST=1` there. Elsewhere this line is printed, with the test's name:
///
/// ```text
/// INFO: skipping MODULE which needs the guest
/// ```
///
/// An argument is the value to return, for tests that return one; it is not evaluated unless the
/// test is skipped.
///
/// # Panics
///
/// Instead of skipping, if `KATA_TEST_STRICT` contains `guest` (see the [crate](crate) page).
///
/// ```
/// use test_utils::skip_if_not_guest;
///
/// fn swap_is_ours() {
///     skip_if_not_guest!();
///     std::fs::write("/proc/sys/vm/swappiness", "200").unwrap();
/// }
/// # swap_is_ours();
/// ```
#[macro_export]
macro_rules! skip_if_not_guest {
    ($($value:expr $(,)?)?) => {
        if $crate::__private::skip_outside_guest(::core::module_path!()) {
            return $($value)?;
        }
    };
}

/// Whether to skip a test that needs the guest; says so if it is.
#[track_caller]
pub fn skip_outside_guest(module: &str) -> bool {
    let outside = !is_guest();
    if outside {
        announce(Need::Guest, format_args!("{module} which needs the guest"));
    }
    outside
}
