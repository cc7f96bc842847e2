//! The typed walk over a merged configuration: finds values of a wrong type, and keys that do not
//! do what their author meant.
//!
//! It comes before serde because serde cannot say where: for a flattened struct it knows only the
//! table, and after a merge not even the file.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::DiagnosticKind;
use super::suggest::closest;
use super::values::{accepts, integer, is_default, type_error};
use crate::config::dotted_key::{dotted, shortened, shown_below};
use crate::config::hypervisor::get_hypervisor_plugin;
use crate::config::keys::{KeySpec, Kind, Section};

/// Remarks about one configuration that are listed; a flood of them helps nobody.
const MAX_FINDINGS: usize = 1000;

/// Errors of one configuration that are listed.
const MAX_FLAWS: usize = 100;

/// Hypervisors and agents of one configuration: each takes kilobytes.
const MAX_NAMED: usize = 1024;

/// Hypervisors whose sections are known.
const HYPERVISORS: &[&str] = &["clh", "dragonball", "firecracker", "qemu", "remote"];

/// What a walk found.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    sections: Vec<Opened>,
    entries: Vec<Entry>,
    pub(crate) findings: Vec<Finding>,
    /// Findings beyond those that are listed.
    pub(crate) unlisted: usize,
    pub(crate) flaws: Vec<Flaw>,
}

/// A table.
#[derive(Debug, Default)]
struct Opened {
    /// Dotted key.
    path: String,
    /// The same for messages.
    shown: String,
    /// Offset of what opens it.
    at: usize,
}

/// A known key that is present.
#[derive(Debug)]
struct Entry {
    section: usize,
    spec: &'static KeySpec,
    /// Offset of the key.
    at: usize,
    /// Offsets of the value.
    value: (usize, usize),
}

/// Something to tell the user about.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) at: usize,
    pub(crate) key: String,
    pub(crate) kind: DiagnosticKind,
    pub(crate) message: String,
    pub(crate) suggestion: Option<String>,
}

/// Something that serde will not accept.
#[derive(Debug)]
pub(crate) struct Flaw {
    pub(crate) at: usize,
    pub(crate) key: String,
    pub(crate) reason: String,
}

impl Walk {
    /// Walks over a whole configuration.
    pub(crate) fn over(root: &DeTable<'_>) -> Self {
        let mut walker = Walker {
            walk: Walk::default(),
            hypervisor: active(root, "hypervisor", "hypervisor_name"),
            agent: active(root, "agent", "agent_name"),
        };
        walker.table(Section::Root, Opened::default(), root);
        walker.names(root);
        walker.walk
    }

    /// Known keys that are present: dotted key of the table, name, and offset of the key.
    ///
    /// Whole dotted keys would repeat the name of a section, which may be long, for each of its keys.
    pub(crate) fn keys(&self) -> impl Iterator<Item = ((&str, &str), usize)> {
        self.entries
            .iter()
            .map(|entry| ((self.section(entry.section), entry.spec.name), entry.at))
    }

    /// Dotted key of a table.
    fn section(&self, number: usize) -> &str {
        self.sections.get(number).map_or("", |opened| &opened.path)
    }

    /// Dotted key of a table for messages.
    pub(super) fn shown_section(&self, number: usize) -> &str {
        self.sections.get(number).map_or("", |opened| &opened.shown)
    }

    /// Offset of a key or, when no file sets it, of what opens its table.
    pub(crate) fn find(&self, key: &str) -> Option<usize> {
        self.find_entry(key).or_else(|| self.find_section(key))
    }

    fn find_entry(&self, key: &str) -> Option<usize> {
        let matches = |entry: &&Entry| {
            let below = match self.section(entry.section) {
                "" => Some(key),
                section => key
                    .strip_prefix(section)
                    .and_then(|rest| rest.strip_prefix('.')),
            };
            below == Some(entry.spec.name)
        };
        self.entries.iter().find(matches).map(|entry| entry.at)
    }

    /// Offset of what opens a table, or the table around a key.
    pub(super) fn find_section(&self, key: &str) -> Option<usize> {
        let table = key.rsplit_once('.').map_or(key, |(table, _)| table);
        let named = |wanted: &str| {
            self.sections
                .iter()
                .find(|opened| !opened.path.is_empty() && opened.path == wanted)
        };
        named(key).or_else(|| named(table)).map(|opened| opened.at)
    }

