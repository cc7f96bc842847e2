//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
usage: host-report [--json] [--root DIR]

Prints what a Kata runtime would see on this machine: CPU, confidential-computing support and the
reasons for it, PCI, VFIO and InfiniBand devices, NUMA nodes, cgroups, pressure stall information
and multi-generational LRU.

  --json      one JSON object instead of text
  --root DIR  look at DIR/proc, DIR/sys and DIR/dev instead; the CPU is asked what it is either way
  --help      this text
";

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) root: PathBuf,
    pub(crate) format: Format,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
}

impl Options {
    /// `None` asks for the usage text.
    pub(crate) fn parse(
        mut arguments: impl Iterator<Item = OsString>,
    ) -> Result<Option<Self>, String> {
        let mut options = Self {
            root: PathBuf::from("/"),
            format: Format::Text,
        };
        while let Some(argument) = arguments.next() {
            match argument.to_str() {
                Some("--json") => options.format = Format::Json,
                Some("--root") => {
                    options.root = arguments.next().ok_or("--root needs a directory")?.into();
                }
                Some("--help" | "-h") => return Ok(None),
                _ => return Err(format!("unknown argument {argument:?}")),
            }
        }
        Ok(Some(options))
    }
}
