//! The CPU, and whether VMs can run on it.

use std::fs::OpenOptions;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use kata_sys_util::cpu::{get_cpu_flags, get_cpu_flags_vec, get_single_cpu_info};
use kata_types::cpu::CpuSet;
use serde::Serialize;

use crate::reader::Reader;
use crate::report::{Row, row};

/// Keys of `/proc/cpuinfo`, whose names depend on the architecture; the first that is there counts.
const VENDOR: [&str; 3] = ["vendor_id", "CPU implementer", "mvendorid"];
const MODEL: [&str; 5] = ["model name", "cpu", "CPU part", "machine", "uarch"];
const FLAGS: [&str; 4] = ["flags", "Features", "features", "isa"];

/// The flags that matter to VMs.
const OF_VMS: [&str; 9] = [
    "hypervisor",
    "sev",
    "sev_es",
    "sev_snp",
    "sie",
    "sme",
    "svm",
    "tdx_host_platform",
    "vmx",
];

#[derive(Serialize)]
pub(crate) struct Cpu {
    architecture: &'static str,
    vendor: Option<String>,
    model: Option<String>,
    /// The CPUs that are online, as a list such as `0-3`.
    online: Option<String>,
    flags: Vec<String>,
    kvm: Kvm,
}

/// Whether this user can run VMs.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Kvm {
    Usable,
    Unusable,
    Absent,
}

impl Cpu {
    pub(crate) fn read(reader: &mut Reader) -> Self {
        let path = reader.root.proc.join("cpuinfo");
        let info = match path.to_str() {
            // All architectures leave an empty line after the first CPU.
            Some(path) => get_single_cpu_info(path, "\n\n"),
            None => Err(anyhow::anyhow!("the path is not UTF-8")),
        };
        let info = info.unwrap_or_else(|error| {
            reader.note(&path, error);
            String::new()
        });
        let value = |keys: &[&str]| {
            let mut values = keys.iter().filter_map(|key| get_cpu_flags(&info, key).ok());
            let value = values.find(|value| !value.trim().is_empty());
            value.map(|value| value.trim().to_owned())
        };
        let mut flags = FLAGS
            .iter()
            .filter_map(|key| get_cpu_flags_vec(&info, key).ok());
        Self {
            architecture: std::env::consts::ARCH,
            vendor: value(&VENDOR),
            model: value(&MODEL),
            online: reader.text(&reader.root.sys.join("devices/system/cpu/online")),
            flags: flags.find(|flags| !flags.is_empty()).unwrap_or_default(),
            kvm: Kvm::of(reader),
        }
    }

    pub(crate) fn rows(&self) -> Vec<Row> {
        let unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
        let count = self
            .online
            .as_ref()
            .and_then(|list| list.parse::<CpuSet>().ok());
        let online = match (&self.online, count) {
            (Some(list), Some(cpus)) => format!("{} ({list})", cpus.len()),
            _ => unknown(&self.online),
        };
        let of_vms = self
            .flags
            .iter()
            .filter(|flag| OF_VMS.contains(&flag.as_str()));
        let of_vms: Vec<&str> = of_vms.map(String::as_str).collect();
        let flags = match of_vms.as_slice() {
            [] => format!("{}, none about VMs", self.flags.len()),
            of_vms => format!("{}, about VMs: {}", self.flags.len(), of_vms.join(" ")),
        };
        vec![
            row("architecture", self.architecture),
            row("vendor", unknown(&self.vendor)),
            row("model", unknown(&self.model)),
            row("online", online),
            row("flags", flags),
            row(
                "kvm",
                match self.kvm {
                    Kvm::Usable => "usable by this user",
                    Kvm::Unusable => "not usable by this user",
                    Kvm::Absent => "no device",
                },
            ),
        ]
    }
}

impl Kvm {
    fn of(reader: &mut Reader) -> Self {
        let path = reader.root.dev.join("kvm");
        match reader.found(&path, path.symlink_metadata()) {
            Some(metadata) if metadata.file_type().is_char_device() => Self::open(reader, &path),
            _ => Self::Absent,
        }
    }

    fn open(reader: &mut Reader, path: &Path) -> Self {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK);
        match options.open(path) {
            Ok(_) => Self::Usable,
            Err(error) => {
                reader.note(path, error);
                Self::Unusable
            }
        }
    }
}
