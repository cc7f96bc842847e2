//! The address ranges of a PCI function: what its base address registers (BARs) ask for
//! ([`Documentation/PCI/sysfs-pci.rst`](https://docs.kernel.org/PCI/sysfs-pci.html)).

use std::io;

use super::PCIDevice;
use super::attributes::{Attributes, ReadError};

/// Indexes of the BARs: those before the expansion ROM.
const BARS: usize = 6;

/// A line has 57 bytes, and there are 17 lines at most.
const RESOURCE_MAX: u64 = 64 << 10;

/// Bits of the flags, from `include/linux/ioport.h`.
const IORESOURCE_IO: u64 = 0x100;
const IORESOURCE_MEM: u64 = 0x200;
const IORESOURCE_PREFETCH: u64 = 0x2000;
const IORESOURCE_MEM_64: u64 = 0x10_0000;

/// An address range of a PCI function.
///
/// ```
/// use kata_sys_util::pcilibs::PciResource;
///
/// let bar = PciResource { index: 0, start: 0x38_0000_0000, end: 0x38_3fff_ffff, flags: 0x14_220c };
/// assert_eq!(bar.size(), 1 << 30);
/// assert!(bar.is_memory() && bar.is_64bit() && bar.is_prefetchable());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PciResource {
    /// What it is: 0 to 5 are the BARs, 6 is the expansion ROM, 7 to 12 are the BARs of SR-IOV
    /// virtual functions, and from 13 on there are the windows of a bridge.
    pub index: usize,
    /// The first address.
    pub start: u64,
    /// The last address.
    pub end: u64,
    /// `IORESOURCE_*` of the kernel's `include/linux/ioport.h`.
    pub flags: u64,
}

impl PciResource {
    /// Length in bytes; `u64::MAX` for all of 2^64 bytes, and 0 if the end is before the start.
    pub fn size(&self) -> u64 {
        match self.end.checked_sub(self.start) {
            Some(length) => length.saturating_add(1),
            None => 0,
        }
    }

    /// Whether it is a range of I/O ports.
    pub fn is_io(&self) -> bool {
        self.flags & IORESOURCE_IO != 0
    }

    /// Whether it is a range of memory.
    pub fn is_memory(&self) -> bool {
        self.flags & IORESOURCE_MEM != 0
    }

    /// Whether reading has no side effects.
    pub fn is_prefetchable(&self) -> bool {
        self.flags & IORESOURCE_PREFETCH != 0
    }

    /// Whether it is memory that may be above 4 GiB.
    pub fn is_64bit(&self) -> bool {
        self.flags & IORESOURCE_MEM_64 != 0
    }

    fn is_present(&self) -> bool {
        (self.start | self.end) != 0 && self.end >= self.start
    }
}

