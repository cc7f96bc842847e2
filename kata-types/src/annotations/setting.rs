//! What an annotation sets, and how its value is read: the column types of the table.

use std::fmt::Display;
use std::io::{Error, ErrorKind, Result};
use std::str::FromStr;

use slog::info;

use super::memory_size;
use crate::bounded_items::{self, MAX_ITEMS};
use crate::config::hypervisor::{
    HugePageType, get_hypervisor_plugin, parse_kernel_verity_params,
    validate_block_device_sector_size,
};
use crate::config::{Agent, ConfigPlugin, Hypervisor, Runtime, SharedMount};
use crate::excerpt::Excerpt;
use crate::initdata::add_hypervisor_initdata_overrides;
use crate::terse::Terse;

/// The parts of a configuration that annotations change.
pub(super) struct Sections<'a> {
    pub(super) hypervisor: &'a mut Hypervisor,
    pub(super) agent: &'a mut Agent,
    pub(super) runtime: &'a mut Runtime,
}

/// A field of one of the sections.
pub(super) type Field<T> = for<'s> fn(&'s mut Sections<'_>) -> &'s mut T;

/// A check of a text against the hypervisor section as it is configured.
pub(super) type TextCheck = fn(&Hypervisor, &str) -> Result<()>;

/// What an annotation sets.
pub(super) enum Setting {
    Bool(Field<bool>),
    U32(Field<u32>),
    U64(Field<u64>),
    Usize(Field<usize>),
    /// A number of PCIe ports.
    Ports(Field<u32>, PortKind),
    SectorSize(Field<u32>),
    /// A number of seconds, kept in milliseconds.
    Seconds(Field<u32>),
    Vcpus(Field<f32>),
    /// An amount of memory, kept in MiB.
    Memory(Field<u32>),
    HugePages(Field<HugePageType>),
    Text(Field<String>),
    /// A text without the blanks around it.
    TrimmedText(Field<Option<String>>),
    /// One of these texts.
    Choice(Field<String>, &'static [&'static str]),
    /// A path that must exist on the host, or nothing.
    ExistingPath(Field<String>, TextCheck),
    /// A path that a list of patterns, named here, must permit.
    PermittedPath(Field<String>, TextCheck, &'static str),
    /// Further items for a list; they are separated by this character.
    Append(Field<Vec<String>>, char),
    KernelParams,
    VerityParams,
    InitData(Field<String>),
    SharedMounts(Field<Vec<SharedMount>>),
    /// The hypervisor or agent section to use; taken before all others.
    Selection,
    /// Nothing, ever.
    Forbidden,
}

/// The two kinds of PCIe ports that can be asked for.
#[derive(Clone, Copy)]
pub(super) enum PortKind {
    Root,
    Switch,
}

/// An annotation of a pod.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) key: &'a str,
    /// The value, untrimmed.
    pub(super) value: &'a str,
}

/// What the values are checked against.
pub(super) struct Context<'a> {
    pub(super) hypervisor_name: &'a str,
    pub(super) hypervisor: &'a Hypervisor,
}

/// A value that has been read and checked, ready to be stored.
pub(super) type Change<'a> = Box<dyn FnOnce(&mut Sections<'_>) + 'a>;

impl Setting {
    /// Reads and checks a value. Nothing is changed yet.
    pub(super) fn read<'a>(&self, entry: Entry<'a>, context: &Context<'_>) -> Result<Change<'a>> {
        Ok(match *self {
            Setting::Bool(field) => store(field, entry.parse("bool")?),
            Setting::U32(field) => store(field, entry.parse("u32")?),
            Setting::U64(field) => store(field, entry.parse("u64")?),
            Setting::Usize(field) => store(field, entry.parse("usize")?),
            Setting::Ports(field, kind) => store(field, read_ports(entry, kind)?),
            Setting::SectorSize(field) => store(field, read_sector_size(entry)?),
            Setting::Seconds(field) => {
                let seconds: u32 = entry.parse("u32")?;
                store(field, seconds.saturating_mul(1000))
            }
            Setting::Vcpus(field) => store(field, read_vcpus(entry, context)?),
            Setting::Memory(field) => store(field, read_memory(entry, context)?),
            Setting::HugePages(field) => store(field, read_huge_pages(entry)?),
            Setting::Text(field) => store_text(field, entry.value),
            Setting::TrimmedText(field) => store(field, Some(entry.value.trim().to_string())),
            Setting::Choice(field, choices) => store_text(field, read_choice(entry, choices)?),
            Setting::ExistingPath(field, check) | Setting::PermittedPath(field, check, _) => {
                check(context.hypervisor, entry.value)?;
                store_text(field, entry.value)
            }
            Setting::Append(field, separator) => {
                let number = count_items(entry, separator)?;
                Box::new(move |sections| {
                    let list = field(sections);
                    list.reserve_exact(number);
                    list.extend(items(entry.value, separator).map(str::to_string));
                })
            }
            Setting::KernelParams => Box::new(move |sections| {
                sections
                    .hypervisor
                    .boot_info
                    .replace_kernel_params(entry.value);
            }),
            Setting::VerityParams => match parse_kernel_verity_params(entry.value)? {
                Some(_) => store_text(
                    |sections| &mut sections.hypervisor.boot_info.kernel_verity_params,
                    entry.value,
                ),
                None => Box::new(|_| ()),
            },
            Setting::InitData(field) => store(field, read_initdata(entry)?),
            Setting::SharedMounts(field) => store(field, read_shared_mounts(entry)?),
            Setting::Selection | Setting::Forbidden => Box::new(|_| ()),
        })
    }

