//! What this machine has: CPUs and memory.

use std::cell::OnceCell;
use std::io;
use std::sync::OnceLock;

use super::cpu_count;

/// The limits that the host sets to its VMs. Memory is asked for once, when it is needed.
#[derive(Debug)]
pub(crate) struct Host {
    cpus: u32,
    memory_mib: OnceCell<u32>,
}

impl Host {
    /// This machine.
    pub(crate) fn real() -> Self {
        Host {
            cpus: cpus(),
            memory_mib: OnceCell::new(),
        }
    }

    /// A machine of the given size.
    #[cfg(test)]
    pub(crate) fn with(cpus: u32, memory_mib: u32) -> Self {
        Host {
            cpus,
            memory_mib: OnceCell::from(memory_mib),
        }
    }

    /// CPUs that VMs may use.
    pub(crate) fn cpus(&self) -> u32 {
        self.cpus
    }

    /// Total RAM in MiB.
    pub(crate) fn memory_mib(&self) -> io::Result<u32> {
        if let Some(&known) = self.memory_mib.get() {
            return Ok(known);
        }
        let mib = u32::try_from(memory_bytes()? >> 20).unwrap_or(u32::MAX);
        Ok(*self.memory_mib.get_or_init(|| mib))
    }
}

/// The CPUs that this process may use: not the CPUs of the machine, but what the CPU affinity and
/// the cgroup quota of this process leave of them (D39). Read once per process, so that adjusting
/// and validating see the same number.
fn cpus() -> u32 {
    static CPUS: OnceLock<u32> = OnceLock::new();
    *CPUS.get_or_init(|| u32::try_from(cpu_count::available()).unwrap_or(u32::MAX))
}

/// Total RAM in bytes, by [sysinfo(2)](https://man7.org/linux/man-pages/man2/sysinfo.2.html).
#[cfg(target_os = "linux")]
fn memory_bytes() -> io::Result<u64> {
    let mut info = std::mem::MaybeUninit::<libc::sysinfo>::zeroed();
    // SAFETY: the pointer is valid for writes of one `struct sysinfo`.
    if unsafe { libc::sysinfo(info.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all fields are integers, for which zero bytes are valid, and the kernel filled them.
    let info = unsafe { info.assume_init() };
    #[allow(
        clippy::useless_conversion,
        reason = "the width of the field differs between targets"
    )]
    let total = u64::from(info.totalram);
    Ok(total.saturating_mul(u64::from(info.mem_unit)))
}

/// Total RAM in bytes. The value of `hw.memsize` is 64 bits wide whatever its signedness (D42).
#[cfg(target_os = "macos")]
fn memory_bytes() -> io::Result<u64> {
    let mut bytes = 0u64;
    let mut size = size_of::<u64>();
    // SAFETY: the name ends with NUL, and the buffer holds `size` bytes.
    let status = unsafe {
        libc::sysctlbyname(
            c"hw.memsize".as_ptr(),
            (&raw mut bytes).cast(),
            &raw mut size,
            std::ptr::null_mut(),
            0,
        )
    };
    if status != 0 {
        return Err(io::Error::last_os_error());
    }
    if size != size_of::<u64>() {
        return Err(io::Error::other("hw.memsize is not a 64-bit integer"));
    }
    Ok(bytes)
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn memory_bytes() -> io::Result<u64> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "the memory of the host cannot be determined on this platform",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_count_is_the_one_of_num_cpus() {
        assert_eq!(Host::real().cpus() as usize, num_cpus::get());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_is_the_one_of_proc_meminfo() {
        let text = std::fs::read_to_string("/proc/meminfo").unwrap();
        let kib: u64 = text
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:"))
            .and_then(|rest| rest.trim().strip_suffix("kB"))
            .and_then(|number| number.trim().parse().ok())
            .unwrap();
        let mib = u64::from(Host::real().memory_mib().unwrap());
        // Container file systems may show less in /proc than the kernel says; never more.
        assert!(mib >= kib / 1024, "{mib} MiB, /proc/meminfo says {kib} kB");
    }
}
