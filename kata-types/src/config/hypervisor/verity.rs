//! dm-verity parameters of the guest image.
//!
//! They become a `dm-mod.create=` argument of the guest kernel; see
//! [dm-init](https://docs.kernel.org/admin-guide/device-mapper/dm-init.html) and
//! [dm-verity](https://docs.kernel.org/admin-guide/device-mapper/verity.html).

use std::io;

use serde::{Deserialize, Serialize};

use crate::excerpt::Excerpt;

/// Unit of device-mapper tables, in bytes.
pub const VERITY_BLOCK_SIZE_BYTES: u64 = 512;

/// dm-verity parameters of the guest image.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct KernelVerityParams {
    /// Root hash, in hexadecimal.
    pub root_hash: String,
    /// Salt, in hexadecimal.
    pub salt: String,
    /// Number of data blocks.
    pub data_blocks: u64,
    /// Size of a data block in bytes: a power of two, at least 512.
    pub data_block_size: u64,
    /// Size of a hash block in bytes: a power of two, at least 512.
    pub hash_block_size: u64,
}

/// Parses `root_hash=HEX,salt=HEX,data_blocks=N,data_block_size=N,hash_block_size=N`.
///
/// All five are required, in any order; white space around keys and values is ignored, and so are
/// unknown keys. Blank text is `None`. The values are safe to be put on a kernel command line:
/// hash and salt are hexadecimal, and `data_blocks * data_block_size` fits in 64 bits.
///
/// # Errors
///
/// Kind [`io::ErrorKind::InvalidData`] and a text that names the key: an entry without key or with
/// a key that occurred before, a missing or empty value, a number that is none, zero, or not a
/// possible block size.
///
/// ```
/// use kata_types::config::hypervisor::parse_kernel_verity_params;
///
/// let params = parse_kernel_verity_params(
///     "root_hash=5f,salt=a1,data_blocks=100,data_block_size=4096,hash_block_size=4096",
/// )?;
/// assert_eq!(params.map(|p| p.data_blocks), Some(100));
/// assert!(parse_kernel_verity_params("root_hash=5f").is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn parse_kernel_verity_params(params: &str) -> io::Result<Option<KernelVerityParams>> {
    if params.trim().is_empty() {
        return Ok(None);
    }
    let entries = parse_entries(params)?;
    let value = |name: &str| {
        entries
            .iter()
            .find_map(|(key, value)| (*key == name && !value.is_empty()).then_some(*value))
            .ok_or_else(|| invalid(format!("Missing kernel_verity_params {name}")))
    };
    let number = |name: &str| {
        let text = value(name)?;
        text.parse::<u64>().map_err(|e| {
            invalid(format!(
                "Invalid kernel_verity_params {name} '{}': {e}",
                Excerpt(text)
            ))
        })
    };

    let root_hash = value("root_hash")?;
    let data_blocks = number("data_blocks")?;
    let data_block_size = number("data_block_size")?;
    let hash_block_size = number("hash_block_size")?;
    let salt = value("salt")?;

    let sizes = [
        ("data_block_size", data_block_size),
        ("hash_block_size", hash_block_size),
    ];
    let [data_size, hash_size] = sizes;
    for (name, number) in [("data_blocks", data_blocks), data_size, hash_size] {
        require(number != 0, name, "must be non-zero")?;
    }
    for (name, size) in sizes {
        let multiple = size.is_multiple_of(VERITY_BLOCK_SIZE_BYTES);
        require(multiple, name, "must be multiple of 512")?;
    }
    for (name, size) in sizes {
        require(size.is_power_of_two(), name, "must be a power of two")?;
    }
    let fits = data_blocks.checked_mul(data_block_size).is_some();
    require(
        fits,
        "data_blocks",
        "data_blocks * data_block_size must fit in 64 bits",
    )?;
    for (name, text) in [("root_hash", root_hash), ("salt", salt)] {
        // D8: anything else could end the quoted kernel argument and start others.
        let hex = text.bytes().all(|b| b.is_ascii_hexdigit());
        require(hex, name, "must be hexadecimal")?;
    }

    Ok(Some(KernelVerityParams {
        root_hash: root_hash.to_owned(),
        salt: salt.to_owned(),
        data_blocks,
        data_block_size,
        hash_block_size,
    }))
}

/// More entries than any list of known and coming parameters: each is compared with all before it.
const MAX_ENTRIES: usize = 256;

/// Keys and values, in order, each key once.
fn parse_entries(params: &str) -> io::Result<Vec<(&str, &str)>> {
    let mut entries: Vec<(&str, &str)> = Vec::new();
    for piece in params.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        if entries.len() == MAX_ENTRIES {
            let rule = format!("more than {MAX_ENTRIES} entries");
            return Err(invalid(format!("Invalid kernel_verity_params: {rule}")));
        }
        let entry = piece
            .split_once('=')
            .map(|(key, value)| (key.trim(), value.trim()))
            .filter(|(key, _)| !key.is_empty() && entries.iter().all(|(known, _)| known != key));
        entries.push(entry.ok_or_else(|| {
            let piece = Excerpt(piece);
            invalid(format!("Invalid kernel_verity_params entry: {piece}"))
        })?);
    }
    Ok(entries)
}

