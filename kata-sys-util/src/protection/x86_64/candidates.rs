//! What is known about each technology of x86_64, whichever is selected.

use std::io;
use std::path::Path;

use super::Files;
use super::cpuid::{INTEL, SevCpuid};
use super::parameter::Parameter;
use crate::cpu::{get_cpu_flags_vec, read_until};
use crate::open::open;
use crate::protection::report::{ProtectionCandidate, Technology};

/// The flag in `/proc/cpuinfo` of a CPU that can host TDX guests, since Linux 6.8.
const TDX_FLAG: &str = "tdx_host_platform";

impl Files {
    /// In the order in which they are selected (X10).
    pub(in crate::protection) fn candidates(&self, cpuid: &SevCpuid) -> Vec<ProtectionCandidate> {
        let snp = ("SEV-SNP", cpuid.has_snp());
        let sev = ("SEV", cpuid.has_sev());
        vec![
            self.tdx(cpuid),
            amd_candidate(Technology::Snp, &self.snp, cpuid, snp),
            amd_candidate(Technology::Sev, &self.sev, cpuid, sev),
        ]
    }

    fn tdx(&self, cpuid: &SevCpuid) -> ProtectionCandidate {
        let parameter = Parameter::read(&self.tdx);
        let is_on = parameter.begins_with_y();
        let (hardware, about_cpu) = if is_on || has_flag(&self.cpuinfo, TDX_FLAG) {
            // The module takes its parameter back if the CPU or its firmware refuses.
            (Some(true), "the CPU has TDX".to_owned())
        } else if cpuid.vendor != *INTEL {
            let vendor = vendor(cpuid);
            (Some(false), format!("the CPU is not Intel's but {vendor}"))
        } else {
            // To see no flag says nothing: older kernels do not have it.
            let name = self.cpuinfo.display();
            let about_cpu = format!("{name} does not tell whether the CPU has TDX");
            (None, about_cpu)
        };
        candidate(
            Technology::Tdx,
            hardware,
            &about_cpu,
            &self.tdx,
            &parameter,
            is_on,
        )
    }
}

fn amd_candidate(
    technology: Technology,
    path: &Path,
    cpuid: &SevCpuid,
    (name, hardware): (&str, bool),
) -> ProtectionCandidate {
    let parameter = Parameter::read(path);
    let is_on = parameter.is_on();
    let about_cpu = if hardware {
        format!("the CPU has {name}")
    } else if !cpuid.is_amd() {
        format!("the CPU is neither AMD's nor Hygon's but {}", vendor(cpuid))
    } else if !cpuid.has_leaf() {
        format!("the CPU has no {name}: there is no CPUID leaf 0x8000001f")
    } else {
        format!("the CPU has no {name}")
    };
    candidate(
        technology,
        Some(hardware),
        &about_cpu,
        path,
        &parameter,
        is_on,
    )
}

fn candidate(
    technology: Technology,
    hardware: Option<bool>,
    about_cpu: &str,
    path: &Path,
    parameter: &Parameter,
    is_on: bool,
) -> ProtectionCandidate {
    let path = path.display();
    let (kernel, enabled, about_kernel) = match parameter {
        Parameter::Missing => (
            Some(false),
            Some(false),
            format!("there is no {path}: the module is not loaded, or lacks it"),
        ),
        Parameter::Unreadable(error) => (None, None, format!("cannot read {path}: {error}")),
        Parameter::Text(text) => (
            Some(true),
            Some(is_on),
            format!("{path} is {:?}", text.trim()),
        ),
    };
    ProtectionCandidate {
        technology,
        hardware,
        kernel,
        enabled,
        reason: format!("{about_cpu}; {about_kernel}"),
    }
}

fn has_flag(cpuinfo: &Path, flag: &str) -> bool {
    // All CPUs have the same flags.
    let first = || io::Result::Ok(read_until(open(cpuinfo)?, b"\n\n")?.unwrap_or_default());
    let first = first().unwrap_or_default();
    let flags = get_cpu_flags_vec(&String::from_utf8_lossy(&first), "flags");
    flags.is_ok_and(|flags| flags.iter().any(|known| known == flag))
}

fn vendor(cpuid: &SevCpuid) -> String {
    let vendor = String::from_utf8_lossy(&cpuid.vendor);
    format!("{:?}", vendor.trim_matches('\0'))
}
