//! Random UUIDs ([RFC 9562](https://www.rfc-editor.org/rfc/rfc9562), version 4).

use std::fmt::{self, Display, Formatter};

use super::fill;

/// A random UUID.
///
/// ```
/// use kata_sys_util::rand::UUID;
///
/// let uuid = UUID::new();
/// let text = String::from(&uuid);
/// assert_eq!(text.len(), 36);
/// assert_eq!(text.as_bytes()[14], b'4'); // version
/// assert_eq!(text, uuid.to_string());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UUID([u8; 16]);

impl UUID {
    /// A new UUID of version 4, with 122 random bits of the kernel's.
    pub fn new() -> Self {
        let mut bytes = [0; 16];
        fill(&mut bytes);
        Self::from_random(bytes)
    }

    /// Sets the version to 4 and the variant to that of the RFC.
    fn from_random(random: [u8; 16]) -> Self {
        let mut bytes = random;
        let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
        *version = *version & 0x0f | 0x40;
        *variant = *variant & 0x3f | 0x80;
        Self(bytes)
    }
}

impl Default for UUID {
    /// A new one, as of [`new`](Self::new).
    fn default() -> Self {
        Self::new()
    }
}

impl Display for UUID {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl From<&UUID> for String {
    fn from(from: &UUID) -> Self {
        from.to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn text_has_the_bytes_in_order() {
        let uuid = UUID(std::array::from_fn(|index| index as u8));
        let text = "00010203-0405-0607-0809-0a0b0c0d0e0f";
        assert_eq!(uuid.to_string(), text);
        assert_eq!(String::from(&uuid), text);
    }

    #[test]
    fn version_is_4_and_variant_is_that_of_the_rfc() {
        assert_eq!(
            UUID::from_random([0; 16]).to_string(),
            "00000000-0000-4000-8000-000000000000"
        );
        assert_eq!(
            UUID::from_random([0xff; 16]).to_string(),
            "ffffffff-ffff-4fff-bfff-ffffffffffff"
        );
    }

    #[test]
    fn new_ones_differ() {
        let all: HashSet<UUID> = (0..1000).map(|_| UUID::new()).collect();
        assert_eq!(all.len(), 1000);
        assert_ne!(UUID::default(), UUID::default());
    }
}
