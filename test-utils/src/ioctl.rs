//! Numbers of `ioctl` requests, as `_IO`, `_IOW` and `_IOWR` of the kernel's `asm/ioctl.h` make them
//! ([`ioctl(2)`](https://man7.org/linux/man-pages/man2/ioctl.2.html)), for those that `libc` lacks.

#![cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "only KVM is asked for there, in vain")
)]

/// The highest bits of a number: which way the argument goes. They differ between architectures.
#[derive(Debug)]
pub(crate) struct Directions {
    none: u32,
    write: u32,
    read_write: u32,
}

/// Those of most architectures.
pub(crate) const GENERIC: Directions = Directions {
    none: 0,
    write: 1 << 30,
    read_write: 3 << 30,
};

/// Those of PowerPC and MIPS.
pub(crate) const POWERPC: Directions = Directions {
    none: 1 << 29,
    write: 4 << 29,
    read_write: 6 << 29,
};

/// Those of this architecture.
pub(crate) const NATIVE: Directions = if cfg!(any(
    target_arch = "powerpc",
    target_arch = "powerpc64",
    target_arch = "mips",
    target_arch = "mips32r6",
    target_arch = "mips64",
    target_arch = "mips64r6"
)) {
    POWERPC
} else {
    GENERIC
};

impl Directions {
    /// `_IO(kind, number)`: no argument, or a number.
    pub(crate) const fn io(&self, kind: u8, number: u8) -> u32 {
        request(self.none, 0, kind, number)
    }

    /// `_IOW(kind, number, T)`: the kernel reads a `T`.
    pub(crate) const fn iow<T>(&self, kind: u8, number: u8) -> u32 {
        request(self.write, size_of::<T>(), kind, number)
    }

    /// `_IOWR(kind, number, T)`: the kernel reads a `T` and writes it.
    pub(crate) const fn iowr<T>(&self, kind: u8, number: u8) -> u32 {
        request(self.read_write, size_of::<T>(), kind, number)
    }
}

const fn request(direction: u32, size: usize, kind: u8, number: u8) -> u32 {
    direction | (size as u32) << 16 | (kind as u32) << 8 | number as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `KVM_GET_API_VERSION`, `TIOCSPTLCK` and `FS_IOC_FIEMAP` without its extents.
    #[test]
    fn requests_have_the_numbers_of_their_architecture() {
        let numbers = |directions: Directions| {
            (
                directions.io(0xAE, 0x00),
                directions.iow::<u32>(b'T', 0x31),
                directions.iowr::<[u64; 4]>(b'f', 11),
            )
        };
        assert_eq!(numbers(GENERIC), (0xAE00, 0x4004_5431, 0xC020_660B));
        assert_eq!(numbers(POWERPC), (0x2000_AE00, 0x8004_5431, 0xC020_660B));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn requests_of_this_architecture_are_those_of_its_headers() {
        assert_eq!(NATIVE.iow::<u32>(b'T', 0x31), libc::TIOCSPTLCK as u32);
    }
}
