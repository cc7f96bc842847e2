//! Records of the scope logger, all with `subsystem = "mem-agent"`.
//!
//! Without a global logger, records are discarded.

/// What the macros expand to. Not for direct use: it may change in any release.
#[doc(hidden)]
pub mod __private {
    pub use slog;
    pub use slog_scope::logger;
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
