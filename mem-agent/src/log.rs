//! Records of the scope logger, all with `subsystem = "mem-agent"`.
//!
//! As long as no global logger has been set, records are discarded. One that panics, as that of
//! [`slog_scope`](https://docs.rs/slog-scope/4) does after the guard of the global logger has been
//! dropped, makes the macros panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// What the macros expand to. Not for direct use: it may change in any release.
#[doc(hidden)]
pub mod __private {
    pub use slog;
    pub use slog_scope::logger;
}

/// Writes a record that must not decide over what follows, even if the logger panics.
pub(crate) fn safely(record: impl FnOnce()) {
    // The panic itself has been reported by its hook.
    let _: std::thread::Result<()> = catch_unwind(AssertUnwindSafe(record));
}

macro_rules! define {
    ($dollar:tt, $($name:ident)+) => { $(
        #[doc = concat!("Logs a formatted message at level `", stringify!($name), "` through the scope logger, with `subsystem = \"mem-agent\"`.")]
        ///
        /// ```
        #[doc = concat!("mem_agent::", stringify!($name), "!(\"{} pages of {}\", 64, \"/pod7\");")]
        /// ```
        #[macro_export]
        macro_rules! $name {
            ($dollar($dollar arg:tt)+) => {
                $crate::__private::slog::$name!(
                    $crate::__private::logger(),
                    $dollar($dollar arg)+; "subsystem" => "mem-agent"
                )
            };
        }
    )+ };
}

define!($, error warn info debug trace);
