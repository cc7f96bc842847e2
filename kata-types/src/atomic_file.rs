//! Writing a file so that others see the old content or the new one, and nothing in between.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Left-overs of crashed processes with our process id may take this many names.
const MAX_ATTEMPTS: usize = 1024;

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// A new file under a hidden name, removed again unless it is renamed to its real one.
pub(crate) struct TemporaryFile {
    pub(crate) file: File,
    path: PathBuf,
    renamed: bool,
}

impl TemporaryFile {
    /// Creates `.<stem>.<pid>.<n>` in a directory, without following a link of that name.
    pub(crate) fn create_in(directory: &Path, stem: &str, mode: u32) -> io::Result<Self> {
        let pid = std::process::id();
        for _ in 0..MAX_ATTEMPTS {
            let n = COUNTER.fetch_add(1, Ordering::Relaxed);
            let path = directory.join(format!(".{stem}.{pid}.{n}"));
            match OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(mode)
                .open(&path)
            {
                Ok(file) => {
                    return Ok(Self {
                        file,
                        path,
                        renamed: false,
                    });
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    /// Gives the file its real name, replacing what had it.
    pub(crate) fn rename_to(mut self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if !self.renamed {
            // Nothing can be done about a failure; the name tells what the file is.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;
    use crate::testing::names;

    #[test]
    fn dropped_file_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let temporary = TemporaryFile::create_in(dir.path(), "x", 0o600).unwrap();
        assert_eq!(names(dir.path()).len(), 1);
        assert!(names(dir.path())[0].starts_with(".x."));
        drop(temporary);
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn rename_replaces_a_link_instead_of_following_it() {
        let dir = tempfile::tempdir().unwrap();
        let (victim, target) = (dir.path().join("victim"), dir.path().join("target"));
        fs::write(&victim, "keep").unwrap();
        symlink(&victim, &target).unwrap();
        let mut temporary = TemporaryFile::create_in(dir.path(), "x", 0o600).unwrap();
        temporary.file.write_all(b"new").unwrap();
        temporary.rename_to(&target).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"keep");
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert_eq!(
            fs::symlink_metadata(&target).unwrap().mode() & 0o7777,
            0o600
        );
        assert_eq!(names(dir.path()), ["target", "victim"]);
    }

    #[test]
    fn failed_rename_removes_the_temporary() {
        let dir = tempfile::tempdir().unwrap();
        let temporary = TemporaryFile::create_in(dir.path(), "x", 0o600).unwrap();
        assert!(temporary.rename_to(&dir.path().join("no/such")).is_err());
        assert!(names(dir.path()).is_empty());
    }
}
