//! The working state of one validation.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io;

use super::adjust::{Checked, KeyedError, fill};
use super::host::Host;
use super::path;

/// State of one validation: the host, and the paths that are known to exist.
pub(crate) struct Checker<'a> {
    pub(crate) host: &'a Host,
    existing: RefCell<HashSet<String>>,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(host: &'a Host) -> Self {
        Checker {
            host,
            existing: RefCell::default(),
        }
    }

    /// Checks that a path resolves; an empty one is fine.
    ///
    /// `message` is the error text, with `{}` for the path and `{}` for the reason.
    pub(crate) fn exists(&self, value: &str, key: &str, message: &str) -> Checked {
        self.resolves(value)
            .map_err(|e| KeyedError::other(key, fill(message, value, &e)))
    }

    /// Checks that a path resolves; an empty one is fine.
    pub(crate) fn resolves(&self, value: &str) -> io::Result<()> {
        if value.is_empty() || self.existing.borrow().contains(value) {
            return Ok(());
        }
        path::check_exists(value)?;
        self.existing.borrow_mut().insert(value.to_owned());
        Ok(())
    }
}

/// Validates one structure that stands for itself.
pub(crate) fn check_alone(check: impl FnOnce(&Checker<'_>) -> Checked) -> io::Result<()> {
    check(&Checker::new(&Host::real())).map_err(|e| e.error)
}
