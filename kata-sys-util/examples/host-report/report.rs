//! All of the report, as text and as JSON.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::cgroup::Cgroup;
use crate::cpu::Cpu;
use crate::infiniband::Infiniband;
use crate::mglru::Mglru;
use crate::numa::Numa;
use crate::pci::Pci;
use crate::protection::Protection;
use crate::psi::Psi;
use crate::reader::{Reader, Unreadable};

/// The names of the fields are those of the JSON object.
#[derive(Serialize)]
pub(crate) struct Report {
    root: String,
    kernel: Option<String>,
    cpu: Cpu,
    protection: Protection,
    pci: Pci,
    infiniband: Infiniband,
    numa: Numa,
    cgroup: Cgroup,
    /// Pressure stall information; `null` if the kernel has none.
    psi: Option<Psi>,
    /// Multi-generational LRU; `null` if the kernel has none.
    mglru: Option<Mglru>,
    unreadable: Vec<Unreadable>,
}

/// A line of text: what it is about, and what is to be said.
pub(crate) type Row = (String, String);

impl Report {
    /// What is below `root`, or why that cannot be a machine.
    pub(crate) fn of(root: &Path) -> Result<Self, String> {
        let metadata = fs::metadata(root);
        let metadata = metadata.map_err(|error| format!("--root {root:?}: {error}"))?;
        if !metadata.is_dir() {
            return Err(format!("--root {root:?}: not a directory"));
        }
        let reader = &mut Reader::new(root);
        Ok(Self {
            root: root.display().to_string(),
            kernel: reader.text(&reader.root.proc.join("sys/kernel/osrelease")),
            cpu: Cpu::read(reader),
            protection: Protection::read(reader),
            pci: Pci::read(reader),
            infiniband: Infiniband::read(reader),
            numa: Numa::read(reader),
            cgroup: Cgroup::read(reader),
            psi: Psi::read(reader),
            mglru: Mglru::read(reader),
            unreadable: std::mem::take(&mut reader.unreadable),
        })
    }

    pub(crate) fn to_json(&self) -> Result<String, String> {
        let text = serde_json::to_string_pretty(self);
        text.map(|text| text + "\n").map_err(|e| e.to_string())
    }

    pub(crate) fn to_text(&self) -> String {
        let none = |name: &str| vec![row(name, "the kernel has none")];
        let host = vec![
            row("root", &self.root),
            row("kernel", self.kernel.as_deref().unwrap_or("unknown")),
        ];
        let unreadable = self.unreadable.iter();
        let unreadable = unreadable.map(|u| row(&u.path, &u.reason));
        let mut text = String::new();
        for (title, rows) in [
            ("Host", host),
            ("CPU", self.cpu.rows()),
            ("Confidential computing", self.protection.rows()),
            ("PCI devices", self.pci.device_rows()),
            ("VFIO", self.pci.vfio_rows()),
            ("InfiniBand", self.infiniband.rows()),
            ("NUMA", self.numa.rows()),
            ("cgroups", self.cgroup.rows()),
            (
                "Pressure stall information",
                self.psi.as_ref().map_or_else(|| none("psi"), Psi::rows),
            ),
            (
                "Multi-generational LRU",
                self.mglru
                    .as_ref()
                    .map_or_else(|| none("lru_gen"), Mglru::rows),
            ),
            ("Could not be read", unreadable.collect()),
        ] {
            write_section(&mut text, title, &rows);
        }
        text
    }
}

pub(crate) fn row(label: impl ToString, value: impl ToString) -> Row {
    (label.to_string(), value.to_string())
}

/// Yes, no, or that it is not known.
pub(crate) fn answer(answer: Option<bool>) -> &'static str {
    match answer {
        Some(true) => "yes",
        Some(false) => "no",
        None => "unknown",
    }
}

/// Nothing at all for a section without a row.
fn write_section(text: &mut String, title: &str, rows: &[Row]) {
    if rows.is_empty() {
        return;
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(title);
    text.push('\n');
    let widths = rows.iter().map(|(label, _)| label.chars().count());
    let width = widths.max().unwrap_or_default();
    for (label, value) in rows {
        let _ = writeln!(text, "  {}", format!("{label:width$}  {value}").trim_end());
    }
}
