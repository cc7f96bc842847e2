// The README's links lead to source files, where there is no rustdoc; here, these come before them.
//! [`cpu`]: mod@cpu
//! [`device`]: mod@device
//! [`fs`]: mod@fs
//! [`hooks`]: mod@hooks
//! [`infiniband`]: mod@infiniband
//! [`k8s`]: mod@k8s
//! [`mount`]: mod@mount
//! [`netns`]: mod@netns
//! [`numa`]: mod@numa
//! [`oci_docker`]: mod@oci_docker
//! [`pcilibs`]: mod@pcilibs
//! [`protection`]: mod@protection
//! [`rand`]: mod@rand
//! [`spec`]: mod@spec
//! [`validate`]: mod@validate
#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod cmdline;
mod open;
mod sys;
mod sys_root;

pub mod cpu;
pub mod device;
pub mod fs;
pub mod hooks;
pub mod infiniband;
pub mod k8s;
pub mod mount;
pub mod netns;
pub mod numa;
pub mod oci_docker;
pub mod pcilibs;
pub mod protection;
pub mod rand;
pub mod spec;
pub mod validate;

pub use cmdline::check_kernel_cmd_line;
pub use sys_root::SysRoot;

/// What the macros expand to. Not for direct use: it may change in any release.
#[doc(hidden)]
pub mod __private {
    pub use slog_scope::logger;
}

/// The logger of the current scope, as [`slog_scope::logger`](https://docs.rs/slog-scope/4/slog_scope/fn.logger.html) gives it: a
/// [`slog::Logger`](https://docs.rs/slog/2/slog/struct.Logger.html) of one's own.
///
/// Callers need no dependency on `slog-scope`.
///
/// ```
/// use kata_sys_util::sl;
///
/// slog::info!(sl!(), "container started"; "id" => "web");
/// ```
#[macro_export]
macro_rules! sl {
    () => {
        $crate::__private::logger()
    };
}