    /// What values are accepted, for the reference.
    pub(super) fn accepts(&self) -> String {
        match self {
            Setting::Bool(_) => "`true` or `false`".to_string(),
            Setting::U32(_) => "integer, 32 bits".to_string(),
            Setting::U64(_) | Setting::Usize(_) => "integer, 64 bits".to_string(),
            Setting::Ports(_, kind) => format!("integer up to {}", kind.maximum()),
            Setting::SectorSize(_) => "0, or a power of 2 from 512 to 65536".to_string(),
            Setting::Seconds(_) => "integer, seconds".to_string(),
            Setting::Vcpus(_) => {
                "number up to the hypervisor's maximum; negative: all CPUs of the host".to_string()
            }
            Setting::Memory(_) => {
                format!("{}; at least the hypervisor's minimum", memory_size::FORM)
            }
            Setting::HugePages(_) => "`hugetlbfs` or `thp`".to_string(),
            Setting::Text(_) | Setting::TrimmedText(_) => "text".to_string(),
            Setting::Choice(_, choices) => format!("`{}`", choices.join("`, `")),
            Setting::ExistingPath(..) => "path that exists on the host".to_string(),
            Setting::PermittedPath(_, _, list) => format!("path that `{list}` permits"),
            Setting::Append(_, separator) => {
                format!(
                    "list of up to {MAX_ITEMS} items separated by `{separator}`; added to the \
                     configured items"
                )
            }
            Setting::KernelParams => {
                "kernel parameters; replace those of the same name".to_string()
            }
            Setting::VerityParams => "`root_hash=…,salt=…,data_blocks=…,data_block_size=…,\
                                      hash_block_size=…`"
                .to_string(),
            Setting::InitData(_) => "gzip in base64, up to 16 MiB when decompressed".to_string(),
            Setting::SharedMounts(_) => {
                format!(
                    "JSON array of up to {MAX_ITEMS} `{{name, src_ctr, src_path, dst_ctr, \
                     dst_path}}`; replaces the configured ones"
                )
            }
            Setting::Selection => "name of a configured section; others are ignored".to_string(),
            Setting::Forbidden => "nothing".to_string(),
        }
    }
}

impl PortKind {
    fn maximum(self) -> u32 {
        match self {
            PortKind::Root => super::MAX_PCIE_ROOT_PORT,
            PortKind::Switch => super::MAX_PCIE_SWITCH_PORT,
        }
    }

    fn name(self) -> &'static str {
        match self {
            PortKind::Root => "root",
            PortKind::Switch => "switch",
        }
    }
}

impl Entry<'_> {
    /// Parses the trimmed value.
    pub(super) fn parse<T: FromStr<Err: Display>>(self, type_name: &str) -> Result<T> {
        self.value
            .trim()
            .parse()
            .map_err(|reason| self.invalid(format_args!("parse {type_name} error"), reason))
    }

    /// The error for a malformed value: its kind of old, then key, value and reason (D-11).
    fn invalid(self, what: impl Display, reason: impl Display) -> Error {
        invalid_data(format!(
            "{what}: annotation {} has invalid value {:?}: {reason}",
            self.key,
            Excerpt(self.value)
        ))
    }
}

pub(super) fn invalid_data(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidData, text.into())
}

