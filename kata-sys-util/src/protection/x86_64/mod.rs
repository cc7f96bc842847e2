//! x86_64: Intel TDX, AMD SEV-SNP and SEV.
//!
//! The modules `kvm_intel` and `kvm_amd` have parameters that tell whether they offer these to VMs
//! ([`kvm_intel`](https://docs.kernel.org/arch/x86/tdx.html),
//! [`kvm_amd`](https://docs.kernel.org/virt/kvm/x86/amd-memory-encryption.html)), the CPU tells
//! whether it has SEV.

mod candidates;
mod cpuid;
mod parameter;

use std::path::{Path, PathBuf};

use anyhow::Result;

use self::parameter::Parameter;
use super::{GuestProtection, ProtectionError};
use crate::SysRoot;

pub use cpuid::SevCpuid;

/// The parameter of `kvm_intel` that tells whether it offers TDX.
pub const TDX_KVM_PARAMETER_PATH: &str = "/sys/module/kvm_intel/parameters/tdx";

/// The parameter of `kvm_amd` that tells whether it offers SEV.
pub const SEV_KVM_PARAMETER_PATH: &str = "/sys/module/kvm_amd/parameters/sev";

/// The parameter of `kvm_amd` that tells whether it offers SEV-SNP.
pub const SNP_KVM_PARAMETER_PATH: &str = "/sys/module/kvm_amd/parameters/sev_snp";

/// What protects guests of an x86_64 machine, with files instead of [`TDX_KVM_PARAMETER_PATH`],
/// [`SEV_KVM_PARAMETER_PATH`] and [`SNP_KVM_PARAMETER_PATH`], and with a CPU. Works on all
/// architectures.
///
/// A parameter of SEV or SEV-SNP is on if it is `Y` or `1`, and off if there is no such file. The
/// first row that applies counts:
///
/// | Parameters | CPU | Result |
/// |---|---|---|
/// | `tdx` begins with `Y` | any | [`GuestProtection::Tdx`] |
/// | `snp` and `sev` are off | any | [`GuestProtection::NoProtection`] |
/// | `snp` or `sev` is on | neither AMD's nor Hygon's, or without leaf 0x8000_001f | error |
/// | `snp` is on | with SEV-SNP | [`GuestProtection::Snp`] |
/// | `sev` is on | with SEV | [`GuestProtection::Sev`] |
/// | else | | error |
///
/// # Errors
///
/// [`ProtectionError::CheckFailed`] as in the table, and if the result depends on a file `snp` or
/// `sev` that is there but cannot be read.
///
/// ```
/// use kata_sys_util::protection::{SevCpuid, guest_protection_from};
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
///
/// // Naples and Rome have SEV, but not SEV-SNP.
/// let rome = SevCpuid { vendor: *b"AuthenticAMD", max_ext_leaf: 0x8000_001f, eax: 0x2, ebx: 0x16f };
/// let [tdx, sev, snp] = ["tdx", "sev", "sev_snp"].map(|name| dir.join(name));
/// std::fs::write(&sev, "1\n")?;
/// let protection = guest_protection_from(&tdx, &sev, &snp, &rome)?;
/// assert_eq!(protection.to_string(), "sev (cbitpos: 47)");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn guest_protection_from(
    tdx: &Path,
    sev: &Path,
    snp: &Path,
    cpuid: &SevCpuid,
) -> Result<GuestProtection, ProtectionError> {
    if Parameter::read(tdx).begins_with_y() {
        return Ok(GuestProtection::Tdx);
    }
    let snp_is_on = is_on(snp)?;
    if !snp_is_on && !is_on(sev)? {
        return Ok(GuestProtection::NoProtection);
    }
    if !cpuid.is_amd() {
        return Err(failed("Not an AMD processor"));
    }
    if !cpuid.has_leaf() {
        return Err(failed("CPUID leaf 0x8000001f not available"));
    }
    if snp_is_on && cpuid.has_snp() {
        return Ok(GuestProtection::Snp(cpuid.details()));
    }
    if cpuid.has_sev() && (!snp_is_on || is_on(sev)?) {
        return Ok(GuestProtection::Sev(cpuid.details()));
    }
    Err(failed("SEV not supported"))
}

/// As [`available_guest_protection`](super::available_guest_protection), with other files instead
/// of [`SEV_KVM_PARAMETER_PATH`] and [`SNP_KVM_PARAMETER_PATH`].
///
/// # Errors
///
/// As [`guest_protection_from`].
#[cfg(target_arch = "x86_64")]
pub fn arch_guest_protection(
    sev_path: &str,
    snp_path: &str,
) -> Result<GuestProtection, ProtectionError> {
    guest_protection_from(
        Path::new(TDX_KVM_PARAMETER_PATH),
        Path::new(sev_path),
        Path::new(snp_path),
        &SevCpuid::current(),
    )
}

/// The files of a machine that tell.
#[derive(Debug)]
pub(super) struct Files {
    tdx: PathBuf,
    sev: PathBuf,
    snp: PathBuf,
    cpuinfo: PathBuf,
}

impl Files {
    pub(super) fn below(root: &SysRoot) -> Self {
        let module = root.sys.join("module");
        Self {
            tdx: module.join("kvm_intel/parameters/tdx"),
            sev: module.join("kvm_amd/parameters/sev"),
            snp: module.join("kvm_amd/parameters/sev_snp"),
            cpuinfo: root.proc.join("cpuinfo"),
        }
    }

    pub(super) fn select(&self, cpuid: &SevCpuid) -> Result<GuestProtection, ProtectionError> {
        guest_protection_from(&self.tdx, &self.sev, &self.snp, cpuid)
    }
}

fn is_on(path: &Path) -> Result<bool, ProtectionError> {
    match Parameter::read(path) {
        Parameter::Unreadable(error) => Err(failed(&format!(
            "Error reading file {} : {error}",
            path.display()
        ))),
        parameter => Ok(parameter.is_on()),
    }
}

fn failed(reason: &str) -> ProtectionError {
    ProtectionError::CheckFailed(reason.to_owned())
}

#[cfg(test)]
mod tests;
