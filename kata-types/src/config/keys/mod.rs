//! Every key of a configuration file, as data: one row per key.
//!
//! The rows drive the typed walk that locates errors, the diagnostics, the JSON Schema and the
//! documented examples in `examples/config/`. Tests compare them with the structs, so a key that
//! is added to a struct needs a row here, and the other way round.

mod agent;
#[cfg(test)]
mod examples;
mod former;
mod hypervisor;
mod hypervisor_devices;
mod runtime;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use crate::annotations;

pub(crate) use self::former::{Former, former};
pub(crate) use self::hypervisor::LEVELS;

/// A kind of table in the configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    /// The file itself.
    Root,
    /// `[hypervisor.<name>]`.
    Hypervisor,
    /// `[hypervisor.<name>.factory]`.
    Factory,
    /// `[hypervisor.<name>.rootless_user]`.
    RootlessUser,
    /// `[agent.<name>]`.
    Agent,
    /// `[agent.<name>.mem_agent]`.
    MemAgent,
    /// `[runtime]`.
    Runtime,
    /// One element of `[[runtime.shared_mounts]]`.
    SharedMount,
}

impl Section {
    pub(crate) const ALL: [Section; 8] = [
        Section::Root,
        Section::Hypervisor,
        Section::Factory,
        Section::RootlessUser,
        Section::Agent,
        Section::MemAgent,
        Section::Runtime,
        Section::SharedMount,
    ];

    /// The rows of this section in the order in which they are documented.
    pub(crate) fn groups(self) -> &'static [Group] {
        match self {
            Section::Root => &[ROOT],
            Section::Hypervisor => hypervisor::GROUPS,
            Section::Factory => hypervisor::FACTORY,
            Section::RootlessUser => hypervisor::ROOTLESS_USER,
            Section::Agent => agent::GROUPS,
            Section::MemAgent => agent::MEM_AGENT,
            Section::Runtime => runtime::GROUPS,
            Section::SharedMount => runtime::SHARED_MOUNT,
        }
    }

    pub(crate) fn keys(self) -> impl Iterator<Item = &'static KeySpec> {
        self.groups().iter().flat_map(|group| group.keys)
    }

    /// Whether an unknown key is an error rather than ignored.
    pub(crate) fn is_strict(self) -> bool {
        !matches!(self, Section::Root | Section::Hypervisor | Section::Runtime)
    }

    /// What serde calls the type behind this section.
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Section::Root => "struct TomlConfig",
            Section::Hypervisor => "struct Hypervisor",
            Section::Factory => "struct Factory",
            Section::RootlessUser => "struct RootlessUser",
            Section::Agent => "struct Agent",
            Section::MemAgent => "struct MemAgent",
            Section::Runtime => "struct Runtime",
            Section::SharedMount => "struct SharedMount",
        }
    }

    /// Who acts on the value of a key, in words.
    pub(crate) fn readers(self, spec: &KeySpec) -> String {
        let of_annotations = annotations::act_on(self, spec.name).then_some("annotations");
        let others = Some(spec.readers).filter(|readers| !readers.is_empty());
        let all: Vec<&str> = others.into_iter().chain(of_annotations).collect();
        all.join(", ")
    }

    /// The row of a key, looked up by its name or an alias.
    pub(crate) fn find(self, name: &str) -> Option<&'static KeySpec> {
        let names = INDEX.get(self as usize)?;
        let at = names
            .binary_search_by(|(known, _)| (*known).cmp(name))
            .ok()?;
        names.get(at).map(|(_, spec)| *spec)
    }
}

/// Rows that belong together, with the heading under which the examples show them.
#[derive(Debug)]
pub(crate) struct Group {
    #[cfg_attr(not(test), expect(dead_code, reason = "heading of the examples"))]
    pub(crate) title: &'static str,
    pub(crate) keys: &'static [KeySpec],
}

/// One key.
#[derive(Debug)]
pub(crate) struct KeySpec {
    pub(crate) name: &'static str,
    /// Other accepted spellings.
    pub(crate) aliases: &'static [&'static str],
    pub(crate) kind: Kind,
    /// The value of an absent key as TOML text; empty when there is none.
    pub(crate) default: &'static str,
    /// What adjustment turns an absent key into, where that does not depend on the machine:
    /// (hypervisor or [`ANY`], TOML text).
    pub(crate) adjusted: &'static [(&'static str, &'static str)],
    pub(crate) unit: &'static str,
    /// Who acts on the value, in words, beside annotations: see [`NOBODY`], [`Section::readers`].
    readers: &'static str,
    /// What a key that nobody acts on does all the same.
    exception: &'static str,
    /// One line for the reader of a configuration file.
    pub(crate) help: &'static str,
    /// Accepted texts, if they are few.
    pub(crate) values: &'static [&'static str],
    pub(crate) since: Since,
}

/// [`KeySpec::readers`] of a key that is accepted and has no effect.
pub(crate) const NOBODY: &str = "nobody";

