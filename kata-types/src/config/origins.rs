//! Where each value of a configuration comes from.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use toml::{Table, Value};

use super::TomlConfig;
use super::adjust::AdjustNote;
use super::diagnostics::Walk;
use super::dotted_key::{dotted, quoted};
use super::keys::{Kind, Section};
use super::redact::Digest;
use super::toml_tree::Sources;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// No file sets it: the default of the key, or of the hypervisor.
    Default,
    /// The configuration file.
    BaseFile {
        /// The file.
        file: PathBuf,
        /// Line of the key, counted from 1.
        line: usize,
        /// Column of the key in characters, counted from 1.
        column: usize,
    },
    /// A drop-in file.
    DropIn {
        /// Place of the file in the order of drop-ins, counted from 1.
        number: usize,
        /// The file.
        file: PathBuf,
        /// Line of the key, counted from 1.
        line: usize,
        /// Column of the key in characters, counted from 1.
        column: usize,
    },
    /// Annotations of a pod.
    Annotation,
    /// The value was changed when the configuration was adjusted: limited, completed, or brought
    /// into its normal form.
    Adjusted {
        /// Where the value before comes from.
        from: Box<Origin>,
        /// What was changed.
        reason: String,
    },
}

/// `default`, `FILE:LINE`, `annotation`, or one of these and `, adjusted: REASON`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::BaseFile { file, line, .. } | Origin::DropIn { file, line, .. } => {
                write!(f, "{}:{line}", file.display())
            }
            Origin::Annotation => f.write_str("annotation"),
            Origin::Adjusted { from, reason } => write!(f, "{from}, adjusted: {reason}"),
        }
    }
}

/// The origin of every value of a configuration, and the configuration with them.
///
/// See [`TomlConfig::load_from_file_with_origins`] for an example.
pub struct ConfigOrigins {
    sources: Arc<Sources>,
    walk: Arc<Walk>,
    notes: Vec<AdjustNote>,
    raw: Arc<TomlConfig>,
    config: TomlConfig,
    /// Worked out when it is asked for: loading must not become slower for it.
    resolved: OnceLock<Resolved>,
}

struct Resolved {
    values: Table,
    origins: BTreeMap<String, Origin>,
}