impl PCIDevice {
    /// The address ranges that the function has, in the order of their indexes.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound) if sysfs has no file `resource` for it,
    /// [`InvalidData`](io::ErrorKind::InvalidData) for a line that is not three hexadecimal
    /// numbers.
    ///
    /// ```
    /// use kata_sys_util::pcilibs::PCIDevice;
    /// # let dir = tempfile::tempdir()?;
    /// # let directory = dir.path();
    ///
    /// std::fs::write(directory.join("resource"), "0xfe000000 0xfe0fffff 0x40200\n")?;
    /// let device = PCIDevice { device_path: directory.to_owned(), ..PCIDevice::default() };
    ///
    /// let resources = device.resources()?;
    /// assert_eq!(resources.len(), 1);
    /// assert_eq!(resources[0].size(), 1 << 20);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn resources(&self) -> io::Result<Vec<PciResource>> {
        let attributes = Attributes::open(&self.device_path)?;
        let text = attributes.bytes(c"resource", RESOURCE_MAX)?;
        let mut resources = Vec::new();
        for (index, line) in String::from_utf8_lossy(&text).lines().enumerate() {
            let resource = parse_line(index, line).ok_or_else(|| {
                let what = format!(
                    "line {}: {line:?} is not a start, an end and flags in hexadecimal digits",
                    index + 1
                );
                ReadError::malformed(&attributes.path_of(c"resource"), &what)
            })?;
            resources.push(resource);
        }
        resources.retain(PciResource::is_present);
        Ok(resources)
    }

    /// How much memory the BARs take: in bytes, that which must be below 4 GiB, and that which may
    /// be above. I/O ports do not count, nor do expansion ROM, virtual functions and bridge windows.
    ///
    /// With `round_up`, each that is not 0 is rounded up to a power of two, as a window of a
    /// virtual machine's firmware is; both are `u64::MAX` at most.
    ///
    /// # Errors
    ///
    /// As [`resources`](Self::resources).
    ///
    /// ```
    /// use kata_sys_util::pcilibs::PCIDevice;
    /// # let dir = tempfile::tempdir()?;
    /// # let directory = dir.path();
    ///
    /// let lines = "0xfd000000 0xfdffffff 0x40200\n\
    ///              0x3800000000 0x47ffffffff 0x14220c\n\
    ///              0x0000000000 0x0000000000 0x0\n\
    ///              0x4800000000 0x4801ffffff 0x14220c\n";
    /// std::fs::write(directory.join("resource"), lines)?;
    /// let device = PCIDevice { device_path: directory.to_owned(), ..PCIDevice::default() };
    ///
    /// let (mib, gib) = (1 << 20, 1 << 30);
    /// assert_eq!(device.total_addressable_memory(false)?, (16 * mib, 64 * gib + 32 * mib));
    /// assert_eq!(device.total_addressable_memory(true)?, (16 * mib, 128 * gib));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn total_addressable_memory(&self, round_up: bool) -> io::Result<(u64, u64)> {
        let (mut below_4g, mut above_4g) = (0_u64, 0_u64);
        for resource in self.resources()? {
            if resource.index >= BARS || resource.is_io() || !resource.is_memory() {
                continue;
            }
            let total = if resource.is_64bit() {
                &mut above_4g
            } else {
                &mut below_4g
            };
            *total = total.saturating_add(resource.size());
        }
        if round_up {
            return Ok((power_of_two(below_4g), power_of_two(above_4g)));
        }
        Ok((below_4g, above_4g))
    }
}

fn parse_line(index: usize, line: &str) -> Option<PciResource> {
    let mut numbers = line.split_ascii_whitespace().map(parse_hex);
    let (start, end, flags) = (numbers.next()??, numbers.next()??, numbers.next()??);
    let resource = PciResource {
        index,
        start,
        end,
        flags,
    };
    numbers.next().is_none().then_some(resource)
}

fn parse_hex(text: &str) -> Option<u64> {
    let text = text.strip_prefix("0x").unwrap_or(text);
    // `from_str_radix` takes a sign, too.
    let is_hex = text.bytes().all(|c| c.is_ascii_hexdigit());
    u64::from_str_radix(text, 16).ok().filter(|_| is_hex)
}

