//! Copying the data of an open file, holes included, without a process.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;

use crate::mount::sys;

/// For the kernels and file systems that make us carry the bytes ourselves.
const BUFFER_SIZE: usize = 256 * 1024;

/// Copies all of `source` to the empty file `target`. Holes stay holes (`SEEK_DATA`, `SEEK_HOLE`
/// of [`lseek(2)`](https://man7.org/linux/man-pages/man2/lseek.2.html)). What is appended meanwhile
/// is copied too, and so are files that do not know their size, as those of procfs.
pub(super) fn copy_data(source: &File, target: &File) -> io::Result<()> {
    let size = source.metadata()?.len();
    target.set_len(size)?;
    let mut copier = Copier {
        source,
        target,
        buffer: Vec::new(),
        has_copy_file_range: true,
    };
    let mut position = 0;
    while position < size {
        let Some((start, end)) = next_data(source, position, size)? else {
            break;
        };
        let copied = copier.copy(start, end)?;
        if copied < end {
            // The source got shorter.
            return target.set_len(copied);
        }
        position = end;
    }
    copier.copy_to_end(size)
}

/// The next part of the file that is no hole, or `None` if all up to `size` is one.
fn next_data(source: &File, position: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
    let start = match sys::seek_data(source, position) {
        Ok(start) if start < size => start,
        Ok(_) | Err(Errno::ENXIO) => return Ok(None),
        // A file system that knows of no holes.
        Err(_) => return Ok(Some((position, size))),
    };
    let end = match sys::seek_hole(source, start) {
        Ok(end) if end > start => end.min(size),
        _ => size,
    };
    Ok(Some((start, end)))
}

struct Copier<'a> {
    source: &'a File,
    target: &'a File,
    buffer: Vec<u8>,
    has_copy_file_range: bool,
}

impl Copier<'_> {
    /// Copies from `position` up to `end`, and returns where the source ended if it did before.
    fn copy(&mut self, mut position: u64, end: u64) -> io::Result<u64> {
        while self.has_copy_file_range && position < end {
            let length = end.saturating_sub(position);
            match sys::copy_file_range(self.source, self.target, position, length) {
                // Some kernels answer 0 for files that they cannot copy (before Linux 5.19).
                Ok(0) => self.has_copy_file_range = false,
                Ok(copied) => position = position.saturating_add(copied),
                Err(Errno::EINTR) => {}
                Err(errno) if is_final(errno) => return Err(errno.into()),
                Err(_) => self.has_copy_file_range = false,
            }
        }
        while position < end {
            let copied = self.copy_block(position, end.saturating_sub(position))?;
            if copied == 0 {
                break;
            }
            position = position.saturating_add(copied);
        }
        Ok(position)
    }

    fn copy_to_end(&mut self, mut position: u64) -> io::Result<()> {
        loop {
            match self.copy_block(position, u64::MAX)? {
                0 => return Ok(()),
                copied => position = position.saturating_add(copied),
            }
        }
    }

    /// Reads and writes up to `limit` bytes, and returns how many; 0 at the end of the source.
    fn copy_block(&mut self, position: u64, limit: u64) -> io::Result<u64> {
        self.buffer.resize(BUFFER_SIZE, 0);
        let length = usize::try_from(limit).map_or(BUFFER_SIZE, |limit| limit.min(BUFFER_SIZE));
        let buffer = self.buffer.get_mut(..length).unwrap_or_default();
        let length = loop {
            match self.source.read_at(buffer, position) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        let data = buffer.get(..length).unwrap_or_default();
        self.target.write_all_at(data, position)?;
        Ok(u64::try_from(length).unwrap_or(u64::MAX))
    }
}

/// Whether another way to copy would end the same way: the data cannot be read, or there is no room
/// for them.
pub(super) fn is_final(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::EIO | Errno::ENOSPC | Errno::EDQUOT | Errno::EROFS
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    fn copied(dir: &Path, source: &File) -> File {
        let target = File::create(dir.join("copy")).unwrap();
        copy_data(source, &target).unwrap();
        target
    }

    fn copied_bytes(dir: &Path, source: &File) -> Vec<u8> {
        copied(dir, source);
        fs::read(dir.join("copy")).unwrap()
    }

    #[test]
    fn holes_stay_holes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sparse");
        let source = File::create_new(&path).unwrap();
        source.set_len(64 << 20).unwrap();
        for (position, text) in [(0, "begin"), (20 << 20, "middle"), ((40 << 20) + 1, "late")] {
            source.write_all_at(text.as_bytes(), position).unwrap();
        }
        let source = File::open(&path).unwrap();
        let target = copied(dir.path(), &source);
        let (source, target) = (source.metadata().unwrap(), target.metadata().unwrap());
        assert_eq!(target.len(), 64 << 20);
        assert_eq!(target.blocks(), source.blocks());
        assert!(fs::read(&path).unwrap() == fs::read(dir.path().join("copy")).unwrap());
    }

    #[test]
    fn file_of_unknown_size_is_copied_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let source = File::open("/proc/cpuinfo").unwrap();
        assert_eq!(source.metadata().unwrap().len(), 0);
        assert!(!copied_bytes(dir.path(), &source).is_empty());
    }

    #[test]
    fn empty_file_stays_empty() {
        let dir = tempfile::tempdir().unwrap();
        let source = tempfile::tempfile_in(dir.path()).unwrap();
        assert!(copied_bytes(dir.path(), &source).is_empty());
    }

    #[test]
    fn bytes_are_carried_where_the_kernel_does_not_copy() {
        let dir = tempfile::tempdir().unwrap();
        let source = tempfile::tempfile_in(dir.path()).unwrap();
        let text: Vec<u8> = (0..BUFFER_SIZE + 17).map(|i| (i % 251) as u8).collect();
        source.write_all_at(&text, 0).unwrap();
        let target = File::create(dir.path().join("copy")).unwrap();
        let mut copier = Copier {
            source: &source,
            target: &target,
            buffer: Vec::new(),
            has_copy_file_range: false,
        };
        let end = u64::try_from(text.len()).unwrap();
        assert_eq!(copier.copy(3, end).unwrap(), end);
        assert!(fs::read(dir.path().join("copy")).unwrap()[3..] == text[3..]);
        assert_eq!(copier.copy(end, end + 5).unwrap(), end);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn every_pattern_of_data_and_holes_is_copied(
            parts in proptest::collection::vec((0_u64..40, 1_usize..3), 0..6),
            size in 0_u64..200_000,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let source = tempfile::tempfile_in(dir.path()).unwrap();
            source.set_len(size).unwrap();
            for (page, pages) in parts {
                source.write_all_at(&vec![7; pages * 4096], page * 4096).unwrap();
            }
            let mut expected = vec![0; usize::try_from(source.metadata().unwrap().len()).unwrap()];
            source.read_exact_at(&mut expected, 0).unwrap();
            prop_assert!(copied_bytes(dir.path(), &source) == expected);
        }
    }
}
