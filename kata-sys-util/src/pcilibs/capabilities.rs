//! The lists of capabilities in the configuration space of a PCI function (PCI Express Base
//! Specification, 7.5.1 and 7.6.3; `include/uapi/linux/pci_regs.h`).

use std::io;

use super::PCIDevice;
use super::attributes::Attributes;

/// Length of a configuration space, without and with the extended part.
const CONFIG: usize = 0x100;
const EXTENDED_CONFIG: usize = 0x1000;

/// Length of the header, before which no capability is.
const HEADER: usize = 0x40;

/// Registers of the header.
const STATUS: usize = 0x06;
const HEADER_TYPE: usize = 0x0e;
const CAPABILITIES: usize = 0x34;
const CARDBUS_CAPABILITIES: usize = 0x14;

/// Bit of [`STATUS`]: there is a list of capabilities.
const STATUS_CAPABILITIES: u8 = 0x10;

/// Bits of [`HEADER_TYPE`] that are not about the number of functions, and what they can be.
const HEADER_TYPE_MASK: u8 = 0x7f;
const HEADER_TYPE_CARDBUS: u8 = 2;

/// A capability of a PCI function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PciCapability {
    /// Which it is: `PCI_CAP_ID_*` or, of an extended one, `PCI_EXT_CAP_ID_*` of the kernel's
    /// `include/uapi/linux/pci_regs.h`.
    pub id: u16,
    /// The version of an extended capability; 0 for the others.
    pub version: u8,
    /// Where its registers begin in the configuration space, in bytes.
    pub offset: u16,
}

/// The capabilities of a PCI function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PciCapabilities {
    /// Those below 256 bytes, in the order of the list.
    pub standard: Vec<PciCapability>,
    /// Those of PCI Express above 256 bytes, in the order of the list.
    pub extended: Vec<PciCapability>,
    /// Whether that is all. If not, a list leads to where nothing is or could be read, or to where
    /// it has been before.
    pub complete: bool,
}

impl PciCapabilities {
    /// The capabilities in the beginning of a configuration space, of up to 4096 bytes.
    ///
    /// A list that goes in a circle ends where it would be somewhere for the second time.
    ///
    /// ```
    /// use kata_sys_util::pcilibs::PciCapabilities;
    ///
    /// let mut config = [0; 256];
    /// config[0x06] = 0x10; // has a list of capabilities,
    /// config[0x34] = 0x40; // which begins here:
    /// config[0x40..0x42].copy_from_slice(&[0x10, 0x50]); // PCI Express,
    /// config[0x50..0x52].copy_from_slice(&[0x11, 0x00]); // MSI-X
    ///
    /// let capabilities = PciCapabilities::parse(&config);
    /// let ids: Vec<_> = capabilities.standard.iter().map(|c| c.id).collect();
    /// assert_eq!(ids, [0x10, 0x11]);
    /// assert!(capabilities.complete);
    /// ```
    pub fn parse(config: &[u8]) -> Self {
        let (standard, standard_complete) = standard(config);
        let (extended, extended_complete) = extended(config);
        Self {
            standard,
            extended,
            complete: standard_complete && extended_complete,
        }
    }
}

impl PCIDevice {
    /// The capabilities of the function.
    ///
    /// Only a caller with `CAP_SYS_ADMIN` can read more than the first 64 bytes of a configuration
    /// space, which tell no more than whether there are any: for others, the list of a function
    /// that has some is empty and not [`complete`](PciCapabilities::complete).
    ///
    /// Reading wakes up a device that is suspended.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound) if sysfs has no file `config` for it, or it cannot be
    /// read.
    ///
    /// ```
    /// use kata_sys_util::pcilibs::PCIDevice;
    /// # let dir = tempfile::tempdir()?;
    /// # let directory = dir.path();
    ///
    /// // What an ordinary user can read.
    /// let mut config = [0; 64];
    /// config[0x06] = 0x10;
    /// config[0x34] = 0x40;
    /// std::fs::write(directory.join("config"), config)?;
    /// let device = PCIDevice { device_path: directory.to_owned(), ..PCIDevice::default() };
    ///
    /// let capabilities = device.capabilities()?;
    /// assert!(capabilities.standard.is_empty() && !capabilities.complete);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn capabilities(&self) -> io::Result<PciCapabilities> {
        let attributes = Attributes::open(&self.device_path)?;
        let config = attributes.bytes(c"config", EXTENDED_CONFIG as u64)?;
        Ok(PciCapabilities::parse(&config))
    }
}

