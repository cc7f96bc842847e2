//! What is mounted exactly at a path.

use std::cell::OnceCell;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::SysRoot;
use crate::fs::{HUGETLBFS_MAGIC, TMPFS_MAGIC, fs_magic};
use crate::mount::sys::{CWD, Follow, status};
use crate::mount::table;

/// What is mounted at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mounted {
    Nothing,
    Tmpfs,
    Hugetlbfs,
    Other,
}

/// All mounts, whose table is read when it is needed, and once.
pub(super) struct Mounts<'a> {
    source: Source<'a>,
    table: OnceCell<Option<Vec<u8>>>,
}

enum Source<'a> {
    /// The kernel, and the table if it does not tell.
    Kernel,
    /// The table of another proc file system.
    Table(&'a SysRoot),
}

impl<'a> Mounts<'a> {
    /// The mounts that the calling thread sees.
    pub(super) fn of_this_thread() -> Self {
        Self::new(Source::Kernel)
    }

    /// The mounts in the table of the proc file system of `root`.
    pub(super) fn in_table(root: &'a SysRoot) -> Self {
        Self::new(Source::Table(root))
    }

    fn new(source: Source<'a>) -> Self {
        Self {
            source,
            table: OnceCell::new(),
        }
    }

    /// What is mounted at `path`, or `None` if that is not known. The last component is not
    /// followed if it is a link: no link is in the table either.
    pub(super) fn at(&self, path: &Path) -> Option<Mounted> {
        // As the table has it: with single slashes and none at the end (K5), after which the
        // kernel would follow a link.
        let path: PathBuf = path.components().collect();
        let asked = match self.source {
            Source::Kernel => ask_kernel(&path),
            Source::Table(_) => None,
        };
        asked.or_else(|| self.look_up(&path))
    }

    fn look_up(&self, path: &Path) -> Option<Mounted> {
        let table = self.table.get_or_init(|| self.read_table()).as_deref()?;
        let found = table::search(table, path.as_os_str().as_bytes()).ok()?;
        Some(match found {
            None => Mounted::Nothing,
            Some(mount) => match mount.fs_type.as_str() {
                "tmpfs" => Mounted::Tmpfs,
                "hugetlbfs" => Mounted::Hugetlbfs,
                _ => Mounted::Other,
            },
        })
    }

    fn read_table(&self) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        let mut file = match self.source {
            Source::Kernel => table::open(&SysRoot::default()),
            Source::Table(root) => table::open(root),
        };
        file.as_mut().ok()?.read_to_end(&mut text).ok()?;
        Some(text)
    }
}

/// The answer of the kernel, if it knows (Linux 5.8).
fn ask_kernel(path: &Path) -> Option<Mounted> {
    if !status(CWD, path, Follow::No).ok()?.is_mount_root? {
        return Some(Mounted::Nothing);
    }
    Some(match fs_magic(path).ok()? {
        TMPFS_MAGIC => Mounted::Tmpfs,
        HUGETLBFS_MAGIC => Mounted::Hugetlbfs,
        _ => Mounted::Other,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn table_is_read_once_and_only_when_needed() {
        let dir = tempfile::tempdir().unwrap();
        let root = SysRoot::under(dir.path());
        let mounts = Mounts::in_table(&root);
        assert!(mounts.table.get().is_none());

        fs::create_dir(&root.proc).unwrap();
        fs::write(root.proc.join("mounts"), "tmpfs /a tmpfs rw 0 0\n").unwrap();
        assert_eq!(mounts.at(Path::new("/a")), Some(Mounted::Tmpfs));
        fs::remove_dir_all(&root.proc).unwrap();
        assert_eq!(mounts.at(Path::new("/a//")), Some(Mounted::Tmpfs));
        assert_eq!(mounts.at(Path::new("/b")), Some(Mounted::Nothing));
    }

    #[test]
    fn kernel_knows_without_the_table() {
        let mounts = Mounts::of_this_thread();
        let is_asked = ask_kernel(Path::new("/proc")).is_some();
        assert_eq!(mounts.at(Path::new("/proc")), Some(Mounted::Other));
        assert_eq!(mounts.at(Path::new("/proc/1")), Some(Mounted::Nothing));
        assert_eq!(mounts.table.get().is_none(), is_asked);
    }

    #[test]
    fn table_of_this_thread_agrees_with_the_kernel() {
        let mounts = Mounts::of_this_thread();
        for path in ["/proc", "/proc/1", "/dev/shm", "/", "/no/such/path"] {
            let path = Path::new(path);
            assert_eq!(mounts.look_up(path), mounts.at(path), "{path:?}");
        }
    }
}