/// Shows the files only: the values may be secret.
impl fmt::Debug for ConfigOrigins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigOrigins")
            .field("files", &self.sources.paths().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl ConfigOrigins {
    pub(crate) fn new(
        sources: &Arc<Sources>,
        walk: &Arc<Walk>,
        notes: &[AdjustNote],
        raw: &Arc<TomlConfig>,
        config: &TomlConfig,
    ) -> Self {
        ConfigOrigins {
            sources: Arc::clone(sources),
            walk: Arc::clone(walk),
            notes: notes.to_vec(),
            raw: Arc::clone(raw),
            config: config.clone(),
            resolved: OnceLock::new(),
        }
    }

    /// The origin of a key, such as `hypervisor.qemu.default_memory`; `None` if the configuration
    /// has no such key.
    ///
    /// Keys are those of the file; an alias is known by its main name. Names of sections that TOML
    /// would quote are quoted, as they are in [`render`](Self::render).
    pub fn origin_of(&self, key: &str) -> Option<&Origin> {
        self.resolved().origins.get(key)
    }

    /// All keys in alphabetical order, with their origins.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Origin)> {
        self.resolved()
            .origins
            .iter()
            .map(|(key, origin)| (key.as_str(), origin))
    }

    /// The effective configuration as TOML, with the origin of each value behind it. Passwords are
    /// shown as `***`, policies and initdata as length and digest.
    ///
    /// ```
    /// # use kata_types::config::TomlConfig;
    /// # let dir = tempfile::tempdir()?;
    /// # let file = dir.path().join("configuration.toml");
    /// # std::fs::write(&file, "[runtime]\nenable_debug = true\njaeger_password = 'secret'\n")?;
    /// # let file = file.canonicalize()?;
    /// let (_config, path, origins) = TomlConfig::load_from_file_with_origins(&file)?;
    /// let text = origins.render();
    /// assert!(text.contains(&format!("enable_debug = true # {}:2\n", path.display())));
    /// assert!(text.contains("log_level = \"info\" # default\n"));
    /// assert!(text.contains("jaeger_password = \"***\" # "));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn render(&self) -> String {
        let resolved = self.resolved();
        let mut text = String::new();
        for file in self
            .sources
            .paths()
            .filter(|file| !file.as_os_str().is_empty())
        {
            let _ = writeln!(text, "# {}", one_line(&file.display().to_string()));
        }
        resolved.render_table(&mut text, "", &resolved.values);
        text
    }

    /// Takes over a configuration that pod annotations have changed: whatever differs from before
    /// is from now on of the origin [`Origin::Annotation`].
    ///
    /// ```
    /// # use kata_types::config::{Origin, TomlConfig};
    /// # let dir = tempfile::tempdir()?;
    /// # let file = dir.path().join("configuration.toml");
    /// # std::fs::write(&file, "[runtime]\n")?;
    /// let (mut config, _path, mut origins) = TomlConfig::load_from_file_with_origins(&file)?;
    /// config.runtime.disable_guest_seccomp = true; // Annotation::update_config_by_annotation
    /// origins.record_annotations(&config);
    /// assert_eq!(origins.origin_of("runtime.disable_guest_seccomp"), Some(&Origin::Annotation));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn record_annotations(&mut self, config: &TomlConfig) {
        let mut origins = self.resolved().origins.clone();
        let before = flat(&self.resolved().values);
        let values = as_table(config);
        let after = flat(&values);
        for (key, value) in &after {
            if before.get(key) != Some(value) {
                origins.insert(key.clone(), Origin::Annotation);
            }
        }
        origins.retain(|key, _| after.contains_key(key));
        self.config = config.clone();
        self.resolved = OnceLock::from(Resolved { values, origins });
    }

    fn resolved(&self) -> &Resolved {
        self.resolved.get_or_init(|| {
            let values = as_table(&self.config);
            let raw_values = as_table(&self.raw);
            let changes = Changes {
                places: self.places(),
                raw: flat(&raw_values),
                reasons: self
                    .notes
                    .iter()
                    .map(|note| (note.key.as_str(), note.message.as_str()))
                    .collect(),
            };
            let origins = flat(&values)
                .into_iter()
                .map(|(key, value)| {
                    let origin = changes.origin(&key, value);
                    (key, origin)
                })
                .collect();
            Resolved { values, origins }
        })
    }

    /// Where each key is that a file sets.
    fn places(&self) -> HashMap<(&str, &str), Origin> {
        let mut keys: Vec<_> = self.walk.keys().collect();
        keys.sort_unstable_by_key(|(_, at)| *at);
        let mut locator = self.sources.locator();
        keys.into_iter()
            .map(|(key, at)| {
                let place = locator.locate(at);
                let file = self.sources.path(place.file).to_owned();
                let (line, column) = (place.line, place.column);
                let origin = match place.file {
                    0 => Origin::BaseFile { file, line, column },
                    number => Origin::DropIn {
                        number,
                        file,
                        line,
                        column,
                    },
                };
                (key, origin)
            })
            .collect()
    }
}

/// What has to be known to tell the origin of a value.
struct Changes<'a> {
    /// Keys that a file sets: section and name.
    places: HashMap<(&'a str, &'a str), Origin>,
    /// The values before adjusting.
    raw: BTreeMap<String, &'a Value>,
    /// Why adjusting changed a key.
    reasons: HashMap<&'a str, &'a str>,
}

impl Changes<'_> {
    fn origin(&self, key: &str, value: &Value) -> Origin {
        let before = self.raw.get(key).copied();
        let reason = self.reasons.get(key).map(|reason| (*reason).to_owned());
        let adjusted = |from: &Origin, reason| Origin::Adjusted {
            from: Box::new(from.clone()),
            reason,
        };
        // No key of a section has a dot in its own name.
        let place = key.rsplit_once('.').unwrap_or(("", key));
        match (self.places.get(&place), reason) {
            (Some(from), _) if before == Some(value) => from.clone(),
            (Some(from), Some(reason)) => adjusted(from, reason),
            (Some(from), None) => match before {
                Some(before) if !is_empty(before) => {
                    adjusted(from, format!("was {}", shown(key, before)))
                }
                _ => adjusted(from, "was empty".to_owned()),
            },
            (None, Some(reason)) if before != Some(value) => adjusted(&Origin::Default, reason),
            // A default that was filled in is a default all the same.
            (None, _) => Origin::Default,
        }
    }
}