fn require(holds: bool, name: &str, rule: &str) -> io::Result<()> {
    if holds {
        return Ok(());
    }
    Err(invalid(format!(
        "Invalid kernel_verity_params {name}: {rule}"
    )))
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: [(&str, &str); 5] = [
        ("root_hash", "abc"),
        ("salt", "def"),
        ("data_blocks", "8"),
        ("data_block_size", "4096"),
        ("hash_block_size", "512"),
    ];

    /// The valid parameters with one value replaced, or left out.
    fn with(name: &str, value: Option<&str>) -> String {
        VALID
            .iter()
            .filter_map(|&(key, valid)| match value {
                _ if key != name => Some(format!("{key}={valid}")),
                Some(value) => Some(format!("{key}={value}")),
                None => None,
            })
            .collect::<Vec<_>>()
            .join(",")
    }

    fn error(params: &str) -> String {
        let error = parse_kernel_verity_params(params).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        error.to_string()
    }

    #[test]
    fn all_values_arrive() {
        let params = parse_kernel_verity_params(&with("", None))
            .unwrap()
            .unwrap();
        assert_eq!(params.root_hash, "abc");
        assert_eq!(params.salt, "def");
        assert_eq!(params.data_blocks, 8);
        assert_eq!(params.data_block_size, 4096);
        assert_eq!(params.hash_block_size, 512);
    }

    #[test]
    fn blank_is_none() {
        for blank in ["", " ", "\t\n"] {
            assert!(parse_kernel_verity_params(blank).unwrap().is_none());
        }
    }

    #[test]
    fn white_space_empty_pieces_and_unknown_keys_are_ignored() {
        let text = " root_hash = abc , ,salt=def,, data_blocks= 8,data_block_size =4096,\
                    hash_block_size=512,future=1,";
        let params = parse_kernel_verity_params(text).unwrap().unwrap();
        assert_eq!((params.root_hash.as_str(), params.data_blocks), ("abc", 8));
    }

    #[test]
    fn entries_need_a_key_and_each_key_only_once() {
        for piece in ["nokey", "=1", " = 1", "salt=1"] {
            let text = format!("{},{piece}", with("", None));
            let piece = piece.trim();
            assert_eq!(
                error(&text),
                format!("Invalid kernel_verity_params entry: {piece}")
            );
        }
        // Entries are checked before anything else.
        assert_eq!(error("x"), "Invalid kernel_verity_params entry: x");
    }

    #[test]
    fn missing_and_empty_values_are_reported_in_order() {
        for (name, _) in VALID {
            let text = format!("Missing kernel_verity_params {name}");
            assert_eq!(error(&with(name, None)), text);
            assert_eq!(error(&with(name, Some(""))), text);
        }
        let order = [
            "root_hash",
            "data_blocks",
            "data_block_size",
            "hash_block_size",
            "salt",
        ];
        let mut text = String::from("other=1");
        for name in order {
            assert_eq!(error(&text), format!("Missing kernel_verity_params {name}"));
            let (_, value) = VALID.iter().find(|(key, _)| *key == name).unwrap();
            text += &format!(",{name}={value}");
        }
        assert!(parse_kernel_verity_params(&text).unwrap().is_some());
    }

    #[test]
    fn values_out_of_range_are_errors() {
        for (name, value, text) in [
            (
                "data_blocks",
                "x",
                "data_blocks 'x': invalid digit found in string",
            ),
            (
                "data_blocks",
                "-1",
                "data_blocks '-1': invalid digit found in string",
            ),
            (
                "hash_block_size",
                "18446744073709551616",
                "hash_block_size '18446744073709551616': number too large to fit in target type",
            ),
            ("data_blocks", "0", "data_blocks: must be non-zero"),
            ("data_block_size", "0", "data_block_size: must be non-zero"),
            ("hash_block_size", "0", "hash_block_size: must be non-zero"),
            (
                "data_block_size",
                "100",
                "data_block_size: must be multiple of 512",
            ),
            (
                "hash_block_size",
                "513",
                "hash_block_size: must be multiple of 512",
            ),
            (
                "data_block_size",
                "1536",
                "data_block_size: must be a power of two",
            ),
            (
                "hash_block_size",
                "1536",
                "hash_block_size: must be a power of two",
            ),
            (
                "data_blocks",
                "18446744073709551615",
                "data_blocks: data_blocks * data_block_size must fit in 64 bits",
            ),
            (
                "root_hash",
                "a\" init=/bin/sh",
                "root_hash: must be hexadecimal",
            ),
            ("salt", "xyz", "salt: must be hexadecimal"),
        ] {
            assert_eq!(
                error(&with(name, Some(value))),
                format!("Invalid kernel_verity_params {text}")
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_results_are_safe(text in "[a-f0-9=, \"_\\PC]{0,60}") {
            if let Ok(Some(params)) = parse_kernel_verity_params(&text) {
                proptest::prop_assert!(params.salt.bytes().all(|b| b.is_ascii_hexdigit()));
            }
        }
    }
}
