//! Names of vendors, devices and classes, from the
//! [PCI ID database](https://pci-ids.ucw.cz) that is built in.
//!
//! Without the crate's feature `pci-names` it is not, and everything is unknown. A look-up takes the
//! same time whatever the size of the database.

mod layout;
mod table;

use table::Table;

#[cfg(feature = "pci-names")]
mod database {
    pub(super) const VENDORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pci_vendors.bin"));
    pub(super) const DEVICES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pci_devices.bin"));
    pub(super) const CLASSES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pci_classes.bin"));
    pub(super) const SUBCLASSES: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/pci_subclasses.bin"));
    pub(super) const NAMES: &str = include_str!(concat!(env!("OUT_DIR"), "/pci_names.txt"));
}

#[cfg(not(feature = "pci-names"))]
mod database {
    pub(super) const VENDORS: &[u8] = &[];
    pub(super) const DEVICES: &[u8] = &[];
    pub(super) const CLASSES: &[u8] = &[];
    pub(super) const SUBCLASSES: &[u8] = &[];
    pub(super) const NAMES: &str = "";
}

static VENDORS: Table<'_> = table(database::VENDORS);
static DEVICES: Table<'_> = table(database::DEVICES);
static CLASSES: Table<'_> = table(database::CLASSES);
static SUBCLASSES: Table<'_> = table(database::SUBCLASSES);

const fn table(slots: &'static [u8]) -> Table<'static> {
    Table {
        slots,
        names: database::NAMES,
    }
}

/// The name of a vendor, or `None` if the database has none.
///
/// Always `None` without the crate's feature `pci-names`.
///
/// ```
/// use kata_sys_util::pcilibs::vendor_name;
///
/// # #[cfg(feature = "pci-names")]
/// assert_eq!(vendor_name(0x10de), Some("NVIDIA Corporation"));
/// assert_eq!(vendor_name(0x0002), None);
/// ```
pub fn vendor_name(vendor: u16) -> Option<&'static str> {
    VENDORS.get(vendor.into())
}

/// The name of a vendor's device, or `None` if the database has none.
///
/// Always `None` without the crate's feature `pci-names`.
///
/// ```
/// use kata_sys_util::pcilibs::device_name;
///
/// # #[cfg(feature = "pci-names")]
/// assert_eq!(device_name(0x10de, 0x2330), Some("GH100 [H100 SXM5 80GB]"));
/// assert_eq!(device_name(0xffff, 0xffff), None);
/// ```
pub fn device_name(vendor: u16, device: u16) -> Option<&'static str> {
    DEVICES.get(u32::from(vendor) << 16 | u32::from(device))
}

/// The name of the subclass of a 24-bit class code, else that of its base class, or `None` if the
/// database has neither.
///
/// Always `None` without the crate's feature `pci-names`.
///
/// ```
/// use kata_sys_util::pcilibs::class_name;
///
/// # #[cfg(feature = "pci-names")] {
/// assert_eq!(class_name(0x03_02_00), Some("3D controller"));
/// // No such subclass.
/// assert_eq!(class_name(0x03_7f_00), Some("Display controller"));
/// # }
/// assert_eq!(class_name(0x7f_00_00), None);
/// ```
pub fn class_name(class: u32) -> Option<&'static str> {
    SUBCLASSES
        .get(class >> 8)
        .or_else(|| CLASSES.get(class >> 16))
}

#[cfg(test)]
#[cfg(feature = "pci-names")]
mod tests {
    use super::layout::first_slot;
    use super::*;

    const DATABASE: &str = include_str!("../../../data/pci.ids");

    fn number(text: &str) -> u32 {
        u32::from_str_radix(text, 16).unwrap()
    }

    #[test]
    fn every_entry_of_the_database_is_found() {
        let mut found = [0; 4];
        let (mut vendor, mut class) = (None, None);
        for line in DATABASE.lines() {
            let Some((id, name)) = line.split_once("  ") else {
                continue;
            };
            let (name, kind) = (Some(name.trim()), &mut found);
            if line.starts_with('#') || line.starts_with("\t\t") {
                continue;
            } else if let Some(id) = id.strip_prefix("C ") {
                (vendor, class) = (None, Some(number(id)));
                assert_eq!(CLASSES.get(number(id)), name);
                kind[2] += 1;
            } else if let Some(id) = id.strip_prefix('\t') {
                if let Some(vendor) = vendor {
                    let device = u16::try_from(number(id)).unwrap();
                    assert_eq!(device_name(vendor, device), name);
                    kind[1] += 1;
                } else {
                    let code = class.unwrap() << 16 | number(id) << 8;
                    assert_eq!(class_name(code), name);
                    kind[3] += 1;
                }
            } else {
                let id = u16::try_from(number(id)).unwrap();
                (vendor, class) = (Some(id), None);
                assert_eq!(vendor_name(id), name);
                kind[0] += 1;
            }
        }
        assert_eq!(found[..2], [2445, 19836]);
        assert!(found[2] > 20 && found[3] > 100, "{found:?}");
    }

    #[test]
    fn names_are_found_in_few_steps() {
        for table in [&VENDORS, &DEVICES, &CLASSES, &SUBCLASSES] {
            let (slots, rest) = table.slots.as_chunks::<8>();
            assert!(rest.is_empty() && slots.len().is_power_of_two());
            let (mut count, mut sum, mut most) = (0, 0, 0);
            for (index, slot) in slots.iter().enumerate() {
                if slot[4..] != [0; 4] {
                    let number = u32::from_le_bytes([slot[0], slot[1], slot[2], slot[3]]);
                    let first = first_slot(number, slots.len());
                    let steps = index.wrapping_sub(first) & (slots.len() - 1);
                    (count, sum, most) = (count + 1, sum + steps, most.max(steps));
                }
            }
            println!(
                "{count} numbers in {} slots: {sum} steps, {most} at most",
                slots.len()
            );
            assert!(sum <= count && most < 64, "{count} {sum} {most}");
        }
    }

    #[test]
    fn class_is_named_by_subclass_and_else_by_base_class() {
        for (class, name) in [
            (0x03_00_00, Some("VGA compatible controller")),
            (0x06_80_00, Some("Bridge")),
            (0x02_07_00, Some("Infiniband controller")),
            (0x02_ff_00, Some("Network controller")),
            (0xff_ff_00, Some("Unassigned class")),
            (0x7e_00_00, None),
            (0xffff_ffff, None),
        ] {
            assert_eq!(class_name(class), name, "{class:06x}");
        }
    }
}
