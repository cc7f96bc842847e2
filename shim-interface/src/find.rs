//! From an id, or the beginning of one, to a sandbox.
//!
//! A sandbox is a directory: neither a file nor a symlink to a directory (D8, D12). Nothing is
//! listed if the id is complete.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use kata_sys_util::validate::verify_id;

use crate::storage_error::{Matches, check_id};
use crate::{Layout, Sandbox, StorageError, StorageRoots};

/// The sandbox with the id `sid`, or the only one with an id that begins with `sid`.
///
/// Looks in `/run/kata` and in `/run/vc/sbs`. A complete id wins over longer ones that begin with
/// it. A sandbox that is just starting, or has crashed, has a directory and no usable socket; it
/// is found all the same. The second directory may be unreadable if the first has the answer.
///
/// What is found is a path, not a process: once the sandbox is gone, another one can take it.
///
/// # Errors
///
/// A [`StorageError`], such as [`NotFound`](StorageError::NotFound) or
/// [`Ambiguous`](StorageError::Ambiguous).
///
/// ```
/// let error = shim_interface::find_sandbox("").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "Empty sandbox id for acquiring socket address for shim_mgmt"
/// );
/// ```
pub fn find_sandbox(sid: &str) -> Result<Sandbox, StorageError> {
    find_sandbox_in(&StorageRoots::default(), sid)
}

/// [`find_sandbox`] in other directories.
///
/// # Errors
///
/// As [`find_sandbox`].
///
/// ```
/// use shim_interface::{StorageRoots, find_sandbox_in};
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path().canonicalize()?;
/// let roots = StorageRoots::under(&dir);
/// for id in ["web-1", "web-12", "db-1"] {
///     std::fs::create_dir_all(roots.runtime_rs.join(id))?;
/// }
///
/// assert_eq!(find_sandbox_in(&roots, "db")?.id(), "db-1");
/// assert_eq!(find_sandbox_in(&roots, "web-1")?.id(), "web-1");
///
/// let error = anyhow::Error::from(find_sandbox_in(&roots, "web").unwrap_err());
/// assert_eq!(
///     format!("{error:#}"),
///     "more than one sandbox exists with the provided prefix \"web\", \
///      please provide a unique prefix: it may be web-1, web-12"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn find_sandbox_in(roots: &StorageRoots, sid: &str) -> Result<Sandbox, StorageError> {
    find(&places(roots), sid)
}

/// [`mgmt_socket_addr`](crate::mgmt_socket_addr) in the one directory `base`.
///
/// # Errors
///
/// As [`find_sandbox`].
///
/// ```
/// use shim_interface::mgmt_socket_addr_in;
/// # let dir = tempfile::tempdir()?;
/// # let base = dir.path().canonicalize()?;
/// std::fs::create_dir(base.join("web-1"))?;
///
/// let expected = format!("unix://{}/web-1/shim-monitor.sock", base.display());
/// assert_eq!(mgmt_socket_addr_in(&base, "web")?, expected);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn mgmt_socket_addr_in<P: AsRef<Path>>(base: P, sid: &str) -> Result<String, StorageError> {
    Ok(find(&[(Layout::RuntimeRs, base.as_ref())], sid)?.address())
}

/// All sandboxes of both runtimes, in the order of their ids.
///
/// A directory with a name that is no id ([`verify_id`]) is none. A runtime without a directory
/// has no sandbox.
///
/// # Errors
///
/// [`PermissionDenied`](StorageError::PermissionDenied) or another [`StorageError`] if either
/// directory cannot be read.
///
/// ```no_run
/// for sandbox in shim_interface::list_sandboxes()? {
///     println!("{} {}", sandbox.id(), sandbox.address());
/// }
/// # Ok::<(), shim_interface::StorageError>(())
/// ```
pub fn list_sandboxes() -> Result<Vec<Sandbox>, StorageError> {
    list_sandboxes_in(&StorageRoots::default())
}

/// [`list_sandboxes`] in other directories.
///
/// # Errors
///
/// As [`list_sandboxes`].
///
/// ```
/// use shim_interface::{StorageRoots, list_sandboxes_in};
/// # let dir = tempfile::tempdir()?;
/// let roots = StorageRoots::under(&dir);
/// assert!(list_sandboxes_in(&roots)?.is_empty());
///
/// std::fs::create_dir_all(roots.runtime_rs.join("web-1"))?;
/// std::fs::create_dir_all(roots.go.join("db-1"))?;
/// let sandboxes = list_sandboxes_in(&roots)?;
/// let ids: Vec<&str> = sandboxes.iter().map(|sandbox| sandbox.id()).collect();
/// assert_eq!(ids, ["db-1", "web-1"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn list_sandboxes_in(roots: &StorageRoots) -> Result<Vec<Sandbox>, StorageError> {
    let mut sandboxes = Vec::new();
    let mut bases: Vec<Base> = Vec::new();
    for (layout, path) in places(roots) {
        if let Opened::Base(base) = Base::open(layout, path)?
            && !base.is_among(&bases)
        {
            let found = base.starting_with("")?;
            sandboxes.extend(
                found
                    .into_iter()
                    .filter(|found| verify_id(found.id()).is_ok()),
            );
            bases.push(base);
        }
    }
    sandboxes.sort();
    Ok(sandboxes)
}

