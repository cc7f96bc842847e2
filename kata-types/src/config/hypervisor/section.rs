//! One hypervisor section.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::boot::KernelSource;
use super::{
    BlockDeviceInfo, BootInfo, CpuInfo, DebugInfo, DeviceInfo, Factory, HypervisorVendor,
    MachineInfo, MemoryInfo, NetworkInfo, RemoteInfo, SecurityInfo, SharedFsInfo, VmTemplateInfo,
};
use crate::config::adjust::{Adjuster, Checked};
use crate::config::check::Checker;
use crate::config::validate::{note_bad_patterns, validate_path_pattern};

/// One `[hypervisor.<name>]` section.
///
/// The keys of all parts except `factory` stand directly in the section. Unknown keys are ignored.
/// The JSON form is also the on-disk form of sandbox state: missing keys get their defaults.
///
/// ```
/// use kata_types::config::Hypervisor;
///
/// let hv: Hypervisor = serde_json::from_str(
///     r#"{"path": "/opt/kata/bin/qemu", "kernel": "/opt/kata/vmlinuz", "default_vcpus": 2}"#,
/// )?;
/// assert_eq!(hv.boot_info.kernel, "/opt/kata/vmlinuz");
/// assert_eq!(hv.cpu_info.default_vcpus, 2.0);
/// assert!(hv.disable_guest_selinux);
/// # Ok::<(), serde_json::Error>(())
/// ```
// Tables come last, because toml 0.5 cannot write a value after a table (D25): `security_info`
// ends with one, and `factory` is one.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default = "Hypervisor::default")]
pub struct Hypervisor {
    /// Path of the hypervisor program. Default: empty; `/usr/bin/qemu-system-x86_64` for QEMU,
    /// `/usr/bin/cloud-hypervisor` for Cloud Hypervisor. Must be empty for Dragonball.
    pub path: String,

    /// Shell patterns of the paths that a pod annotation may set as `path`; see
    /// [`validate_path_pattern`]. Default: none.
    pub valid_hypervisor_paths: Vec<String>,

    /// Path of the control program of the hypervisor. Default: empty. Ignored by the runtime of
    /// this version.
    pub ctlpath: String,

    /// Shell patterns of permitted values of `ctlpath`. Default: none.
    pub valid_ctlpaths: Vec<String>,

    /// Path of the jailer program. Must be empty for QEMU and Cloud Hypervisor. Default: empty.
    pub jailer_path: String,

    /// Shell patterns of the paths that a pod annotation may set as `jailer_path`. Default: none.
    pub valid_jailer_paths: Vec<String>,

    /// Nested virtualization is not checked for. Default: false.
    pub disable_nesting_checks: bool,

    /// Block devices get a thread of their own. Not supported by Dragonball. Default: false.
    pub enable_iothreads: bool,

    /// Block device settings.
    #[serde(flatten)]
    pub blockdev_info: BlockDeviceInfo,

    /// Boot settings.
    #[serde(flatten)]
    pub boot_info: BootInfo,

    /// CPU settings.
    #[serde(flatten)]
    pub cpu_info: CpuInfo,

    /// Debug settings.
    #[serde(flatten)]
    pub debug_info: DebugInfo,

    /// Device settings.
    #[serde(flatten)]
    pub device_info: DeviceInfo,

    /// Machine settings.
    #[serde(flatten)]
    pub machine_info: MachineInfo,

    /// Memory settings.
    #[serde(flatten)]
    pub memory_info: MemoryInfo,

    /// Network settings.
    #[serde(flatten)]
    pub network_info: NetworkInfo,

    /// Shared file system settings.
    #[serde(flatten)]
    pub shared_fs: SharedFsInfo,

    /// Settings of the remote hypervisor service.
    #[serde(flatten)]
    pub remote_info: RemoteInfo,

    /// Template settings.
    #[serde(flatten)]
    pub vm_template: VmTemplateInfo,

    /// Path of a list of files that the nydus daemon fetches ahead. Default: empty.
    pub prefetch_list_path: String,

    /// Vendor settings.
    #[serde(flatten)]
    pub vendor: HypervisorVendor,

    /// SELinux is off in the guest. Default: true.
    pub disable_guest_selinux: bool,

    /// The hypervisor process gets no SELinux label. Default: false.
    pub disable_selinux: bool,

    /// Security settings.
    #[serde(flatten)]
    pub security_info: SecurityInfo,

    /// VM template settings, the table `factory`.
    pub factory: Factory,
}

