//! Keys of a hypervisor section that the rules of plugins are about.

use crate::config::hypervisor::Hypervisor;

/// A key of a section, and where its value lives.
pub(super) struct Field<T> {
    pub(super) key: &'static str,
    pub(super) get: fn(&Hypervisor) -> &T,
    pub(super) get_mut: fn(&mut Hypervisor) -> &mut T,
}

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $key:literal, $($path:ident).+;)+) => {
        $(
            $(#[$doc])*
            pub(super) static $name: Field<$type> = Field {
                key: $key,
                get: |hv| &hv.$($path).+,
                get_mut: |hv| &mut hv.$($path).+,
            };
        )+
    };
}

fields! {
    PATH: String = "path", path;
    VALID_PATHS: Vec<String> = "valid_hypervisor_paths", valid_hypervisor_paths;
    CTLPATH: String = "ctlpath", ctlpath;
    VALID_CTLPATHS: Vec<String> = "valid_ctlpaths", valid_ctlpaths;
    JAILER_PATH: String = "jailer_path", jailer_path;
    VALID_JAILER_PATHS: Vec<String> = "valid_jailer_paths", valid_jailer_paths;
    KERNEL: String = "kernel", boot_info.kernel;
    KERNEL_PARAMS: String = "kernel_params", boot_info.kernel_params;
    IMAGE: String = "image", boot_info.image;
    INITRD: String = "initrd", boot_info.initrd;
    FIRMWARE: String = "firmware", boot_info.firmware;
    ROOTFS_TYPE: String = "rootfs_type", boot_info.rootfs_type;
    MACHINE_TYPE: String = "machine_type", machine_info.machine_type;
    PFLASHES: Vec<String> = "pflashes", machine_info.pflashes;
    ENTROPY_SOURCE: String = "entropy_source", machine_info.entropy_source;
    BRIDGES: u32 = "default_bridges", device_info.default_bridges;
    MEMORY: u32 = "default_memory", memory_info.default_memory;
    MEMORY_SLOTS: u32 = "memory_slots", memory_info.memory_slots;
    HYPERVISOR_SOCKET: String = "hypervisor_socket", remote_info.hypervisor_socket;
    HYPERVISOR_TIMEOUT: i32 = "hypervisor_timeout", remote_info.hypervisor_timeout;
    TEMPLATE_PATH: String = "factory.template_path", factory.template_path;
}
