#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

mod find;
mod storage;
mod storage_error;
mod transport;

pub mod shim_mgmt;

pub use find::{
    find_sandbox, find_sandbox_in, list_sandboxes, list_sandboxes_in, mgmt_socket_addr_in,
};
pub use storage::{Layout, Sandbox, StorageRoots};
pub use storage_error::{InvalidId, Matches, StorageError};

/// File name of the management socket in the directory of its sandbox.
pub const SHIM_MGMT_SOCK_NAME: &str = "shim-monitor.sock";

/// The directory that holds one directory per sandbox of the Rust runtime: `/run/kata`
/// ([`kata_types::config::KATA_PATH`]), also if the hypervisor is rootless.
///
/// ```
/// use shim_interface::{SHIM_MGMT_SOCK_NAME, sb_storage_path};
///
/// let socket = format!("{}/web-1/{SHIM_MGMT_SOCK_NAME}", sb_storage_path());
/// assert_eq!(socket, "/run/kata/web-1/shim-monitor.sock");
/// ```
pub fn sb_storage_path() -> &'static str {
    kata_types::config::KATA_PATH
}

/// The address of the management socket of the sandbox with the id `sid`, or with the only id that
/// begins with `sid`: `unix:///run/kata/<id>/shim-monitor.sock`.
///
/// Sandboxes of the Go runtime, in `/run/vc/sbs`, are found as well. The socket itself need not
/// exist: a directory of the sandbox is enough. See [`find_sandbox`] for the rules, and
/// [`mgmt_socket_addr_in`] to look in one other directory.
///
/// # Errors
///
/// A [`StorageError`].
///
/// ```
/// let error = shim_interface::mgmt_socket_addr("../etc").unwrap_err();
/// assert_eq!(error.to_string(), "The short id contains invalid characters.");
/// ```
pub fn mgmt_socket_addr(sid: &str) -> anyhow::Result<String> {
    Ok(find_sandbox(sid)?.address())
}