impl Resolved {
    /// Writes a table: its own values first, then the tables below.
    fn render_table(&self, text: &mut String, path: &str, table: &Table) {
        for (name, value) in table.iter().filter(|(_, value)| !value.is_table()) {
            let key = dotted(path, name);
            let _ = write!(text, "{} = {}", dotted("", name), shown(&key, value));
            if let Some(origin) = self.origins.get(&key) {
                let _ = write!(text, " # {}", one_line(&origin.to_string()));
            }
            text.push('\n');
        }
        for (name, value) in table {
            if let Value::Table(table) = value {
                let path = dotted(path, name);
                // A table that holds only tables needs no header.
                if table.is_empty() || table.values().any(|value| !value.is_table()) {
                    let _ = write!(text, "\n[{path}]\n");
                }
                self.render_table(text, &path, table);
            }
        }
    }
}

/// A configuration as generic TOML.
fn as_table(config: &TomlConfig) -> Table {
    Table::try_from(config).unwrap_or_else(|_| {
        // An integer is too large for TOML's; as text it can be shown and compared.
        match serde_json::to_value(config).map(with_wide_integers) {
            Ok(Some(Value::Table(table))) => table,
            _ => Table::new(),
        }
    })
}

/// A value in which integers of more than 63 bits are texts; nothing for `null`.
fn with_wide_integers(value: serde_json::Value) -> Option<Value> {
    use serde_json::Value as Json;
    Some(match value {
        Json::Null => return None,
        Json::Bool(value) => Value::Boolean(value),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), ..) => Value::Integer(number),
            (_, Some(number), _) => Value::String(number.to_string()),
            (.., number) => Value::Float(number?),
        },
        Json::String(text) => Value::String(text),
        Json::Array(items) => {
            Value::Array(items.into_iter().filter_map(with_wide_integers).collect())
        }
        Json::Object(members) => Value::Table(
            members
                .into_iter()
                .filter_map(|(name, value)| Some((name, with_wide_integers(value)?)))
                .collect(),
        ),
    })
}

/// All values that are not tables, by dotted key.
fn flat(table: &Table) -> BTreeMap<String, &Value> {
    fn collect<'t>(path: &str, table: &'t Table, all: &mut BTreeMap<String, &'t Value>) {
        for (name, value) in table {
            let key = dotted(path, name);
            match value {
                Value::Table(table) => collect(&key, table, all),
                value => {
                    all.insert(key, value);
                }
            }
        }
    }
    let mut all = BTreeMap::new();
    collect("", table, &mut all);
    all
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// A value as TOML on one line, without secrets.
fn shown(key: &str, value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() => match kind(key) {
            Some(Kind::Secret) => "\"***\"".to_owned(),
            Some(Kind::Blob) => Value::String(format!("{:?}", Digest(text))).to_string(),
            Some(kind) if kind.integer_range().is_some() => text.clone(), // see `with_wide_integers`
            _ => quoted(text),
        },
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| shown("", item)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Table(table) => {
            let items: Vec<_> = table
                .iter()
                .map(|(name, value)| format!("{} = {}", dotted("", name), shown("", value)))
                .collect();
            format!("{{ {} }}", items.join(", "))
        }
        // All fractions of a configuration are `f32`: 1.1 is not 1.100000023841858.
        Value::Float(number) if f64::from(*number as f32) == *number => {
            format!("{:?}", *number as f32)
        }
        Value::Float(number) if number.is_nan() => "nan".to_owned(),
        other => other.to_string(),
    }
}

/// What kind of value a dotted key has, if it is known.
fn kind(key: &str) -> Option<Kind> {
    let (section, name) = key.rsplit_once('.')?;
    let section = match section.split_once('.') {
        None => Section::Runtime,
        Some(("agent", _)) => Section::Agent,
        Some(_) => Section::Hypervisor,
    };
    section.find(name).map(|spec| spec.kind)
}

/// A text that may stand in a comment: names of files and values may contain anything.
fn one_line(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) {
        Cow::Owned(text.replace(char::is_control, "?"))
    } else {
        Cow::Borrowed(text)
    }
}
