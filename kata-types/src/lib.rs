// The README's links lead to source files, where there is no rustdoc; here, these come before them.
//! [`annotations`]: mod@annotations
//! [`capabilities`]: mod@capabilities
//! [`config`]: mod@config
//! [`config::ConfigLoader`]: config::ConfigLoader
//! [`config::TomlConfig`]: config::TomlConfig
//! [`container`]: mod@container
//! [`cpu`]: mod@cpu
//! [`device`]: mod@device
//! [`fs`]: mod@fs
//! [`gpt_disk`]: mod@gpt_disk
//! [`handler`]: mod@handler
//! [`initdata`]: mod@initdata
//! [`k8s`]: mod@k8s
//! [`machine_type`]: mod@machine_type
//! [`mount`]: mod@mount
//! [`rootless`]: mod@rootless
#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[macro_use]
mod macros;
mod atomic_file;
mod bounded_items;
mod encoding;
mod excerpt;
mod terse;
#[cfg(test)]
mod testing;
mod toml_extract;
mod toml_nesting;
mod utils;

pub mod annotations;
pub mod capabilities;
pub mod config;
pub mod container;
pub mod cpu;
pub mod device;
pub mod fs;
pub mod gpt_disk;
pub mod handler;
pub mod initdata;
pub mod k8s;
pub mod machine_type;
pub mod mount;
pub mod rootless;

#[doc(hidden)]
pub use macros::private as __private;
pub use rootless::prefix_with_rootless_dir;

/// Error of the CPU and NUMA node list parser ([`cpu::CpuSet`]).
///
/// ```
/// let error = "3-1".parse::<kata_types::cpu::CpuSet>().unwrap_err();
/// assert_eq!(error.to_string(), "invalid list 3-1");
/// ```
#[derive(thiserror::Error, Debug)]
pub enum Error {
    /// The text is not a list of decimal ids and ascending ranges, or it names too many ids.
    #[error("invalid list {0}")]
    InvalidList(String),
}

/// The former name of [`prefix_with_rootless_dir`].
///
/// ```
/// assert_eq!(kata_types::build_path("/run/kata"), "/run/kata"); // not rootless
/// ```
pub fn build_path(path: &str) -> String {
    prefix_with_rootless_dir(path)
}
