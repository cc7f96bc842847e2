//! Replaces, in generated code, each call of `protobuf` that reserves memory for an announced
//! length by one of `crate::bounded` (`src/bounded.rs`).

/// Scalar types that are varints in a packed list.
const VARINTS: &[&str] = &[
    "bool", "int32", "int64", "sint32", "sint64", "uint32", "uint64",
];

/// Scalar types of a fixed size, with their bytes.
const FIXED: &[(&str, usize)] = &[
    ("double", 8),
    ("fixed32", 4),
    ("fixed64", 8),
    ("float", 4),
    ("sfixed32", 4),
    ("sfixed64", 8),
];

/// Calls that are replaced as they stand.
const CALLS: &[(&str, &str)] = &[
    ("is.read_string()?", "crate::bounded::string(is)?"),
    ("is.read_bytes()?", "crate::bounded::bytes(is)?"),
    (
        "::protobuf::rt::read_unknown_or_skip_group(",
        "crate::bounded::unknown(",
    ),
];

/// Names in calls that trust an announced length. None may be left.
pub(crate) const TRUSTING: &[&str] = &[
    "read_repeated_packed_",
    "is.read_string",
    "is.read_bytes",
    "read_raw_bytes",
    "read_tokio_",
    "read_unknown",
];

/// The generated `code` with bounded calls.
///
/// # Errors
///
/// The line with a call that is not understood.
pub(crate) fn bound(code: &str) -> Result<String, String> {
    let mut out = String::with_capacity(code.len());
    for line in code.lines() {
        if line.trim_start().starts_with("//") {
            out.push_str(line);
        } else {
            out.push_str(&bound_line(line)?);
        }
        out.push('\n');
    }
    Ok(out)
}

fn bound_line(line: &str) -> Result<String, String> {
    let mut bounded = packed(line).unwrap_or_else(|| line.to_owned());
    for (call, replacement) in CALLS {
        bounded = bounded.replace(call, replacement);
    }
    if TRUSTING.iter().any(|name| bounded.contains(name)) {
        return Err(format!(
            "the generated code reads a value in a way that has no bounded form yet: `{}`",
            line.trim()
        ));
    }
    Ok(bounded)
}

/// The line, if it reads a packed list, with the bounded call.
fn packed(line: &str) -> Option<String> {
    let text = line.trim_start();
    let indent = line.get(..line.len() - text.len())?;
    let (kind, field) = match text.strip_prefix("is.read_repeated_packed_") {
        Some(call) => call.split_once("_into(")?,
        None => (
            "enum_or_unknown",
            text.strip_prefix("::protobuf::rt::read_repeated_packed_enum_or_unknown_into(is, ")?,
        ),
    };
    let (field, end) = field.split_once(")?")?;
    let is_plain = |c: char| c.is_alphanumeric() || c == '_' || c == '#';
    if !field.strip_prefix("&mut self.")?.chars().all(is_plain) || !matches!(end, "" | ";") {
        return None;
    }
    let fixed = FIXED.iter().find(|(name, _)| *name == kind);
    let count = match fixed {
        Some((_, size)) => format!("|bytes: &[u8]| bytes.len() / {size}"),
        None if VARINTS.contains(&kind) || kind == "enum_or_unknown" => {
            "crate::bounded::varints".to_owned()
        }
        None => return None,
    };
    Some(format!(
        "{indent}crate::bounded::packed(is, {field}, \
         ::protobuf::CodedInputStream::read_{kind}, {count})?{end}"
    ))
}
