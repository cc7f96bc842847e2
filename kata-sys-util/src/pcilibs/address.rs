//! Addresses of PCI functions: domain, bus, device and function, as the kernel writes them.

use std::fmt;

/// The domain of an address that names none.
pub const PCI_DEV_DOMAIN: &str = "0000";

/// The address of a PCI function in the form that sysfs has: `0000:3b:00.1`.
///
/// Accepts `[DOMAIN:]BUS:DEVICE.FUNCTION` in hexadecimal digits of either case, with any zeros in
/// front. Without a domain it is [`PCI_DEV_DOMAIN`]; domains have at most 32 bits, and more than
/// four digits in virtual ones such as Intel VMD's. Buses go to `ff`, devices to `1f`, functions to
/// `7`.
///
/// `None` for everything else. What is returned is safe as a component of a path.
///
/// ```
/// use kata_sys_util::pcilibs::normalize_bdf;
///
/// assert_eq!(normalize_bdf("3B:0.1").as_deref(), Some("0000:3b:00.1"));
/// assert_eq!(normalize_bdf("10000:e1:00.0").as_deref(), Some("10000:e1:00.0"));
/// assert_eq!(normalize_bdf("0000:00:20.0"), None);
/// assert_eq!(normalize_bdf("../../etc"), None);
/// ```
pub fn normalize_bdf(bdf: &str) -> Option<String> {
    Address::parse(bdf).map(|address| address.to_string())
}

/// The address of a PCI function, ordered by numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Address {
    domain: u32,
    bus: u32,
    device: u32,
    function: u32,
}

impl Address {
    /// As [`normalize_bdf`] (P1).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (rest, function) = text.rsplit_once('.')?;
        let (rest, device) = rest.rsplit_once(':')?;
        let (domain, bus) = rest.rsplit_once(':').unwrap_or((PCI_DEV_DOMAIN, rest));
        Some(Self {
            domain: field(domain, u32::MAX)?,
            bus: field(bus, 0xff)?,
            device: field(device, 0x1f)?,
            function: field(function, 7)?,
        })
    }

    /// Of an entry of a directory, which sysfs writes in one form only.
    pub(crate) fn of_entry(name: &str) -> Option<Self> {
        Self::parse(name).filter(|address| address.to_string() == name)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            domain,
            bus,
            device,
            function,
        } = self;
        write!(f, "{domain:04x}:{bus:02x}:{device:02x}.{function:x}")
    }
}

fn field(text: &str, max: u32) -> Option<u32> {
    // `from_str_radix` takes a sign, too.
    let is_hex = text.bytes().all(|c| c.is_ascii_hexdigit());
    let number = u32::from_str_radix(text, 16).ok().filter(|_| is_hex)?;
    (number <= max).then_some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_rebuilt_from_their_numbers() {
        for (text, expected) in [
            ("0000:00:00.0", "0000:00:00.0"),
            ("ff:1f.7", "0000:ff:1f.7"),
            ("0:0.0", "0000:00:00.0"),
            ("ABCD:Ef:0A.0", "abcd:ef:0a.0"),
            ("00000001:001:01.00", "0001:01:01.0"),
            ("000000000000:0000000000000000:00000.000000", "0000:00:00.0"),
            ("10000:e1:00.0", "10000:e1:00.0"),
            ("ffffffff:ff:1f.7", "ffffffff:ff:1f.7"),
        ] {
            assert_eq!(normalize_bdf(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn everything_else_is_no_address() {
        for text in [
            "",
            ":",
            ".",
            ":.",
            "::.",
            "0",
            "00:00",
            "00.0",
            "0000:00:00",
            "00:00.",
            "00:.0",
            ":00.0",
            ":00:00.0",
            "0000::00.0",
            "0000:00:.0",
            "00:00.0.0",
            "0:0000:00:00.0",
            "0000.00.00.0",
            "0000:00:00:0",
            "0000:00:20.0",
            "0000:00:00.8",
            "0000:100:00.0",
            "100000000:00:00.0",
            "+1:00:00.0",
            "0000:+1:00.0",
            "0000:00:-1.0",
            "0000:00:00.+0",
            " 0000:00:00.0",
            "0000:00:00.0\n",
            "0000:00: 0.0",
            "0x00:00.0",
            "0000:00:00.g",
            "0_0:00.0",
            "0000:00:00.0/..",
            "../0000:00:00.0",
            "/0000:00:00.0",
            "0000:00:00.0\0",
            "٠:00.0",
            "００:00.0",
        ] {
            assert_eq!(normalize_bdf(text), None, "{text:?}");
        }
    }

    #[test]
    fn entry_of_a_directory_has_the_form_of_sysfs() {
        for (name, is_entry) in [
            ("0000:0a:00.0", true),
            ("10000:0a:00.0", true),
            ("0a:00.0", false),
            ("0000:0A:00.0", false),
            ("00000:0a:00.0", false),
            ("power", false),
        ] {
            assert_eq!(Address::of_entry(name).is_some(), is_entry, "{name}");
        }
    }

    #[test]
    fn order_is_that_of_the_numbers() {
        let sorted = [
            "ffff:ff:1f.7",
            "10000:00:00.0",
            "10000:00:02.0",
            "10000:00:10.0",
        ];
        let addresses = sorted.map(|text| Address::parse(text).unwrap());
        assert!(addresses.is_sorted());
    }

    proptest! {
        #[test]
        fn any_text_is_none_or_a_safe_component_that_stays_itself(
            text in "[0-9a-fA-F:./+\\- x]{0,16}|\\PC{0,16}",
        ) {
            if let Some(address) = normalize_bdf(&text) {
                prop_assert!(address.bytes().all(|c| c.is_ascii_hexdigit() || c == b':' || c == b'.'));
                prop_assert!(address != "." && address != "..");
                prop_assert_eq!(normalize_bdf(&address), Some(address.clone()));
                prop_assert!(Address::of_entry(&address).is_some());
            }
        }

        #[test]
        fn any_numbers_in_range_are_an_address(
            domain: u32, bus in 0..=0xffu32, device in 0..=0x1fu32, function in 0..=7u32,
        ) {
            let address = Address { domain, bus, device, function };
            prop_assert_eq!(Address::parse(&address.to_string()), Some(address));
            let upper = format!("{domain:X}:{bus:X}:{device:X}.{function}");
            prop_assert_eq!(Address::parse(&upper), Some(address));
        }
    }
}
