//! Any number of random bytes.

use std::fmt::{self, Formatter, LowerHex, UpperHex};

use super::fill;

/// Random bytes, such as an identifier of a device.
///
/// As hexadecimal digits there are two for each byte, without anything between them.
///
/// ```
/// use kata_sys_util::rand::RandomBytes;
///
/// let id = RandomBytes::new(8);
/// assert_eq!(id.bytes.len(), 8);
/// assert_eq!(format!("{id:x}").len(), 16);
///
/// let bytes = RandomBytes { bytes: vec![0x01, 0xab] };
/// assert_eq!(format!("{bytes:x} {bytes:X}"), "01ab 01AB");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RandomBytes {
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl RandomBytes {
    /// `n` random bytes of the kernel's.
    pub fn new(n: usize) -> Self {
        let mut bytes = vec![0; n];
        fill(&mut bytes);
        Self { bytes }
    }
}

impl LowerHex for RandomBytes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.bytes
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl UpperHex for RandomBytes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.bytes
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_bytes_as_asked_for() {
        for n in [0, 1, 16, 300, 70_000] {
            assert_eq!(RandomBytes::new(n).bytes.len(), n);
        }
    }

    #[test]
    fn two_draws_differ() {
        assert_ne!(RandomBytes::new(16), RandomBytes::new(16));
    }

    #[test]
    fn every_byte_has_two_digits() {
        let all = RandomBytes {
            bytes: (0..=255).collect(),
        };
        let lower = format!("{all:x}");
        assert!(lower.starts_with("000102") && lower.ends_with("fdfeff"));
        assert_eq!(lower.len(), 512);
        assert_eq!(format!("{all:X}"), lower.to_uppercase());
        // Without the leading zeros, both would be `123`.
        let hex = |bytes: &[u8]| {
            format!(
                "{:x}",
                RandomBytes {
                    bytes: bytes.to_vec()
                }
            )
        };
        assert_eq!(hex(&[0x01, 0x23]), "0123");
        assert_eq!(hex(&[0x12, 0x03]), "1203");
        assert_eq!(hex(&[]), "");
    }
}