impl Default for Hypervisor {
    fn default() -> Hypervisor {
        Hypervisor {
            path: String::new(),
            valid_hypervisor_paths: Vec::new(),
            ctlpath: String::new(),
            valid_ctlpaths: Vec::new(),
            jailer_path: String::new(),
            valid_jailer_paths: Vec::new(),
            disable_nesting_checks: false,
            enable_iothreads: false,
            blockdev_info: BlockDeviceInfo::default(),
            boot_info: BootInfo::default(),
            cpu_info: CpuInfo::default(),
            debug_info: DebugInfo::default(),
            device_info: DeviceInfo::default(),
            machine_info: MachineInfo::default(),
            memory_info: MemoryInfo::default(),
            network_info: NetworkInfo::default(),
            shared_fs: SharedFsInfo::default(),
            remote_info: RemoteInfo::default(),
            vm_template: VmTemplateInfo::default(),
            prefetch_list_path: String::new(),
            vendor: HypervisorVendor::default(),
            disable_guest_selinux: true,
            disable_selinux: false,
            security_info: SecurityInfo::default(),
            factory: Factory::default(),
        }
    }
}

impl Hypervisor {
    /// Checks that `valid_hypervisor_paths` permits `path`.
    ///
    /// # Errors
    ///
    /// See [`validate_path_pattern`].
    pub fn validate_hypervisor_path<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        validate_path_pattern(&self.valid_hypervisor_paths, path)
    }

    /// Checks that `valid_ctlpaths` permits `path`.
    ///
    /// # Errors
    ///
    /// See [`validate_path_pattern`].
    pub fn validate_hypervisor_ctlpath<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        validate_path_pattern(&self.valid_ctlpaths, path)
    }

    /// Checks that `valid_jailer_paths` permits `path`.
    ///
    /// # Errors
    ///
    /// See [`validate_path_pattern`].
    pub fn validate_jailer_path<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        validate_path_pattern(&self.valid_jailer_paths, path)
    }

    /// What all hypervisors have in common; plugins run before.
    pub(super) fn adjust_in(&mut self, cx: &mut Adjuster<'_>, limits: SectionLimits) -> Checked {
        for (key, patterns) in [
            ("valid_hypervisor_paths", &self.valid_hypervisor_paths),
            ("valid_ctlpaths", &self.valid_ctlpaths),
            ("valid_jailer_paths", &self.valid_jailer_paths),
        ] {
            note_bad_patterns(cx, key, patterns);
        }
        self.blockdev_info.adjust_in(cx)?;
        self.boot_info.adjust_in(cx, limits.kernel)?;
        self.cpu_info.adjust_in(cx, limits.max_vcpus)?;
        self.device_info.adjust_in(cx)?;
        self.machine_info.adjust_in(cx)?;
        self.memory_info.adjust_in(cx)?;
        self.network_info.adjust_in(cx)?;
        self.security_info.adjust_in(cx)?;
        self.shared_fs.adjust_in(cx)?;
        // Nothing to adjust: debug_info, vm_template.
        cx.resolve(
            &mut self.prefetch_list_path,
            "prefetch_list_path",
            "prefetch_list_path `{}` is invalid: {}",
        )
    }

    /// What all hypervisors have in common; plugins run before.
    pub(super) fn validate_in(&self, cx: &Checker<'_>) -> Checked {
        self.blockdev_info.validate_in(cx)?;
        self.boot_info.validate_in(cx)?;
        self.cpu_info.validate_in()?;
        self.device_info.validate_in()?;
        self.machine_info.validate_in(cx)?;
        self.memory_info.validate_in(cx)?;
        self.shared_fs.validate_in(cx)?;
        // Nothing to validate: debug_info, network_info, security_info, vm_template.
        for (value, key, message) in [
            (
                &self.path,
                "path",
                "Hypervisor binary path `{}` is invalid: {}",
            ),
            (
                &self.ctlpath,
                "ctlpath",
                "Hypervisor control executable `{}` is invalid: {}",
            ),
            (
                &self.jailer_path,
                "jailer_path",
                "Hypervisor jailer path `{}` is invalid: {}",
            ),
            (
                &self.prefetch_list_path,
                "prefetch_list_path",
                "prefetch_files.list path `{}` is invalid: {}",
            ),
        ] {
            cx.exists(value, key, message)?;
        }
        Ok(())
    }
}

/// What the common layer must know from the plugin of a section.
#[derive(Clone, Copy, Debug)]
pub(super) struct SectionLimits {
    /// Whether the plugin had to fill in the kernel.
    pub(super) kernel: KernelSource,
    /// Most virtual CPUs of the hypervisor, unless it needs all CPUs of the host.
    pub(super) max_vcpus: Option<u32>,
}
