//! Which sandboxes there are, and which one an identifier means: a slow model.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use kata_sys_util::validate::verify_id;
use shim_interface::{Layout, StorageRoots};

/// A sandbox: its name and where it is.
pub type Found = (String, Layout);

/// What an identifier means.
#[derive(Debug, PartialEq, Eq)]
pub enum Meaning {
    None,
    One(Found),
    Several(BTreeSet<Found>),
}

/// All directories of sandboxes; `None` if one of the places is something else.
fn all(roots: &StorageRoots) -> Option<BTreeSet<Found>> {
    let mut found = BTreeSet::new();
    let mut known: Vec<PathBuf> = Vec::new();
    for (layout, place) in [
        (Layout::RuntimeRs, &roots.runtime_rs),
        (Layout::Go, &roots.go),
    ] {
        let Ok(place) = fs::canonicalize(place) else {
            is_absent(place).then_some(())?;
            continue;
        };
        if known.contains(&place) {
            continue;
        }
        for entry in fs::read_dir(&place).ok()? {
            let entry = entry.expect("an entry");
            if entry.file_type().expect("a type").is_dir()
                && let Ok(name) = entry.file_name().into_string()
            {
                found.insert((name, layout));
            }
        }
        known.push(place);
    }
    Some(found)
}

fn is_absent(place: &Path) -> bool {
    fs::metadata(place).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// Those with a valid name, in order.
pub fn list(roots: &StorageRoots) -> Option<Vec<Found>> {
    let all = all(roots)?.into_iter();
    Some(all.filter(|(name, _)| verify_id(name).is_ok()).collect())
}

/// The sandbox with the name, or else the only one whose name begins so; `None` if nobody knows.
pub fn find(roots: &StorageRoots, id: &str) -> Option<Meaning> {
    let all = all(roots)?;
    let of = |is: &dyn Fn(&str) -> bool| {
        let found: BTreeSet<_> = all.iter().filter(|(name, _)| is(name)).cloned().collect();
        match (found.len(), found.first()) {
            (_, None) => Meaning::None,
            (1, Some(one)) => Meaning::One(one.clone()),
            _ => Meaning::Several(found),
        }
    };
    Some(match of(&|name| name == id) {
        Meaning::None => of(&|name| name.starts_with(id)),
        found => found,
    })
}
