//! Plugins: what is special about each hypervisor.
//!
//! The rules of a known hypervisor are two tables, steps to adjust and checks to validate, in the
//! order in which they apply; see [`rules`].

mod ch;
mod dragonball;
mod fields;
mod firecracker;
mod qemu;
mod registry;
mod remote;
mod rules;

pub use ch::{CloudHypervisorConfig, HYPERVISOR_NAME_CH};
pub use dragonball::{DragonballConfig, HYPERVISOR_NAME_DRAGONBALL};
pub use firecracker::{FirecrackerConfig, HYPERVISOR_NAME_FIRECRACKER};
pub use qemu::{HYPERVISOR_NAME_QEMU, QemuConfig};
pub use registry::{get_hypervisor_plugin, register_hypervisor_plugin};
pub use remote::{HYPERVISOR_NAME_REMOTE, RemoteConfig};
pub use rules::BuiltInPlugin;

#[cfg(test)]
mod testing;
