//! Amounts of memory in annotations (AN-7).

/// Bytes of a MiB.
const MEBIBYTE: u128 = 1 << 20;

/// What is accepted, for messages and the reference.
pub(super) const FORM: &str = "MiB, or a number with a unit, such as `2GiB`";

/// The MiB in a text: digits alone are MiB; with a fraction, or with a unit, it is a number of
/// bytes, which is cut to whole MiB.
///
/// A unit is one of `K M G T P E` for powers of 1,000, or one of these with `i` for powers of 1,024;
/// `B` may follow, or stand alone. Case does not matter, and blanks may precede the unit.
///
/// # Errors
/// The reason why the text is refused.
pub(super) fn parse_mebibytes(text: &str) -> Result<u32, &'static str> {
    let mebibytes = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        scale(text, "", 1)
    } else {
        parse_bytes(text)?.map(|bytes| bytes / MEBIBYTE)
    };
    let mebibytes = mebibytes.ok_or("too many digits")?;
    u32::try_from(mebibytes).map_err(|_| "more than 4294967295 MiB")
}

/// `None` when the number has too many digits.
fn parse_bytes(text: &str) -> Result<Option<u128>, &'static str> {
    const MALFORMED: &str = "expected MiB, or a number with a unit such as 2GiB";
    let (integer, rest) = split_digits(text).ok_or(MALFORMED)?;
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => split_digits(rest).ok_or(MALFORMED)?,
        None => ("", rest),
    };
    let unit = unit(rest.trim_matches(' ')).ok_or(MALFORMED)?;
    Ok(scale(integer, fraction.trim_end_matches('0'), unit))
}

/// Leading digits, of which there must be one, and the rest.
fn split_digits(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at_checked(end)
        .filter(|(digits, _)| !digits.is_empty())
}

/// The bytes of a unit.
fn unit(name: &str) -> Option<u128> {
    let name = name.to_ascii_uppercase();
    let prefix = name.strip_suffix('B').unwrap_or(&name);
    let (letter, base) = match prefix.strip_suffix('I') {
        Some(letter) if !letter.is_empty() => (letter, 1024),
        _ => (prefix, 1000),
    };
    let exponent = match letter {
        "" => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        "P" => 5,
        "E" => 6,
        _ => return None,
    };
    u128::checked_pow(base, exponent)
}

/// `integer.fraction × unit`, rounded up to whole bytes.
fn scale(integer: &str, fraction: &str, unit: u128) -> Option<u128> {
    let mut number: u128 = 0;
    for digit in integer.bytes().chain(fraction.bytes()) {
        let digit = u128::from(digit.checked_sub(b'0')?);
        number = number.checked_mul(10)?.checked_add(digit)?;
    }
    let divisor = u128::checked_pow(10, u32::try_from(fraction.len()).ok()?)?;
    Some(number.checked_mul(unit)?.div_ceil(divisor))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn digits_alone_are_mebibytes() {
        for (text, mebibytes) in [
            ("0", 0),
            ("2048", 2048),
            ("002", 2),
            ("4294967295", u32::MAX),
        ] {
            assert_eq!(parse_mebibytes(text), Ok(mebibytes), "{text}");
        }
    }

    #[test]
    fn units_are_decimal_or_binary() {
        for (text, mebibytes) in [
            ("100MiB", 100),
            ("1.5GiB", 1536),
            ("2 GiB", 2048),
            ("2   gib", 2048),
            ("100M", 95),
            ("100m", 95),
            ("100MB", 95),
            ("100Mb", 95),
            ("1G", 953),
            ("1Gi", 1024),
            ("1GI", 1024),
            ("1024k", 0),
            ("1024Ki", 1),
            ("1048576B", 1),
            ("1048576 b", 1),
            ("1048575.1B", 1),
            ("1048575B", 0),
            ("1.5", 0),
            ("0.5 TiB", 512 << 10),
            ("1.50000000000000000000000000000000GiB", 1536),
            ("4194303GiB", 4_294_966_272),
            ("0.001E", 953_674_316),
        ] {
            assert_eq!(parse_mebibytes(text), Ok(mebibytes), "{text}");
        }
    }

    #[test]
    fn malformed_amounts_are_refused() {
        for text in [
            "", " ", "2048r", "-1", "+1", "1.", ".5", "1. 5", "1 5", "GiB", "1 i", "1iB", "1BB",
            "1G iB", "1Z", "1e3", "1_000", "0x10", "1,5", "1\tGiB", "１", "1bit", "NaN",
        ] {
            assert_eq!(
                parse_mebibytes(text),
                Err("expected MiB, or a number with a unit such as 2GiB"),
                "{text:?}"
            );
        }
    }

    #[test]
    fn amounts_beyond_the_field_are_refused() {
        for text in ["4294967296", "4PiB", "16EiB"] {
            assert_eq!(
                parse_mebibytes(text),
                Err("more than 4294967295 MiB"),
                "{text}"
            );
        }
        for text in [
            "99999999999999999999999999999999999999999999",
            "99999999999999999999999999999999999999999999G",
            "1.00000000000000000000000000000000000000000001G",
        ] {
            assert_eq!(parse_mebibytes(text), Err("too many digits"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), number in "[0-9]{0,50}\\.?[0-9]{0,50} ?[KkMGTPEiIBb]{0,4}") {
            let _ = parse_mebibytes(&text);
            let _ = parse_mebibytes(&number);
        }

        #[test]
        fn whole_units_are_exact(number in 0u32..4096) {
            prop_assert_eq!(parse_mebibytes(&format!("{number} GiB")), Ok(number * 1024));
            prop_assert_eq!(parse_mebibytes(&format!("{number}MiB")), Ok(number));
            prop_assert_eq!(parse_mebibytes(&number.to_string()), Ok(number));
        }
    }
}
