//! Replaces, in generated code, each call of `protobuf` that reserves memory for an announced
//! length by one of `crate::bounded` (`src/bounded.rs`), and lets that make room for lists.

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

/// The line at which the fields of a message begin to be read.
const READS_FIELDS: &str = "fn merge_from(&mut self, is: &mut ::protobuf::CodedInputStream<'_>)";

/// Behind it, where a message has lists.
const SHOWN: &str = "        let mut shown = crate::bounded::Shown::default();\n";

/// The generated `code` with bounded calls.
///
/// # Errors
///
/// The line with a call that is not understood.
pub(crate) fn bound(code: &str) -> Result<String, String> {
    let mut out = String::with_capacity(code.len());
    // The end of the last line of that kind, until it is known whether something goes there.
    let mut fields = None;
    for line in code.lines() {
        if line.trim_start().starts_with("//") {
            out.push_str(line);
            out.push('\n');
            continue;
        }
        let bounded = bound_line(line)?;
        let has_list = bounded.contains("&mut shown,");
        out.push_str(&bounded);
        out.push('\n');
        if line.contains(READS_FIELDS) {
            fields = Some(out.len());
        } else if has_list && let Some(place) = fields.take() {
            out.insert_str(place, SHOWN);
        }
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
    Ok(match added_to(line) {
        Some(list) => room(line, list)? + &bounded,
        None => bounded,
    })
}

/// The list that the line adds a value to, which it reads.
fn added_to(line: &str) -> Option<&str> {
    let (list, _) = line.trim_start().split_once(".push(is.read_")?;
    Some(list)
}

/// The line that goes before it.
fn room(line: &str, list: &str) -> Result<String, String> {
    if !list.strip_prefix("self.").is_some_and(is_plain) {
        return Err(format!(
            "the generated code adds to a list in a way that has no bounded form yet: `{}`",
            line.trim()
        ));
    }
    let indent = line.len() - line.trim_start().len();
    let call = format!("crate::bounded::grow(is, &mut shown, &mut {list})?;");
    Ok(format!("{:indent$}{call}\n", ""))
}

fn is_plain(field: &str) -> bool {
    field
        .chars()
        .all(|c| c.is_alphanumeric() || c == '_' || c == '#')
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
    if !is_plain(field.strip_prefix("&mut self.")?) || !matches!(end, "" | ";") {
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
        "{indent}crate::bounded::packed(is, &mut shown, {field}, \
         ::protobuf::CodedInputStream::read_{kind}, {count})?{end}"
    ))
}
