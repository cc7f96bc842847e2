//! The value of `/sys/kernel/mm/lru_gen/enabled`.

use std::num::ParseIntError;

/// The main switch, and batched clearing of accessed bits in leaf and in other page table entries.
pub(crate) const ALL_FEATURES: u32 = 7;

/// A number, hexadecimal with `0x`.
pub(crate) fn parse_switch(text: &str) -> Result<u32, ParseIntError> {
    let text = text.trim();
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal_or_hexadecimal() {
        let cases = [
            ("0x0000\n", Some(0)),
            ("0x0007\n", Some(7)),
            ("7", Some(7)),
            ("10", Some(10)),
            ("0x10", Some(16)),
            ("", None),
            ("y", None),
            ("0x", None),
            ("-1", None),
            ("4294967296", None),
        ];
        for (text, value) in cases {
            assert_eq!(parse_switch(text).ok(), value, "{text:?}");
        }
    }
}
