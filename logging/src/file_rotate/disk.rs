//! The steps of a rotation that change directories, each of which may be made to fail.

use std::fs;
use std::io;
use std::path::Path;

use crate::sys;

/// The file system; a faulty one in tests of this module's parent.
#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) fault: Fault,
    pub(super) steps: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fault {
    #[default]
    None,
    /// Moving the file itself fails.
    #[cfg_attr(not(test), expect(dead_code, reason = "only tests have faults"))]
    Base,
    /// Of all steps, only this one fails.
    #[cfg_attr(not(test), expect(dead_code, reason = "only tests have faults"))]
    At(u32),
    /// That step fails, and all after it: as if the process had been killed.
    #[cfg_attr(not(test), expect(dead_code, reason = "only tests have faults"))]
    From(u32),
}

impl Disk {
    /// The first step: moves the file itself.
    pub(super) fn move_base(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        if matches!(self.fault, Fault::Base) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.rename_no_replace(from, to)
    }

    pub(super) fn rename_no_replace(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        sys::rename_no_replace(from, to)
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        fs::rename(from, to)
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.step()?;
        fs::remove_file(path)
    }

    fn step(&mut self) -> io::Result<()> {
        let step = self.steps;
        self.steps += 1;
        let fails = match self.fault {
            Fault::None | Fault::Base => false,
            Fault::At(at) => step == at,
            Fault::From(from) => step >= from,
        };
        if fails {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(())
    }
}
