//! Guest memory and swap.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::HugePageType;
use crate::config::adjust::{Adjuster, Checked, KeyedError, adjust_alone};
use crate::config::check::{Checker, check_alone};
use crate::config::diagnostics::DiagnosticKind;
use crate::config::validate::{note_bad_patterns, validate_path_pattern};

/// Memory settings of a hypervisor section.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default = "MemoryInfo::default")]
pub struct MemoryInfo {
    /// Memory of a VM when it starts, in MiB, at most that of the host. Default: 0; 128 for all
    /// known hypervisors.
    pub default_memory: u32,

    /// Memory that a VM can have at most, in MiB. 0, or more than the host has, is as much as the
    /// host has. Default: 0.
    pub default_maxmemory: u32,

    /// Memory slots of a VM: how often memory can be added. Default: 0; 128 for all known
    /// hypervisors.
    pub memory_slots: u32,

    /// Directory of a file that backs guest memory. Default: empty. Ignored by the runtime of this
    /// version.
    pub file_mem_backend: String,

    /// Shell patterns of the paths that a pod annotation may set as `file_mem_backend`; see
    /// [`validate_path_pattern`]. Default: none.
    pub valid_file_mem_backends: Vec<String>,

    /// Guest memory is allocated when the VM starts. Default: false.
    pub enable_mem_prealloc: bool,

    /// Guest memory uses huge pages of the host. Default: false.
    pub enable_hugepages: bool,

    /// Kind of huge pages: `hugetlbfs` or `thp`. Default: `hugetlbfs`.
    pub hugepage_type: HugePageType,

    /// Memory is added by virtio-mem. Default: false. Ignored by the runtime of this version.
    pub enable_virtio_mem: bool,

    /// The guest swaps to a file on the host. Not supported by QEMU. Default: false.
    pub enable_guest_swap: bool,

    /// Directory of guest swap files. Default: `/run/kata-containers/swap`.
    pub guest_swap_path: String,

    /// Size of the guest swap file in percent of guest memory. Default: 100.
    pub guest_swap_size_percent: u64,

    /// Time after which the guest swap file is created, in s. Default: 60.
    pub guest_swap_create_threshold_secs: u64,
}

impl Default for MemoryInfo {
    fn default() -> MemoryInfo {
        MemoryInfo {
            default_memory: 0,
            default_maxmemory: 0,
            memory_slots: 0,
            file_mem_backend: String::new(),
            valid_file_mem_backends: Vec::new(),
            enable_mem_prealloc: false,
            enable_hugepages: false,
            hugepage_type: HugePageType::default(),
            enable_virtio_mem: false,
            enable_guest_swap: false,
            guest_swap_path: "/run/kata-containers/swap".to_owned(),
            guest_swap_size_percent: 100,
            guest_swap_create_threshold_secs: 60,
        }
    }
}

/// In which units a VM gets memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MemoryUnit {
    Mib,
    /// Little-endian PowerPC64 plugs memory in units of 256 MiB.
    PowerPc64,
}

impl MemoryUnit {
    /// The unit of VMs on this machine.
    pub(super) const HERE: Self = if cfg!(all(target_arch = "powerpc64", target_endian = "little"))
    {
        MemoryUnit::PowerPc64
    } else {
        MemoryUnit::Mib
    };

    /// As much of an amount of memory, in MiB, as is a multiple of the unit.
    pub(super) fn whole(self, mib: u32) -> u32 {
        let unit = match self {
            MemoryUnit::Mib => 1,
            MemoryUnit::PowerPc64 => 256,
        };
        mib / unit * unit
    }
}

const BACKEND: (&str, &str) = ("file_mem_backend", "Memory backend file {} is invalid: {}");

impl MemoryInfo {
    /// Resolves `file_mem_backend`, and limits the memory to that of the host; on little-endian
    /// PowerPC64 it also becomes a multiple of 256 MiB.
    ///
    /// # Errors
    ///
    /// The backend does not exist, the memory of the host cannot be determined, or (PowerPC64)
    /// there is no room between the two sizes.
    pub fn adjust_config(&mut self) -> io::Result<()> {
        adjust_alone(|cx| self.adjust_in(cx))
    }

    /// Checks that the backend exists, and that neither memory nor slots are zero.
    ///
    /// # Errors
    ///
    /// The first rule that does not hold.
    pub fn validate(&self) -> io::Result<()> {
        check_alone(|cx| self.validate_in(cx))
    }