fn store<'a, T: 'a>(field: Field<T>, value: T) -> Change<'a> {
    Box::new(move |sections| *field(sections) = value)
}

fn store_text(field: Field<String>, value: &str) -> Change<'_> {
    Box::new(move |sections| *field(sections) = value.to_string())
}

/// The items of a list, without the blanks around them; empty ones are no items (D-8).
fn items(list: &str, separator: char) -> impl Iterator<Item = &str> {
    list.split(separator)
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

/// The number of items, each of which takes many times its text.
fn count_items(entry: Entry<'_>, separator: char) -> Result<usize> {
    let mut items = items(entry.value, separator);
    let number = items.by_ref().take(MAX_ITEMS).count();
    if items.next().is_some() {
        let reason = format_args!("more than {MAX_ITEMS} items");
        return Err(entry.invalid("parse list error", reason));
    }
    Ok(number)
}

fn read_ports(entry: Entry<'_>, kind: PortKind) -> Result<u32> {
    let ports = entry.parse("u32")?;
    if ports > kind.maximum() {
        return Err(invalid_data(format!(
            "{} ports allocated exceeds the max {}",
            kind.name(),
            kind.maximum()
        )));
    }
    Ok(ports)
}

fn read_sector_size(entry: Entry<'_>) -> Result<u32> {
    let size = entry.parse("u32")?;
    validate_block_device_sector_size(size).map_err(|error| invalid_data(error.to_string()))?;
    Ok(size)
}

fn read_vcpus(entry: Entry<'_>, context: &Context<'_>) -> Result<f32> {
    let vcpus: f32 = entry.parse("f32")?;
    // A NaN would pass every comparison below and in the configuration (D-4).
    if !vcpus.is_finite() {
        return Err(entry.invalid("parse f32 error", "not a finite number"));
    }
    let maximum = plugin(context)?.get_max_cpus();
    if f64::from(vcpus) > f64::from(maximum) {
        return Err(invalid_data(format!(
            "Vcpus specified in annotation {vcpus} is more than maximum limitation {maximum}"
        )));
    }
    Ok(vcpus)
}

fn read_memory(entry: Entry<'_>, context: &Context<'_>) -> Result<u32> {
    let mebibytes = memory_size::parse_mebibytes(entry.value.trim())
        .map_err(|reason| entry.invalid("parse memory error", reason))?;
    info!(
        sl!(),
        "get mem {mebibytes} from annotations: {}",
        Excerpt(entry.value)
    );
    let minimum = plugin(context)?.get_min_memory();
    if mebibytes < minimum {
        return Err(invalid_data(format!(
            "memory specified in annotation {mebibytes} is less than minimum limitation {minimum}"
        )));
    }
    Ok(mebibytes)
}

fn plugin(context: &Context<'_>) -> Result<std::sync::Arc<dyn ConfigPlugin>> {
    get_hypervisor_plugin(context.hypervisor_name).ok_or_else(|| {
        invalid_data(format!(
            "Can not find plugin for hypervisor {}",
            context.hypervisor_name
        ))
    })
}

fn read_huge_pages(entry: Entry<'_>) -> Result<HugePageType> {
    let value = entry.value.trim();
    value.parse().map_err(|error| {
        let what = format!("parse huge pages type: {}, error: {error}", Excerpt(value));
        entry.invalid(what, error)
    })
}

fn read_choice<'a>(entry: Entry<'a>, choices: &[&str]) -> Result<&'a str> {
    if choices.contains(&entry.value) {
        return Ok(entry.value);
    }
    Err(invalid_data(format!(
        "runtime specified in annotation {} is not in {choices:?}",
        Excerpt(entry.value)
    )))
}

fn read_initdata(entry: Entry<'_>) -> Result<String> {
    // The value may have hundreds of kilobytes, so it is not repeated.
    add_hypervisor_initdata_overrides(entry.value)
        .map_err(|error| invalid_data(format!("annotation {} is invalid: {error:#}", entry.key)))
}

fn read_shared_mounts(entry: Entry<'_>) -> Result<Vec<SharedMount>> {
    let mut json = serde_json::Deserializer::from_str(entry.value);
    let mounts = bounded_items::list(Terse(&mut json), "shared_mounts");
    mounts
        .and_then(|mounts| json.end().map(|()| mounts))
        .map_err(|error| {
            let text = entry.invalid(&error, &error).to_string();
            Error::new(Error::from(error).kind(), text)
        })
}
