//! What the CPU says about SEV (*AMD64 Architecture Programmer's Manual*, volume 3, appendix E).

use super::super::SevSnpDetails;

/// Vendors, as leaf 0 spells them.
pub(super) const INTEL: &[u8; 12] = b"GenuineIntel";
const AMD: &[u8; 12] = b"AuthenticAMD";
/// Licensed Zen cores, which `kvm_amd` drives as well (S-2).
const HYGON: &[u8; 12] = b"HygonGenuine";

/// The leaf about memory encryption.
const ENCRYPTED_MEMORY: u32 = 0x8000_001f;

/// Bits of its EAX. D-4: bit 4 is SEV-SNP alone; Naples and Rome have bit 1 without it.
const SEV_BIT: u32 = 1 << 1;
const SNP_BIT: u32 = 1 << 4;

/// What the instruction CPUID says about SEV.
///
/// ```
/// use kata_sys_util::protection::SevCpuid;
///
/// let rome = SevCpuid { vendor: *b"AuthenticAMD", max_ext_leaf: 0x8000_0020, eax: 0xf, ebx: 0x16f };
/// assert!(rome.has_sev() && !rome.has_snp());
/// let details = rome.details();
/// assert_eq!((details.cbitpos, details.phys_addr_reduction), (47, 5));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SevCpuid {
    /// Leaf 0: EBX, EDX and ECX, such as `AuthenticAMD`.
    pub vendor: [u8; 12],
    /// EAX of leaf 0x8000_0000: the highest extended leaf.
    pub max_ext_leaf: u32,
    /// EAX of leaf 0x8000_001f: which technologies there are. 0 if the CPU has no such leaf.
    pub eax: u32,
    /// EBX of leaf 0x8000_001f: how addresses change. 0 if the CPU has no such leaf.
    pub ebx: u32,
}

impl SevCpuid {
    /// What the CPU says that this runs on. All zero on other architectures than x86_64.
    pub fn current() -> Self {
        let [_, ebx, ecx, edx] = cpuid(0);
        let mut vendor = [0; 12];
        let bytes = [ebx, edx, ecx].into_iter().flat_map(u32::to_le_bytes);
        vendor
            .iter_mut()
            .zip(bytes)
            .for_each(|(to, byte)| *to = byte);

        let [max_ext_leaf, ..] = cpuid(0x8000_0000);
        let mut this = Self {
            vendor,
            max_ext_leaf,
            ..Self::default()
        };
        // Intel's CPUs answer a leaf that they do not have with another one.
        if this.has_leaf() {
            [this.eax, this.ebx, ..] = cpuid(ENCRYPTED_MEMORY);
        }
        this
    }

    /// Whether the CPU is AMD's or Hygon's and has SEV.
    pub fn has_sev(&self) -> bool {
        self.is_amd() && self.has_leaf() && self.eax & SEV_BIT != 0
    }

    /// Whether the CPU is AMD's or Hygon's and has SEV-SNP.
    pub fn has_snp(&self) -> bool {
        self.is_amd() && self.has_leaf() && self.eax & SNP_BIT != 0
    }

    /// How addresses change: EBX\[5:0\] and EBX\[11:6\].
    pub fn details(&self) -> SevSnpDetails {
        SevSnpDetails {
            cbitpos: self.ebx & 0x3f,
            phys_addr_reduction: (self.ebx >> 6) & 0x3f,
        }
    }

    pub(super) fn is_amd(&self) -> bool {
        [AMD, HYGON].contains(&&self.vendor)
    }

    pub(super) fn has_leaf(&self) -> bool {
        self.max_ext_leaf >= ENCRYPTED_MEMORY
    }
}

/// EAX, EBX, ECX and EDX of a leaf.
#[cfg(target_arch = "x86_64")]
fn cpuid(leaf: u32) -> [u32; 4] {
    #[allow(unused_unsafe, reason = "safe to call in newer releases of Rust")]
    // SAFETY: each x86_64 CPU has the instruction.
    let result = unsafe { std::arch::x86_64::__cpuid(leaf) };
    [result.eax, result.ebx, result.ecx, result.edx]
}

#[cfg(not(target_arch = "x86_64"))]
fn cpuid(_leaf: u32) -> [u32; 4] {
    [0; 4]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bits_of_eax_count_only_with_an_amd_vendor_and_the_leaf() {
        for (vendor, max_ext_leaf, eax, has_sev, has_snp) in [
            (AMD, ENCRYPTED_MEMORY, 0x02, true, false),
            (AMD, ENCRYPTED_MEMORY, 0x10, false, true),
            (AMD, ENCRYPTED_MEMORY, 0x12, true, true),
            (AMD, ENCRYPTED_MEMORY, !0x12, false, false),
            (HYGON, u32::MAX, 0x12, true, true),
            (AMD, ENCRYPTED_MEMORY - 1, 0x12, false, false),
            (INTEL, ENCRYPTED_MEMORY, 0x12, false, false),
        ] {
            let cpuid = SevCpuid {
                vendor: *vendor,
                max_ext_leaf,
                eax,
                ebx: 0,
            };
            assert_eq!(cpuid.has_sev(), has_sev, "{cpuid:?}");
            assert_eq!(cpuid.has_snp(), has_snp, "{cpuid:?}");
        }
    }

    #[test]
    fn details_are_two_fields_of_six_bits() {
        for (ebx, cbitpos, phys_addr_reduction) in [
            (0, 0, 0),
            (0x16f, 47, 5),
            (0x73, 51, 1),
            (0xfff, 63, 63),
            (0xffff_f000, 0, 0),
        ] {
            let cpuid = SevCpuid {
                ebx,
                ..SevCpuid::default()
            };
            let expected = SevSnpDetails {
                cbitpos,
                phys_addr_reduction,
            };
            assert_eq!(cpuid.details(), expected, "{ebx:#x}");
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn vendor_of_this_cpu_is_the_one_that_the_kernel_shows() {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap();
        let mut lines = info.lines().filter(|line| line.starts_with("vendor_id"));
        let (_, shown) = lines.next().unwrap().split_once(':').unwrap();
        let cpuid = SevCpuid::current();
        assert_eq!(cpuid.vendor.as_slice(), shown.trim().as_bytes());
        assert!(cpuid.max_ext_leaf >= 0x8000_0008, "{cpuid:?}");
    }

    proptest! {
        #[test]
        fn details_are_in_range_for_any_cpuid(ebx: u32) {
            let cpuid = SevCpuid { ebx, ..SevCpuid::default() };
            let details = cpuid.details();
            let known = details.cbitpos | details.phys_addr_reduction << 6;
            prop_assert_eq!(known, ebx & 0xfff);
            prop_assert!(details.cbitpos < 64 && details.phys_addr_reduction < 64);
        }
    }
}