    /// Checks that `valid_file_mem_backends` permits `path`.
    ///
    /// # Errors
    ///
    /// See [`validate_path_pattern`].
    pub fn validate_memory_backend_path<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        validate_path_pattern(&self.valid_file_mem_backends, path)
    }

    pub(crate) fn adjust_in(&mut self, cx: &mut Adjuster<'_>) -> Checked {
        note_bad_patterns(cx, "valid_file_mem_backends", &self.valid_file_mem_backends);
        cx.resolve(&mut self.file_mem_backend, BACKEND.0, BACKEND.1)?;

        let host = cx
            .host
            .memory_mib()
            .map_err(|e| KeyedError::new("default_memory", e))?;
        let why = || format!("this machine has {host} MiB");
        if self.default_memory > host {
            cx.clamped("default_memory", self.default_memory, host, why());
            self.default_memory = host;
        }
        if self.default_maxmemory > host {
            cx.clamped("default_maxmemory", self.default_maxmemory, host, why());
            self.default_maxmemory = host;
        } else if self.default_maxmemory == 0 {
            self.default_maxmemory = host;
        }

        if MemoryUnit::HERE == MemoryUnit::PowerPc64 {
            self.align_for_powerpc64(cx)?;
        }
        if self.default_memory > self.default_maxmemory {
            // D31: not an error, because static sizing replaces the values later.
            let message = format!(
                "default_memory ({} MiB) is larger than default_maxmemory ({} MiB)",
                self.default_memory, self.default_maxmemory
            );
            cx.note("default_memory", DiagnosticKind::Policy, message, None);
        }
        Ok(())
    }

    pub(crate) fn validate_in(&self, cx: &Checker<'_>) -> Checked {
        cx.exists(&self.file_mem_backend, BACKEND.0, BACKEND.1)?;
        for (key, value, message) in [
            (
                "default_memory",
                self.default_memory,
                "Configured memory size for guest VM is zero",
            ),
            (
                "memory_slots",
                self.memory_slots,
                "Configured memory slots for guest VM are zero",
            ),
        ] {
            if value == 0 {
                return Err(KeyedError::other(key, message));
            }
        }
        Ok(())
    }

    /// On PowerPC64 memory comes in [units](MemoryUnit::PowerPc64), and a guest needs 1 GiB.
    fn align_for_powerpc64(&mut self, cx: &mut Adjuster<'_>) -> Checked {
        const LEAST_MIB: u32 = 1024;

        let memory = MemoryUnit::PowerPc64.whole(self.default_memory.max(LEAST_MIB));
        let maxmemory = MemoryUnit::PowerPc64.whole(self.default_maxmemory);
        if maxmemory != 0 && maxmemory <= memory {
            return Err(KeyedError::other(
                "default_maxmemory",
                format!(
                    "default_maxmemory ({maxmemory}MB) <= default_memory ({memory}MB) after \
                     alignment. Requires maxmemory > memory"
                ),
            ));
        }
        let why = "at least 1024 MiB, in units of 256 MiB, on PowerPC64";
        if memory != self.default_memory {
            cx.clamped("default_memory", self.default_memory, memory, why);
            self.default_memory = memory;
        }
        if maxmemory != self.default_maxmemory {
            cx.clamped("default_maxmemory", self.default_maxmemory, maxmemory, why);
            self.default_maxmemory = maxmemory;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::adjust::AdjustReport;
    use crate::config::host::Host;

    fn info(default_memory: u32, default_maxmemory: u32) -> MemoryInfo {
        MemoryInfo {
            default_memory,
            default_maxmemory,
            memory_slots: 1,
            ..Default::default()
        }
    }

    /// Keys and messages.
    type Notes = Vec<(String, String)>;

    fn on_host_with_4_gib(
        mut info: MemoryInfo,
        adjust: fn(&mut MemoryInfo, &mut Adjuster<'_>) -> Checked,
    ) -> (Checked<(u32, u32)>, Notes) {
        let host = Host::with(1, 4096);
        let mut report = AdjustReport::default();
        let result = adjust(&mut info, &mut Adjuster::new(&host, &mut report));
        let notes = report.notes.into_iter().map(|n| (n.key, n.message));
        (
            result.map(|()| (info.default_memory, info.default_maxmemory)),
            notes.collect(),
        )
    }

    #[test]
    fn host_is_the_limit() {
        for (memory, maxmemory, result) in [
            (0, 0, (0, 4096)),
            (128, 0, (128, 4096)),
            (128, 256, (128, 256)),
            (4096, 4096, (4096, 4096)),
            (4097, 4097, (4096, 4096)),
            (u32::MAX, u32::MAX, (4096, 4096)),
            (512, 256, (512, 256)),
        ] {
            let (adjusted, _) = on_host_with_4_gib(info(memory, maxmemory), MemoryInfo::adjust_in);
            assert_eq!(adjusted.unwrap(), result);
        }
    }

    #[test]
    fn limiting_is_noted() {
        let (_, notes) = on_host_with_4_gib(info(5000, 6000), MemoryInfo::adjust_in);
        assert_eq!(
            notes,
            [
                (
                    "default_memory".to_owned(),
                    "changed from 5000 to 4096: this machine has 4096 MiB".to_owned()
                ),
                (
                    "default_maxmemory".to_owned(),
                    "changed from 6000 to 4096: this machine has 4096 MiB".to_owned()
                ),
            ]
        );
        assert!(
            on_host_with_4_gib(info(0, 0), MemoryInfo::adjust_in)
                .1
                .is_empty()
        );
    }

    #[test]
    fn memory_above_its_maximum_is_noted() {
        let (_, notes) = on_host_with_4_gib(info(512, 256), MemoryInfo::adjust_in);
        assert_eq!(
            notes,
            [(
                "default_memory".to_owned(),
                "default_memory (512 MiB) is larger than default_maxmemory (256 MiB)".to_owned()
            )]
        );
    }

    #[test]
    fn powerpc64_aligns_to_256_mib() {
        let align = |memory, maxmemory| {
            on_host_with_4_gib(info(memory, maxmemory), MemoryInfo::align_for_powerpc64).0
        };
        assert_eq!(align(0, 4096).unwrap(), (1024, 4096));
        assert_eq!(align(1023, 0).unwrap(), (1024, 0));
        assert_eq!(align(1300, 2100).unwrap(), (1280, 2048));
        assert_eq!(align(1280, 1536).unwrap(), (1280, 1536));
        for (memory, maxmemory) in [(1300, 1500), (128, 1024), (2048, 1300)] {
            let error = align(memory, maxmemory).unwrap_err().error.to_string();
            let (memory, maxmemory) = (memory.max(1024) / 256 * 256, maxmemory / 256 * 256);
            let expected = format!(
                "default_maxmemory ({maxmemory}MB) <= default_memory ({memory}MB) after alignment"
            );
            assert!(error.contains(&expected), "{error}");
            assert!(error.contains("Requires maxmemory > memory"), "{error}");
        }
    }

    #[test]
    fn all_memory_of_a_host_is_what_alignment_leaves_of_it() {
        let host = Host::with(8, 16007);
        let all = host.memory_mib().unwrap();
        assert_eq!(MemoryUnit::Mib.whole(all), 16007);
        assert_eq!(MemoryUnit::PowerPc64.whole(all), 15872);
        let mut info = info(1024, all);
        let mut report = AdjustReport::default();
        info.align_for_powerpc64(&mut Adjuster::new(&host, &mut report))
            .unwrap();
        assert_eq!(info.default_maxmemory, MemoryUnit::PowerPc64.whole(all));
    }

    #[test]
    fn backend_is_resolved_and_must_exist() {
        let mut valid = MemoryInfo {
            file_mem_backend: "/proc/../dev".into(),
            ..info(1, 1)
        };
        valid.adjust_config().unwrap();
        assert_eq!(valid.file_mem_backend, "/dev");
        let mut missing = MemoryInfo {
            file_mem_backend: "/missing".into(),
            ..info(1, 1)
        };
        let text =
            "Memory backend file /missing is invalid: No such file or directory (os error 2)";
        assert_eq!(missing.validate().unwrap_err().to_string(), text);
        assert_eq!(missing.adjust_config().unwrap_err().to_string(), text);
    }

    #[test]
    fn zero_memory_and_zero_slots_are_errors() {
        info(1, 0).validate().unwrap();
        assert_eq!(
            info(0, 0).validate().unwrap_err().to_string(),
            "Configured memory size for guest VM is zero"
        );
        let no_slots = MemoryInfo {
            memory_slots: 0,
            ..info(1, 0)
        };
        assert_eq!(
            no_slots.validate().unwrap_err().to_string(),
            "Configured memory slots for guest VM are zero"
        );
    }
}