    /// Dotted key, for a message, of the innermost known value around an offset.
    pub(crate) fn key_at(&self, offset: usize) -> String {
        let around = |entry: &&Entry| entry.value.0 <= offset && offset < entry.value.1;
        self.entries
            .iter()
            .filter(around)
            .min_by_key(|entry| entry.value.1 - entry.value.0)
            .map(|entry| shown_below(self.shown_section(entry.section), entry.spec.name))
            .unwrap_or_default()
    }
}

/// The section in use: the one that `[runtime]` names, else the first.
fn active(root: &DeTable<'_>, sections: &str, name: &str) -> String {
    let named = root
        .get("runtime")
        .and_then(|runtime| runtime.get_ref().get(name));
    let first = || {
        let sections = root.get(sections)?.get_ref().as_table()?;
        sections.keys().next().map(|key| key.get_ref().as_ref())
    };
    let named = named
        .and_then(|name| name.get_ref().as_str())
        .filter(|name| !name.is_empty());
    named.or_else(first).unwrap_or("<name>").to_owned()
}

/// A walk under way.
pub(super) struct Walker {
    pub(super) walk: Walk,
    /// Names of the sections in use, for suggestions.
    pub(super) hypervisor: String,
    pub(super) agent: String,
}

impl Walker {
    /// Walks over a table.
    fn table(&mut self, section: Section, place: Opened, table: &DeTable<'_>) {
        let number = self.walk.sections.len();
        self.walk.sections.push(place);
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let at = key.span().start;
            let Some(spec) = section.find(name) else {
                self.unknown(section, number, key, value);
                continue;
            };
            if name != spec.name && table.contains_key(spec.name) {
                let reason = format!("duplicate field `{}`: the same as `{name}`", spec.name);
                let other = table
                    .get_key_value(spec.name)
                    .map(|(key, _)| key.span().start);
                self.flaw(
                    other.map_or(at, |other| other.max(at)),
                    number,
                    spec.name,
                    reason,
                );
                continue;
            }
            let span = value.span();
            self.walk.entries.push(Entry {
                section: number,
                spec,
                at,
                value: (span.start, span.end),
            });
            self.value(spec, number, at, value);
        }
    }

    fn value(
        &mut self,
        spec: &'static KeySpec,
        number: usize,
        at: usize,
        value: &Spanned<DeValue<'_>>,
    ) {
        match (spec.kind, value.get_ref()) {
            (Kind::Table(section), DeValue::Table(table)) => {
                let place = Opened {
                    path: dotted(self.walk.section(number), spec.name),
                    shown: self.path(number, spec.name),
                    at,
                };
                self.table(section, place, table);
            }
            (Kind::Tables(section), DeValue::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    match item.get_ref() {
                        DeValue::Table(table) => {
                            let name = spec.name;
                            let path = dotted(self.walk.section(number), name);
                            let place = Opened {
                                path: format!("{path}[{index}]"),
                                shown: format!("{}[{index}]", self.path(number, name)),
                                at: item.span().start,
                            };
                            self.table(section, place, table);
                        }
                        other => {
                            let reason = type_error(other, section.type_name(), spec);
                            self.flaw(item.span().start, number, spec.name, reason);
                        }
                    }
                }
            }
            (Kind::Named(_), DeValue::Table(tables)) if tables.len() > MAX_NAMED => {
                let reason = format!("more than {MAX_NAMED} sections");
                self.flaw(at, number, spec.name, reason);
            }
            (Kind::Named(section), DeValue::Table(tables)) => {
                for (name, item) in tables {
                    let at = name.span().start;
                    let name = name.get_ref().as_ref();
                    let shown = shown_below(spec.name, name);
                    match item.get_ref() {
                        DeValue::Table(table) => {
                            if section == Section::Hypervisor {
                                self.hypervisor_name(name, &shown, at);
                            }
                            let path = dotted(spec.name, name);
                            self.table(section, Opened { path, shown, at }, table);
                        }
                        other => {
                            let reason = type_error(other, section.type_name(), spec);
                            self.push_flaw(item.span().start, shown, reason);
                        }
                    }
                }
            }
            (Kind::Texts, DeValue::Array(items)) => {
                self.items(
                    spec,
                    number,
                    items,
                    |item| item.is_str().then_some(Ok(())),
                    "a string",
                );
                self.effect(spec, number, at, items.is_empty());
            }
            (Kind::U32s, DeValue::Array(items)) => {
                self.items(spec, number, items, |item| integer(item, Kind::U32), "u32");
                self.effect(spec, number, at, items.is_empty());
            }
            (kind, scalar) => match accepts(kind, scalar) {
                None => {
                    let reason = type_error(scalar, kind.expected(), spec);
                    self.flaw(value.span().start, number, spec.name, reason);
                }
                Some(Err(reason)) => self.flaw(value.span().start, number, spec.name, reason),
                Some(Ok(())) => self.effect(spec, number, at, is_default(spec, scalar)),
            },
        }
    }

    /// Checks the elements of an array.
    fn items(
        &mut self,
        spec: &KeySpec,
        number: usize,
        items: &[Spanned<DeValue<'_>>],
        accepts: impl Fn(&DeValue<'_>) -> Option<Result<(), String>>,
        expected: &str,
    ) {
        for item in items {
            let reason = match accepts(item.get_ref()) {
                Some(Ok(())) => continue,
                Some(Err(reason)) => reason,
                None => type_error(item.get_ref(), expected, spec),
            };
            self.flaw(item.span().start, number, spec.name, reason);
        }
    }

    /// Reports a key that is set to something, but does nothing.
    fn effect(&mut self, spec: &'static KeySpec, number: usize, at: usize, is_default: bool) {
        if spec.has_no_effect() && !is_default {
            self.finding(Finding {
                at,
                key: self.path(number, spec.name),
                kind: DiagnosticKind::NoEffect,
                message: spec.without_effect("is accepted, but nothing acts on it"),
                suggestion: None,
            });
        }
    }

    /// Reports a hypervisor that does not exist but nearly does.
    fn hypervisor_name(&mut self, name: &str, path: &str, at: usize) {
        if get_hypervisor_plugin(name).is_some() {
            return;
        }
        if let Some(meant) = closest(name, HYPERVISORS.iter().copied()) {
            self.finding(Finding {
                at,
                key: path.to_owned(),
                kind: DiagnosticKind::Misspelt,
                message: format!("no such hypervisor; did you mean `{meant}`?"),
                suggestion: Some(meant.to_owned()),
            });
        }
    }

    /// Reports names in `[runtime]` that lead nowhere.
    fn names(&mut self, root: &DeTable<'_>) {
        let Some(runtime) = root
            .get("runtime")
            .and_then(|value| value.get_ref().as_table())
        else {
            return;
        };
        for (key, sections) in [("hypervisor_name", "hypervisor"), ("agent_name", "agent")] {
            let Some(value) = runtime.get(key) else {
                continue;
            };
            let Some(name) = value.get_ref().as_str().filter(|name| !name.is_empty()) else {
                continue;
            };
            let sections_table = root
                .get(sections)
                .and_then(|value| value.get_ref().as_table());
            if sections_table.is_some_and(|table| table.contains_key(name)) {
                continue;
            }
            let known = sections_table.into_iter().flat_map(|table| table.keys());
            let meant = closest(name, known.map(|key| key.get_ref().as_ref()));
            let mut message = format!("no section [{}]", shown_below(sections, name));
            if let Some(meant) = meant {
                message.push_str(&format!("; did you mean `{}`?", shortened(meant)));
            }
            self.finding(Finding {
                at: value.span().start,
                key: shown_below("runtime", key),
                kind: DiagnosticKind::Policy,
                message,
                suggestion: meant.map(str::to_owned),
            });
        }
    }

    /// Dotted key, for a message, of `name` in the table with this number.
    pub(super) fn path(&self, number: usize, name: &str) -> String {
        shown_below(self.walk.shown_section(number), name)
    }

    pub(super) fn finding(&mut self, finding: Finding) {
        if self.has_room_for_finding() {
            self.walk.findings.push(finding);
        }
    }

    /// Whether one more finding is listed; if not, it is counted.
    pub(super) fn has_room_for_finding(&mut self) -> bool {
        let has_room = self.walk.findings.len() < MAX_FINDINGS;
        self.walk.unlisted += usize::from(!has_room);
        has_room
    }

    pub(super) fn has_room_for_flaw(&self) -> bool {
        self.walk.flaws.len() < MAX_FLAWS
    }

    fn flaw(&mut self, at: usize, number: usize, name: &str, reason: String) {
        self.push_flaw(at, self.path(number, name), reason);
    }

    pub(super) fn push_flaw(&mut self, at: usize, key: String, reason: String) {
        if self.has_room_for_flaw() {
            self.walk.flaws.push(Flaw { at, key, reason });
        }
    }
}