/// The next power of two; 0 stays.
fn power_of_two(size: u64) -> u64 {
    match size {
        0 => 0,
        _ => size.checked_next_power_of_two().unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    const MEM: u64 = 0x4_0200;
    const MEM_64: u64 = 0x14_0204;
    const IO: u64 = 0x4_0101;

    fn device(resource: &str) -> (tempfile::TempDir, PCIDevice) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("resource"), resource).unwrap();
        let device = PCIDevice {
            device_path: dir.path().to_owned(),
            ..Default::default()
        };
        (dir, device)
    }

    fn lines(resources: &[(u64, u64, u64)]) -> String {
        let line = |(start, end, flags): &(u64, u64, u64)| {
            format!("{start:#018x} {end:#018x} {flags:#018x}\n")
        };
        resources.iter().map(line).collect()
    }

    #[test]
    fn present_ranges_keep_the_number_of_their_line() {
        let (_dir, device) = device(&lines(&[
            (0xfe00_0000, 0xfe00_ffff, MEM),
            (0, 0, 0),
            (0xc000, 0xc0ff, IO),
            (0x1000, 0xfff, MEM), // empty
            (0, 0xfff, MEM),      // not assigned
            (0, u64::MAX, MEM_64),
            (5, 5, MEM | IORESOURCE_PREFETCH),
        ]));
        let resources = device.resources().unwrap();
        let found: Vec<_> = resources.iter().map(|r| (r.index, r.size())).collect();
        let expected = [
            (0, 0x1_0000),
            (2, 0x100),
            (4, 0x1000),
            (5, u64::MAX),
            (6, 1),
        ];
        assert_eq!(found, expected);
        let flags = |r: &PciResource| [r.is_io(), r.is_memory(), r.is_prefetchable(), r.is_64bit()];
        assert_eq!(flags(&resources[0]), [false, true, false, false]);
        assert_eq!(flags(&resources[1]), [true, false, false, false]);
        assert_eq!(flags(&resources[3]), [false, true, false, true]);
        assert_eq!(flags(&resources[4]), [false, true, true, false]);
    }

    #[test]
    fn range_that_ends_before_it_starts_has_no_size() {
        let resource = |start, end| PciResource {
            index: 0,
            start,
            end,
            flags: 0,
        };
        assert_eq!(resource(1, 0).size(), 0);
        assert_eq!(resource(0, 0).size(), 1);
        assert_eq!(resource(1, u64::MAX).size(), u64::MAX);
    }

    #[test]
    fn total_is_of_memory_bars_only() {
        let mib = 1 << 20;
        let range = |size: u64, flags| (0x1_0000_0000, 0xffff_ffff + size, flags);
        let (_dir, device) = device(&lines(&[
            range(3 * mib, MEM),
            range(5 * mib, MEM_64),
            range(mib, IO),
            range(mib, IO | MEM), // no such range, but surely not memory
            range(mib, 0),
            range(mib, MEM),
            range(100 * mib, MEM),    // expansion ROM
            range(100 * mib, MEM_64), // virtual functions
        ]));
        assert_eq!(
            device.total_addressable_memory(false).unwrap(),
            (4 * mib, 5 * mib)
        );
        assert_eq!(
            device.total_addressable_memory(true).unwrap(),
            (4 * mib, 8 * mib)
        );
    }

    #[test]
    fn totals_saturate() {
        let (_dir, device) = device(&lines(&[
            (0, u64::MAX, MEM_64),
            (0, u64::MAX, MEM_64),
            (1, 1 << 63, MEM),
            (1, 1, MEM),
        ]));
        let totals = device.total_addressable_memory(false).unwrap();
        assert_eq!(totals, ((1 << 63) + 1, u64::MAX));
        let totals = device.total_addressable_memory(true).unwrap();
        assert_eq!(totals, (u64::MAX, u64::MAX));
    }

    #[test]
    fn function_without_ranges_takes_no_memory() {
        let (_dir, device) = device("");
        assert_eq!(device.resources().unwrap(), []);
        assert_eq!(device.total_addressable_memory(true).unwrap(), (0, 0));
    }

    #[test]
    fn missing_file_is_not_found() {
        let (dir, device) = device("");
        fs::remove_file(dir.path().join("resource")).unwrap();
        let error = device.resources().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let path = dir.path().join("resource");
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
        // Not the file `resource` of the working directory.
        let error = PCIDevice::default().resources().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn malformed_line_is_named() {
        for line in [
            "",
            "0x0",
            "0x0 0x1",
            "0x0 0x1 0x200 0x0",
            "0x0 0x1 zz",
            "0x0 +1 0x200",
            "0x0 -1 0x200",
            "0x0 0x 0x200",
            "0x0 0x10000000000000000 0x200",
            "0x0,0x1,0x200",
        ] {
            let (_dir, device) = device(&format!("0x1000 0x1fff 0x200\n{line}\n"));
            let error = device.resources().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{line}");
            let text = error.to_string();
            assert!(
                text.contains(&format!("resource: line 2: {line:?} is not")),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_resources_or_an_error(text in "(0x)?[0-9a-f]{1,17}( 0x[0-9a-f]{0,17}){0,3}\n|\\PC{0,20}") {
            let (_dir, device) = device(&text);
            if let Ok(resources) = device.resources() {
                prop_assert!(resources.iter().all(|r| r.size() > 0));
                prop_assert!(device.total_addressable_memory(true).is_ok());
            }
        }
    }
}