/// Stands for every hypervisor in [`KeySpec::adjusted`].
pub(crate) const ANY: &str = "*";

/// Since when a key exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// The oldest runtime that this crate is compatible with has it.
    Always,
    /// Only newer runtimes have it: an older one ignores it or refuses the file.
    Later,
}

/// What a key accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    U8,
    U32,
    U64,
    Usize,
    I32,
    I64,
    F32,
    Text,
    /// Text that must not show up in messages or rendered configurations.
    Secret,
    /// Text that may be very long, shown as length and digest.
    Blob,
    Texts,
    U32s,
    HugePage,
    /// A level name; with the vendor extension also a number.
    RuntimeLogLevel,
    /// A table.
    Table(Section),
    /// An array of tables.
    Tables(Section),
    /// A table whose keys are names chosen by the user.
    Named(Section),
}

impl Kind {
    /// What serde says it expected.
    pub(crate) fn expected(self) -> &'static str {
        match self {
            Kind::Bool => "a boolean",
            Kind::U8 => "u8",
            Kind::U32 => "u32",
            Kind::U64 => "u64",
            Kind::Usize => "usize",
            Kind::I32 => "i32",
            Kind::I64 => "i64",
            Kind::F32 => "f32",
            Kind::Text | Kind::Secret | Kind::Blob | Kind::RuntimeLogLevel => "a string",
            Kind::HugePage => "\"hugetlbfs\" or \"thp\"",
            Kind::Texts | Kind::U32s | Kind::Tables(_) => "a sequence",
            Kind::Table(section) => section.type_name(),
            Kind::Named(_) => "a map",
        }
    }

    /// The smallest and largest accepted integer.
    pub(crate) fn integer_range(self) -> Option<(i128, i128)> {
        Some(match self {
            Kind::U8 => (0, u8::MAX.into()),
            Kind::U32 => (0, u32::MAX.into()),
            Kind::U64 | Kind::Usize => (0, u64::MAX.into()),
            Kind::I32 => (i32::MIN.into(), i32::MAX.into()),
            Kind::I64 => (i64::MIN.into(), i64::MAX.into()),
            Kind::F32 => (i64::MIN.into(), u64::MAX.into()),
            _ => return None,
        })
    }
}

impl KeySpec {
    const fn new(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        unit: &'static str,
        readers: &'static str,
        help: &'static str,
    ) -> Self {
        KeySpec {
            name,
            aliases: &[],
            kind,
            default,
            adjusted: &[],
            unit,
            readers,
            exception: "",
            help,
            values: &[],
            since: Since::Always,
        }
    }

    const fn alias(self, aliases: &'static [&'static str]) -> Self {
        KeySpec { aliases, ..self }
    }

    const fn adjusted(self, adjusted: &'static [(&'static str, &'static str)]) -> Self {
        KeySpec { adjusted, ..self }
    }

    const fn values(self, values: &'static [&'static str]) -> Self {
        KeySpec { values, ..self }
    }

    const fn except(self, exception: &'static str) -> Self {
        KeySpec { exception, ..self }
    }

    const fn later(self) -> Self {
        KeySpec {
            since: Since::Later,
            ..self
        }
    }

    /// Its name and the other accepted ones.
    pub(crate) fn spellings(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// Whether the key is accepted without doing anything for a sandbox.
    pub(crate) fn has_no_effect(&self) -> bool {
        self.readers == NOBODY
    }

    /// A sentence that says that nothing acts on the key, and what it does all the same.
    pub(crate) fn without_effect(&self, sentence: &str) -> String {
        match self.exception {
            "" => sentence.to_owned(),
            exception => format!("{sentence} except that it {exception}"),
        }
    }
}

/// Writes rows as `"name" Kind "default" "unit" "readers" "help" .modifier(…);`.
macro_rules! rows {
    ($($name:literal $kind:expr, $default:literal $unit:literal $readers:literal $help:literal
        $(. $modifier:ident ($($arg:expr)?))*;)*) => {
        &[$($crate::config::keys::KeySpec::new($name, $kind, $default, $unit, $readers, $help)
            $(.$modifier($($arg)?))*),*]
    };
}
use rows;

const ROOT: Group = Group {
    title: "Configuration file",
    keys: rows! {
        "hypervisor" Kind::Named(Section::Hypervisor), "" "" "all" "Hypervisors, one table each.";
        "agent" Kind::Named(Section::Agent), "" "" "all" "Guest agents, one table each.";
        "runtime" Kind::Table(Section::Runtime), "" "" "all" "The runtime itself.";
    },
};

type Index = Vec<(&'static str, &'static KeySpec)>;

/// Names and aliases of each section, sorted.
static INDEX: LazyLock<Vec<Index>> = LazyLock::new(|| {
    Section::ALL
        .into_iter()
        .map(|section| {
            let mut names: Index = section
                .keys()
                .flat_map(|spec| spec.spellings().map(move |name| (name, spec)))
                .collect();
            names.sort_unstable_by_key(|(name, _)| *name);
            names
        })
        .collect()
});