fn standard(config: &[u8]) -> (Vec<PciCapability>, bool) {
    let mut list = Vec::new();
    let byte = |offset: usize| config.get(offset).copied();
    let (Some(status), Some(header_type)) = (byte(STATUS), byte(HEADER_TYPE)) else {
        return (list, false);
    };
    if status & STATUS_CAPABILITIES == 0 {
        return (list, true);
    }
    let first = match header_type & HEADER_TYPE_MASK {
        HEADER_TYPE_CARDBUS => CARDBUS_CAPABILITIES,
        _ => CAPABILITIES,
    };
    let mut next = byte(first);
    // Whether there has been a capability at a multiple of four.
    let mut seen = [false; CONFIG / 4];
    loop {
        // The lower two bits are reserved.
        let offset = match next {
            Some(pointer) => pointer & !3,
            None => return (list, false),
        };
        if offset == 0 {
            return (list, true);
        }
        let start = usize::from(offset);
        if start < HEADER || is_second_visit(&mut seen, start) {
            return (list, false);
        }
        let (Some(id), Some(pointer)) = (byte(start), byte(start + 1)) else {
            return (list, false);
        };
        // What a device that is gone reads as.
        if id == 0xff {
            return (list, false);
        }
        list.push(PciCapability {
            id: id.into(),
            version: 0,
            offset: offset.into(),
        });
        next = Some(pointer);
    }
}

fn extended(config: &[u8]) -> (Vec<PciCapability>, bool) {
    let mut list = Vec::new();
    if config.len() <= CONFIG {
        return (list, true);
    }
    let mut offset = CONFIG;
    let mut seen = [false; EXTENDED_CONFIG / 4];
    loop {
        if offset < CONFIG || is_second_visit(&mut seen, offset) {
            return (list, false);
        }
        let header = config.get(offset..).and_then(<[u8]>::first_chunk);
        let Some(header) = header.copied().map(u32::from_le_bytes) else {
            return (list, false);
        };
        // There need not be a first one. No other leads to nothing, unless the device is gone.
        if matches!(header, 0 | u32::MAX) {
            let is_first = list.is_empty();
            return (list, is_first);
        }
        let [id_low, id_high, version_and_next, next_high] = header.to_le_bytes();
        list.push(PciCapability {
            id: u16::from_le_bytes([id_low, id_high]),
            version: version_and_next & 0xf,
            // Below 4096.
            offset: u16::try_from(offset).unwrap_or(u16::MAX),
        });
        let next = u16::from_le_bytes([version_and_next, next_high]) >> 4;
        offset = usize::from(next & !3);
        if offset == 0 {
            return (list, true);
        }
    }
}

