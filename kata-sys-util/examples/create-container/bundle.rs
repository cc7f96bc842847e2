//! Reads an OCI bundle and checks its `config.json` (OCI runtime-spec, "Filesystem Bundle" and
//! "Configuration").

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use kata_sys_util::validate::valid_env;
use oci_spec::runtime::{LinuxNamespace, Spec};
use runtime_spec::OCI_SPEC_CONFIG_FILE_NAME;
use safe_path::ScopedRoot;
use serde_json::Value;
use serde_path_to_error::Segment;

use crate::problem::Problem;

/// Largest `config.json` that is read. A request of more than 4 MiB cannot be sent anyway.
const MAX_CONFIG_BYTES: u64 = 8 << 20;

/// A bundle whose configuration was read and checked.
#[derive(Debug)]
pub(crate) struct Bundle {
    /// The bundle directory, which no path of the configuration may leave.
    pub(crate) root: ScopedRoot,
    /// Path of `config.json`, for messages.
    pub(crate) config: PathBuf,
    /// Size of `config.json` in bytes.
    pub(crate) config_bytes: usize,
    /// The configuration.
    pub(crate) spec: Spec,
}

impl Bundle {
    /// Opens the bundle in `dir`.
    pub(crate) fn open(dir: &Path) -> Result<Self, Problem> {
        let root = ScopedRoot::open(dir).map_err(|e| Problem::file(dir, e))?;
        let config = dir.join(OCI_SPEC_CONFIG_FILE_NAME);
        let bytes = read_config(&root, &config)?;
        let spec = parse_config(&config, &bytes)?;
        check_config(&config, &spec)?;
        Ok(Self {
            root,
            config,
            config_bytes: bytes.len(),
            spec,
        })
    }
}

fn read_config(root: &ScopedRoot, config: &Path) -> Result<Vec<u8>, Problem> {
    let problem = |e: std::io::Error| Problem::file(config, e);
    let pinned = root.resolve(OCI_SPEC_CONFIG_FILE_NAME).map_err(problem)?;
    // A FIFO or a device must not even be opened for reading.
    let metadata = pinned.metadata().map_err(problem)?;
    if !metadata.is_file() {
        return Err(Problem::file(config, "not a regular file"));
    }
    let file = fs::File::open(pinned.as_path()).map_err(problem)?;
    let mut bytes = Vec::new();
    file.take(MAX_CONFIG_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(problem)?;
    if bytes.len() as u64 > MAX_CONFIG_BYTES {
        return Err(Problem::file(
            config,
            format!(
                "{} bytes are too many, at most {MAX_CONFIG_BYTES} are read",
                metadata.len().max(MAX_CONFIG_BYTES + 1)
            ),
        ));
    }
    Ok(bytes)
}

fn parse_config(config: &Path, bytes: &[u8]) -> Result<Spec, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let at = e.valid_up_to();
        let line = bytes.iter().take(at).filter(|&&b| b == b'\n').count() + 1;
        Problem::file(
            config,
            format!("not UTF-8: bad byte at offset {at} (line {line}); JSON is UTF-8 text"),
        )
    })?;
    let value: Value = serde_json::from_str(text)
        .map_err(|e| Problem::file(config, format!("not valid JSON: {e}")))?;
    if !value.is_object() {
        return Err(Problem::file(
            config,
            "not a valid OCI configuration: must be a JSON object",
        ));
    }
    if let Some((field, value)) = find_nul(&value, String::new()) {
        return Err(Problem::field(
            config,
            field,
            value,
            "a NUL byte cannot be part of a name, path or argument",
        ));
    }
    serde_path_to_error::deserialize(&value).map_err(|e| {
        let field = e.path().to_string();
        let reason = format!("not a valid OCI configuration: {}", e.inner());
        match lookup(&value, e.path()) {
            Some(value) => Problem::field(config, field, value, reason),
            None => Problem::file(config, format!("{field}: {reason}")),
        }
    })
}

/// The first string (or key) with a NUL character, and where it stands.
///
/// The recursion is bounded: the JSON parser refuses more than 128 levels.
fn find_nul(value: &Value, at: String) -> Option<(String, String)> {
    match value {
        Value::String(text) => text.contains('\0').then(|| (at, text.clone())),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(i, item)| find_nul(item, format!("{at}[{i}]"))),
        Value::Object(members) => members.iter().find_map(|(key, item)| {
            if key.contains('\0') {
                return Some((at.clone(), key.clone()));
            }
            let dot = if at.is_empty() { "" } else { "." };
            find_nul(item, format!("{at}{dot}{key}"))
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn lookup<'a>(value: &'a Value, path: &serde_path_to_error::Path) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, segment| match segment {
        Segment::Seq { index } => value.get(index),
        Segment::Map { key } => value.get(key),
        Segment::Enum { .. } | Segment::Unknown => None,
    })
}

/// Type of a namespace as it is written in `config.json`.
pub(crate) fn namespace_name(namespace: &LinuxNamespace) -> String {
    let name = serde_json::to_value(namespace.typ()).ok();
    let name = name.as_ref().and_then(Value::as_str);
    name.unwrap_or_default().to_string()
}

/// What the runtime needs beyond the types: OCI runtime-spec, config.md and config-linux.md.
fn check_config(config: &Path, spec: &Spec) -> Result<(), Problem> {
    let missing = |field: &str| Problem::file(config, format!("{field} is missing"));
    let bad = |field: &str, value: &dyn std::fmt::Debug, reason: &str| {
        Err(Problem::field(config, field, value, reason))
    };

    if !spec.version().starts_with("1.") {
        return bad(
            "ociVersion",
            spec.version(),
            "only versions 1.x are supported",
        );
    }
    let process = spec.process().as_ref().ok_or_else(|| missing("process"))?;
    match process.args().as_deref().and_then(<[_]>::first) {
        None => return Err(missing("process.args")),
        Some(program) if program.is_empty() => {
            return bad("process.args[0]", program, "the program's name is empty");
        }
        Some(_) => {}
    }
    for (i, entry) in process.env().iter().flatten().enumerate() {
        if valid_env(entry).is_none() {
            let reason = "must be KEY=VALUE with a key";
            return bad(&format!("process.env[{i}]"), entry, reason);
        }
    }
    if !process.cwd().is_absolute() {
        return bad("process.cwd", process.cwd(), "must be an absolute path");
    }
    let root = spec.root().as_ref().ok_or_else(|| missing("root"))?;
    if root.path().as_os_str().is_empty() {
        return bad("root.path", root.path(), "must not be empty");
    }
    let linux = spec.linux().as_ref().ok_or_else(|| missing("linux"))?;
    let namespaces = linux.namespaces().as_deref().unwrap_or_default();
    for (i, namespace) in namespaces.iter().enumerate() {
        let earlier = namespaces.iter().take(i);
        if earlier.clone().any(|n| n.typ() == namespace.typ()) {
            return bad(
                &format!("linux.namespaces[{i}].type"),
                &namespace_name(namespace),
                "this namespace is listed twice",
            );
        }
    }
    Ok(())
}