fn places(roots: &StorageRoots) -> [(Layout, &Path); 2] {
    [
        (Layout::RuntimeRs, &roots.runtime_rs),
        (Layout::Go, &roots.go),
    ]
}

/// Looks in all `places`: first for the complete id, then for ids that begin with it. In a place
/// after the first, what cannot be read matters only if there is no answer elsewhere.
fn find(places: &[(Layout, &Path)], sid: &str) -> Result<Sandbox, StorageError> {
    check_id(sid)?;
    let mut bases: Vec<Base> = Vec::with_capacity(places.len());
    let mut missing = None;
    let mut trouble = None;
    for (index, (layout, path)) in places.iter().enumerate() {
        match Base::open(*layout, path) {
            Ok(Opened::Base(base)) if base.is_among(&bases) => {}
            Ok(Opened::Base(base)) => bases.push(base),
            Ok(Opened::Missing(error)) => {
                if index == 0 {
                    missing = Some(error);
                }
            }
            Err(error) if index == 0 => return Err(error),
            Err(error) => trouble = Some(error),
        }
    }
    for look in [Base::exactly, Base::starting_with] {
        let mut matches = Vec::new();
        for base in &bases {
            match look(base, sid) {
                Ok(found) => matches.extend(found),
                Err(error) if base.layout == Layout::RuntimeRs => return Err(error),
                Err(error) => trouble = Some(error),
            }
        }
        if matches.len() > 1 {
            matches.sort();
            return Err(StorageError::Ambiguous {
                prefix: sid.to_owned(),
                matches: Matches(matches),
            });
        }
        if let Some(sandbox) = matches.pop() {
            return Ok(sandbox);
        }
    }
    Err(trouble.unwrap_or_else(|| StorageError::NotFound {
        prefix: sid.to_owned(),
        source: missing,
    }))
}

/// A directory that holds sandboxes.
struct Base {
    layout: Layout,
    /// Without symlinks, and without a slash at its end.
    dir: String,
}

/// The outcome of opening one.
enum Opened {
    Base(Base),
    /// It does not exist: no sandbox was ever started (D7).
    Missing(io::Error),
}

impl Base {
    fn open(layout: Layout, path: &Path) -> Result<Opened, StorageError> {
        let dir = match fs::canonicalize(path) {
            Ok(dir) => dir,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Opened::Missing(error)),
            Err(source) if source.kind() == ErrorKind::PermissionDenied => {
                let dir = path.to_owned();
                return Err(StorageError::PermissionDenied { dir, source });
            }
            Err(source) => {
                let dir = path.to_owned();
                return Err(StorageError::Canonicalize { dir, source });
            }
        };
        match dir.to_str() {
            Some(dir) => {
                let dir = dir.trim_end_matches('/').to_owned();
                Ok(Opened::Base(Self { layout, dir }))
            }
            None => Err(StorageError::NotUtf8 { dir }),
        }
    }

    /// Two names of one directory are one place.
    fn is_among(&self, bases: &[Self]) -> bool {
        bases.iter().any(|known| known.dir == self.dir)
    }

    /// The sandbox `id`, if there is one (D6).
    fn exactly(&self, id: &str) -> Result<Vec<Sandbox>, StorageError> {
        match fs::symlink_metadata(format!("{}/{id}", self.dir)) {
            Ok(metadata) if metadata.is_dir() => Ok(vec![self.sandbox(id.to_owned())]),
            Ok(_) => Ok(Vec::new()),
            Err(error) => match error.kind() {
                // A name that is too long for a file is none.
                ErrorKind::NotFound | ErrorKind::InvalidFilename => Ok(Vec::new()),
                _ => Err(self.failure(error)),
            },
        }
    }

    /// The sandboxes with an id that begins with `prefix`.
    fn starting_with(&self, prefix: &str) -> Result<Vec<Sandbox>, StorageError> {
        let entries = match fs::read_dir(format!("{}/", self.dir)) {
            Ok(entries) => entries,
            // Removed since it was opened.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.failure(error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| self.failure(error))?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if !name.starts_with(prefix) {
                continue;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => found.push(self.sandbox(name)),
                Ok(_) => {}
                // Removed since it was listed.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(self.failure(error)),
            }
        }
        Ok(found)
    }

    fn sandbox(&self, id: String) -> Sandbox {
        Sandbox::new(self.layout, &self.dir, id)
    }

    fn failure(&self, source: io::Error) -> StorageError {
        let dir = PathBuf::from(&self.dir);
        if source.kind() == ErrorKind::PermissionDenied {
            StorageError::PermissionDenied { dir, source }
        } else {
            StorageError::Read { dir, source }
        }
    }
}
