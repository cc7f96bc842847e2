//! The file `lru_gen` of the real system, and of a tree of files.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, anyhow};

use super::{LruGen, sys};

/// `SYSFS_MAGIC`.
const SYSFS_MAGIC: i64 = 0x6265_6572;
const NAME: &str = "lru_gen";

/// `lru_gen`, by its path or in a debugfs that nobody else sees.
#[derive(Debug)]
pub(super) struct LruGenFile {
    path: PathBuf,
    /// A mount of debugfs that is in no mount table (spec 7.4).
    debugfs: Option<OwnedFd>,
    /// Length of the last text: the next one is read without growing its buffer.
    length: AtomicUsize,
}

impl LruGenFile {
    /// # Errors
    ///
    /// It cannot be read and written.
    pub(super) fn open(sys_root: &Path) -> Result<Self> {
        let mut file = Self {
            path: sys_root.join("kernel/debug").join(NAME),
            debugfs: None,
            length: AtomicUsize::new(0),
        };
        let found = match file.open_for(Access::ReadWrite) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Only the real sysfs has a real debugfs beside it.
                if sys::file_system_magic(sys_root).is_ok_and(|magic| magic == SYSFS_MAGIC) {
                    file.debugfs = sys::detached_mount(c"debugfs").ok();
                }
                file.open_for(Access::ReadWrite)
            }
            found => found,
        };
        match found {
            Ok(_) => Ok(file),
            Err(error) => Err(anyhow!(
                "open file {:?} failed: {error} (does the kernel have CONFIG_LRU_GEN and CONFIG_DEBUG_FS, and is this root?)",
                file.path
            )),
        }
    }

    fn open_for(&self, access: Access) -> io::Result<File> {
        match &self.debugfs {
            Some(debugfs) => {
                sys::open_at(debugfs.as_fd(), c"lru_gen", access.flags()).map(File::from)
            }
            None => File::options()
                .read(access != Access::Write)
                .write(access != Access::Read)
                .open(&self.path),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
    ReadWrite,
}

impl Access {
    fn flags(self) -> libc::c_int {
        match self {
            Self::Read => libc::O_RDONLY,
            Self::Write => libc::O_WRONLY,
            Self::ReadWrite => libc::O_RDWR,
        }
    }
}

impl LruGen for LruGenFile {
    fn read(&self) -> io::Result<Vec<u8>> {
        let last = self.length.load(Ordering::Relaxed);
        let mut text = Vec::with_capacity(last.saturating_add(4096));
        self.open_for(Access::Read)?.read_to_end(&mut text)?;
        self.length.store(text.len(), Ordering::Relaxed);
        Ok(text)
    }

    fn command(&self, cmd: &str) -> io::Result<()> {
        let result = self
            .open_for(Access::Write)
            .and_then(|mut file| file.write_all(cmd.as_bytes()));
        std::thread::yield_now();
        result.map_err(|error| {
            let text = format!(
                "write file {} cmd {cmd} failed: {error}",
                self.path.display()
            );
            io::Error::new(error.kind(), text)
        })
    }

    /// In one write; the kernel stops at the first command that it refuses, and does not say which
    /// one it was.
    fn commands(&self, cmds: &[&str]) -> io::Result<()> {
        if self.command(&cmds.join("\n")).is_ok() {
            return Ok(());
        }
        let mut result = Ok(());
        for cmd in cmds {
            let one = self.command(cmd);
            if result.is_ok() {
                result = one;
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn text_is_read_and_commands_are_written() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("kernel/debug");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(NAME), "memcg 1 /\n").unwrap();
        let file = LruGenFile::open(root.path()).unwrap();
        assert_eq!(file.read().unwrap(), b"memcg 1 /\n");
        file.command("+ 1 0 3 0 1").unwrap();
        assert!(file.read().unwrap().starts_with(b"+ 1 0 3 0 1"));
        file.commands(&["- 1 0 0 0 64", "- 2 0 0 0 64"]).unwrap();
        assert_eq!(file.read().unwrap(), b"- 1 0 0 0 64\n- 2 0 0 0 64");
    }

    #[test]
    fn missing_file_is_named_with_what_the_kernel_needs() {
        let root = tempfile::tempdir().unwrap();
        let error = LruGenFile::open(root.path()).unwrap_err().to_string();
        assert!(error.contains("kernel/debug/lru_gen"), "{error}");
        assert!(error.contains("CONFIG_LRU_GEN"), "{error}");
    }

    #[test]
    fn refused_command_is_in_the_message() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("kernel/debug");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(NAME), "").unwrap();
        let file = LruGenFile::open(root.path()).unwrap();
        fs::remove_file(dir.join(NAME)).unwrap();
        let error = file.command("+ 1 0 3 0 1").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(
            error.to_string().contains("cmd + 1 0 3 0 1 failed: "),
            "{error}"
        );
    }
}
