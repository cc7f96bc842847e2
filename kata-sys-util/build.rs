//! Turns the PCI ID database `data/pci.ids` into the hash tables of `pcilibs::names`.
//!
//! They are written to `OUT_DIR` alone. Without the feature `pci-names` nothing is read or written.
#![allow(
    clippy::print_stdout,
    reason = "a build script speaks to cargo on its standard output"
)]

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

#[path = "src/pcilibs/names/layout.rs"]
mod layout;

const DATABASE: &str = "data/pci.ids";

fn main() -> ExitCode {
    for input in ["build.rs", "src/pcilibs/names/layout.rs", DATABASE] {
        println!("cargo::rerun-if-changed={input}");
    }
    if std::env::var_os("CARGO_FEATURE_PCI_NAMES").is_none() {
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error={error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let directory = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .ok_or_else(|| format!("environment variable {name} is not set: run through cargo"))
    };
    let path = directory("CARGO_MANIFEST_DIR")?.join(DATABASE);
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let database = Database::parse(&text)?;

    let mut names = Names::default();
    let mut files: Vec<(&str, Vec<u8>)> = Vec::new();
    for (file, entries) in [
        ("pci_vendors.bin", &database.vendors),
        ("pci_devices.bin", &database.devices),
        ("pci_classes.bin", &database.classes),
        ("pci_subclasses.bin", &database.subclasses),
    ] {
        files.push((file, table(entries, &mut names)?));
    }
    files.push(("pci_names.txt", names.text.into_bytes()));

    let out_dir = directory("OUT_DIR")?;
    for (file, content) in files {
        let path = out_dir.join(file);
        fs::write(&path, content).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(())
}

type Entries<'a> = Vec<(u32, &'a str)>;

/// Numbers with their names.
#[derive(Default)]
struct Database<'a> {
    vendors: Entries<'a>,
    /// The number is that of the vendor above that of the device.
    devices: Entries<'a>,
    classes: Entries<'a>,
    /// The number is that of the class above that of the subclass.
    subclasses: Entries<'a>,
}

/// What indented lines belong to.
#[derive(Clone, Copy)]
enum Section {
    None,
    Vendor(u32),
    Class(u32),
}

impl<'a> Database<'a> {
    fn parse(text: &'a str) -> Result<Self, String> {
        let mut database = Self::default();
        let mut section = Section::None;
        for (index, line) in text.lines().enumerate() {
            // Two tabs: a subsystem or a programming interface.
            if line.is_empty() || line.starts_with('#') || line.starts_with("\t\t") {
                continue;
            }
            section = database
                .add(section, line)
                .ok_or_else(|| format!("{DATABASE}:{}: not an entry: {line:?}", index + 1))?;
        }
        Ok(database)
    }

    fn add(&mut self, section: Section, line: &'a str) -> Option<Section> {
        match (line.strip_prefix('\t'), section) {
            (Some(line), Section::Vendor(vendor)) => {
                let (device, name) = entry(line, 4)?;
                self.devices.push((vendor << 16 | device, name));
                Some(section)
            }
            (Some(line), Section::Class(class)) => {
                let (subclass, name) = entry(line, 2)?;
                self.subclasses.push((class << 8 | subclass, name));
                Some(section)
            }
            (Some(_), Section::None) => None,
            (None, _) => match line.strip_prefix("C ") {
                Some(line) => {
                    let (class, name) = entry(line, 2)?;
                    self.classes.push((class, name));
                    Some(Section::Class(class))
                }
                None => {
                    let (vendor, name) = entry(line, 4)?;
                    self.vendors.push((vendor, name));
                    Some(Section::Vendor(vendor))
                }
            },
        }
    }
}

fn entry(line: &str, digits: usize) -> Option<(u32, &str)> {
    let (number, name) = line.split_once("  ")?;
    let is_number = number.len() == digits && number.bytes().all(|c| c.is_ascii_hexdigit());
    let number = u32::from_str_radix(number, 16).ok().filter(|_| is_number)?;
    Some((number, name.trim())).filter(|(_, name)| !name.is_empty())
}

/// All names, each once.
#[derive(Default)]
struct Names<'a> {
    text: String,
    places: HashMap<&'a str, u32>,
}

impl<'a> Names<'a> {
    fn place(&mut self, name: &'a str) -> Result<u32, String> {
        if let Some(place) = self.places.get(name) {
            return Ok(*place);
        }
        let place = layout::pack(self.text.len(), name.len())
            .ok_or_else(|| format!("{DATABASE}: the layout has no room for {name:?}"))?;
        self.text.push_str(name);
        self.places.insert(name, place);
        Ok(place)
    }
}

/// At most two thirds of the slots are taken, so that few numbers share their first slot.
fn table<'a>(entries: &[(u32, &'a str)], names: &mut Names<'a>) -> Result<Vec<u8>, String> {
    let count = (entries.len() * 3 / 2).next_power_of_two();
    let mut slots = vec![(0, layout::EMPTY); count];
    for (number, name) in entries {
        let place = names.place(name)?;
        let first = layout::first_slot(*number, count);
        let free = (first..count).chain(0..first).find(|slot| {
            slots
                .get(*slot)
                .is_some_and(|(other, place)| *place == layout::EMPTY || other == number)
        });
        // The first name of a number counts.
        if let Some(slot) = free.and_then(|slot| slots.get_mut(slot))
            && slot.1 == layout::EMPTY
        {
            *slot = (*number, place);
        }
    }
    let bytes = |(number, place): (u32, u32)| [number.to_le_bytes(), place.to_le_bytes()];
    Ok(slots.into_iter().flat_map(bytes).flatten().collect())
}
