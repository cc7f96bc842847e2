//! Pressure stall information ([kernel documentation](https://docs.kernel.org/accounting/psi.html)).

use std::path::Path;

use serde::Serialize;

use crate::reader::Reader;
use crate::report::{Row, row};

#[derive(Serialize)]
pub(crate) struct Psi {
    cpu: Option<Pressure>,
    io: Option<Pressure>,
    memory: Option<Pressure>,
}

/// How long some, and how long all, tasks had to wait.
#[derive(Serialize)]
struct Pressure {
    some: Option<Stall>,
    /// `null` for the CPU before Linux 5.13.
    full: Option<Stall>,
}

/// Percent of the time in the last 10, 60 and 300 seconds, and microseconds since the start.
#[derive(Debug, Serialize, Default)]
struct Stall {
    avg10: f64,
    avg60: f64,
    avg300: f64,
    total_us: u64,
}

impl Psi {
    /// `None` if the kernel has none: built without it, or switched off with `psi=0`.
    pub(crate) fn read(reader: &mut Reader) -> Option<Self> {
        let directory = reader.root.proc.join("pressure");
        let psi = Self {
            cpu: Pressure::read(reader, &directory.join("cpu")),
            io: Pressure::read(reader, &directory.join("io")),
            memory: Pressure::read(reader, &directory.join("memory")),
        };
        let any = psi.cpu.is_some() || psi.io.is_some() || psi.memory.is_some();
        any.then_some(psi)
    }

    pub(crate) fn rows(&self) -> Vec<Row> {
        let pressures = [
            ("cpu", &self.cpu),
            ("io", &self.io),
            ("memory", &self.memory),
        ];
        let rows = pressures.into_iter().map(|(name, pressure)| {
            let Some(pressure) = pressure else {
                return row(name, "unknown");
            };
            let stalls = [("some", &pressure.some), ("full", &pressure.full)];
            let stalls = stalls.into_iter().filter_map(|(which, stall)| {
                let stall = stall.as_ref()?;
                let Stall {
                    avg10,
                    avg60,
                    avg300,
                    ..
                } = stall;
                Some(format!("{which} {avg10:.2} % {avg60:.2} % {avg300:.2} %"))
            });
            row(name, stalls.collect::<Vec<_>>().join(", "))
        });
        let mut rows: Vec<Row> = rows.collect();
        rows.push(row("", "waiting time in the last 10, 60 and 300 s"));
        rows
    }
}

impl Pressure {
    fn read(reader: &mut Reader, path: &Path) -> Option<Self> {
        let text = reader.text(path)?;
        let mut pressure = Self {
            some: None,
            full: None,
        };
        for line in text.lines() {
            match Stall::parse(line) {
                Some(("some", stall)) => pressure.some = Some(stall),
                Some(("full", stall)) => pressure.full = Some(stall),
                _ => reader.note(path, format!("not a line of pressure: {line:?}")),
            }
        }
        Some(pressure)
    }
}

impl Stall {
    /// A line such as `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`.
    fn parse(line: &str) -> Option<(&str, Self)> {
        let (which, values) = line.split_once(' ')?;
        let mut stall = Self::default();
        for value in values.split_whitespace() {
            match value.split_once('=')? {
                ("avg10", number) => stall.avg10 = number.parse().ok()?,
                ("avg60", number) => stall.avg60 = number.parse().ok()?,
                ("avg300", number) => stall.avg300 = number.parse().ok()?,
                ("total", number) => stall.total_us = number.parse().ok()?,
                _ => (),
            }
        }
        Some((which, stall))
    }
}