fn is_second_visit(seen: &mut [bool], offset: usize) -> bool {
    match seen.get_mut(offset / 4) {
        Some(seen) => std::mem::replace(seen, true),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn config(length: usize, bytes: &[(usize, &[u8])]) -> Vec<u8> {
        let mut config = vec![0; length];
        config[STATUS] = STATUS_CAPABILITIES;
        for (offset, bytes) in bytes {
            config[*offset..][..bytes.len()].copy_from_slice(bytes);
        }
        config
    }

    fn header(id: u16, version: u8, next: u16) -> [u8; 4] {
        (u32::from(next) << 20 | u32::from(version) << 16 | u32::from(id)).to_le_bytes()
    }

    fn ids(list: &[PciCapability]) -> Vec<(u16, u8, u16)> {
        list.iter().map(|c| (c.id, c.version, c.offset)).collect()
    }

    #[test]
    fn both_lists_are_followed_in_their_order() {
        let found = PciCapabilities::parse(&config(
            4096,
            &[
                (CAPABILITIES, &[0x60]),
                (0x60, &[0x01, 0x43]), // the lower bits do not count
                (0x40, &[0x10, 0xfc]),
                (0xfc, &[0x11, 0]),
                (0x100, &header(0x0001, 2, 0xffc)),
                (0x150, &header(0x0010, 1, 0)),
                (0xffc, &header(0x000e, 0xf, 0x150)),
            ],
        ));
        let standard = [(0x01, 0, 0x60), (0x10, 0, 0x40), (0x11, 0, 0xfc)];
        assert_eq!(ids(&found.standard), standard);
        let extended = [(0x01, 2, 0x100), (0x0e, 0xf, 0xffc), (0x10, 1, 0x150)];
        assert_eq!(ids(&found.extended), extended);
        assert!(found.complete);
    }

    #[test]
    fn circle_ends_the_list() {
        let found = PciCapabilities::parse(&config(
            4096,
            &[
                (CAPABILITIES, &[0x40]),
                (0x40, &[0x01, 0x50]),
                (0x50, &[0x05, 0x40]),
                (0x100, &header(0x0001, 1, 0x100)),
            ],
        ));
        assert_eq!(ids(&found.standard), [(1, 0, 0x40), (5, 0, 0x50)]);
        assert_eq!(ids(&found.extended), [(1, 1, 0x100)]);
        assert!(!found.complete);
    }

    #[test]
    fn list_ends_where_nothing_is_or_could_be_read() {
        for (config, standard, extended) in [
            // An ordinary user.
            (config(64, &[(CAPABILITIES, &[0x40])]), 0, 0),
            (config(0x41, &[(CAPABILITIES, &[0x40])]), 0, 0),
            (config(256, &[(CAPABILITIES, &[0x3c])]), 0, 0),
            (
                config(256, &[(CAPABILITIES, &[0x40]), (0x40, &[1, 4])]),
                1,
                0,
            ),
            (
                config(256, &[(CAPABILITIES, &[0x40]), (0x40, &[0xff, 0xff])]),
                0,
                0,
            ),
            (config(260, &[(0x100, &header(1, 1, 0x104))]), 0, 1),
            (config(258, &[]), 0, 0),
            (config(4096, &[(0x100, &header(1, 1, 0x80))]), 0, 1),
            (config(4096, &[(0x100, &header(1, 1, 0x150))]), 0, 1),
            (
                config(4096, &[(0x100, &header(1, 1, 0x150)), (0x150, &[0xff; 4])]),
                0,
                1,
            ),
            (Vec::new(), 0, 0),
            (vec![0x10; 7], 0, 0),
        ] {
            let found = PciCapabilities::parse(&config);
            assert_eq!(found.standard.len(), standard, "{found:?}");
            assert_eq!(found.extended.len(), extended, "{found:?}");
            assert!(!found.complete);
        }
    }

    #[test]
    fn function_without_capabilities_has_complete_lists() {
        let complete = PciCapabilities {
            complete: true,
            ..Default::default()
        };
        assert_eq!(PciCapabilities::parse(&[0; 64]), complete);
        assert_eq!(PciCapabilities::parse(&[0; 4096]), complete);
        // The pointer does not count without the bit in the status.
        let mut without = config(256, &[(CAPABILITIES, &[0x40]), (0x40, &[1, 0])]);
        without[STATUS] = 0;
        assert_eq!(PciCapabilities::parse(&without), complete);
        let none = config(4096, &[(0x100, &[0xff; 4])]);
        assert_eq!(PciCapabilities::parse(&none), complete);
    }

    #[test]
    fn cardbus_bridge_has_the_pointer_elsewhere() {
        let found = PciCapabilities::parse(&config(
            256,
            &[
                (HEADER_TYPE, &[0x82]),
                (CARDBUS_CAPABILITIES, &[0x80]),
                (CAPABILITIES, &[0x40]),
                (0x40, &[0x05, 0]),
                (0x80, &[0x01, 0]),
            ],
        ));
        assert_eq!(ids(&found.standard), [(1, 0, 0x80)]);
    }

    proptest! {
        #[test]
        fn lists_are_bounded_for_any_bytes(
            mut config in proptest::collection::vec(any::<u8>(), 0..4200),
            step in 4_usize..64,
        ) {
            if let Some(status) = config.get_mut(STATUS) {
                *status |= STATUS_CAPABILITIES;
            }
            // Longer lists than random bytes make.
            for offset in (0x40..config.len().min(0x100)).step_by(step) {
                config[offset] &= 0x7f;
            }
            let found = PciCapabilities::parse(&config);
            prop_assert!(found.standard.len() <= 48 && found.extended.len() <= 960);
        }
    }
}
