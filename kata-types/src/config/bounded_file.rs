//! Reading a configuration file that someone else may have chosen (D35): regular files only, of
//! bounded size, without ever waiting for a writer.

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::load_error::{LoadError, LoadProblem};
use super::path;

/// Largest file. Policies and initdata may be inlined, so this is generous.
pub(crate) const MAX_FILE_BYTES: u64 = 8 << 20;

/// What a path turned out to be.
#[derive(Debug, PartialEq)]
pub(crate) enum Content {
    /// A regular file, and what is in it.
    Text(String),
    /// Something else, in words.
    Special(&'static str),
    Directory,
}

/// Reads `path`, following symlinks: one `open`, `fstat`, `read` and `close`.
///
/// # Errors
///
/// Those of the operating system, of kind `InvalidInput` if the file is larger than
/// [`MAX_FILE_BYTES`], `InvalidData` if it is not UTF-8. All name the file.
pub(crate) fn read(path: &Path) -> io::Result<Content> {
    match open(path) {
        Ok(file) => content(file, path),
        Err(e) => unopened(e, path),
    }
}

/// Reads `path` like [`read`], and returns its canonical form as well.
pub(crate) fn read_canonical(path: &Path) -> io::Result<(PathBuf, Content)> {
    let canonical = || path::canonical(path).map_err(|e| about(e, path));
    match open(path) {
        Ok(file) => {
            let place = path::place_of(&file).map_or_else(canonical, Ok)?;
            let content = content(file, &place)?;
            Ok((place, content))
        }
        Err(e) => {
            let place = canonical()?;
            let content = unopened(e, &place)?;
            Ok((place, content))
        }
    }
}

fn about(error: io::Error, path: &Path) -> io::Error {
    LoadError::about_file(error.kind(), path, error)
}

/// What is in an open file.
fn content(mut file: File, path: &Path) -> io::Result<Content> {
    let found = file.metadata().map_err(|e| about(e, path))?;
    if !found.is_file() {
        return Ok(kind_of(found.file_type()));
    }
    let bytes = read_bounded(&mut file, found.len()).map_err(|e| about(e, path))?;
    let text = String::from_utf8(bytes).map_err(|e| not_utf8(path, &e))?;
    Ok(Content::Text(text))
}

/// What a file is that cannot be opened: a socket, or a device that is not there.
fn unopened(error: io::Error, path: &Path) -> io::Result<Content> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => Ok(kind_of(found.file_type())),
        _ => Err(about(error, path)),
    }
}

/// Opens `path` without waiting for the other end of a FIFO, and without making a terminal the
/// controlling one.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true); // and O_CLOEXEC
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    }
    options.open(path)
}

fn kind_of(found: FileType) -> Content {
    if found.is_dir() {
        return Content::Directory;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        for (is, name) in [
            (found.is_fifo(), "a FIFO"),
            (found.is_socket(), "a socket"),
            (found.is_char_device(), "a character device"),
            (found.is_block_device(), "a block device"),
        ] {
            if is {
                return Content::Special(name);
            }
        }
    }
    Content::Special("a special file")
}

/// Reads to the end, but not more than [`MAX_FILE_BYTES`]. `expected` is the size of the file as
/// far as known: files of procfs have none.
fn read_bounded(file: &mut impl Read, expected: u64) -> io::Result<Vec<u8>> {
    let too_large = || {
        let reason = format!("larger than {MAX_FILE_BYTES} bytes");
        io::Error::new(io::ErrorKind::InvalidInput, reason)
    };
    if expected > MAX_FILE_BYTES {
        return Err(too_large());
    }
    let limit = MAX_FILE_BYTES as usize;
    let expected = expected as usize;
    // One byte more than expected, so that one call reads the file and sees its end.
    let mut bytes = vec![0; expected + 1];
    let mut filled = 0;
    loop {
        match file.read(bytes.get_mut(filled..).unwrap_or_default()) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        }
        if filled == expected {
            break; // a regular file ends where a read comes back short
        }
        if filled > limit {
            return Err(too_large());
        }
        if filled == bytes.len() {
            bytes.resize((filled * 2).clamp(4096, limit + 1), 0);
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

fn not_utf8(path: &Path, error: &std::string::FromUtf8Error) -> io::Error {
    let valid = error.utf8_error().valid_up_to();
    let before = error.as_bytes().get(..valid).unwrap_or_default();
    let start = before
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |at| at + 1);
    let characters = before.iter().skip(start).filter(|b| **b & 0xC0 != 0x80);
    LoadError::invalid_data(vec![LoadProblem {
        line: Some(before.iter().filter(|b| **b == b'\n').count() + 1),
        column: Some(characters.count() + 1),
        ..LoadProblem::in_file(path, "", "stream did not contain valid UTF-8")
    }])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out what it has in pieces of the given size.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(buf.len()).min(self.0.len());
            let (now, later) = self.0.split_at(count);
            buf[..count].copy_from_slice(now);
            self.0 = later;
            Ok(count)
        }
    }

    #[test]
    fn files_are_read_to_their_end_whatever_size_they_claim() {
        let text: Vec<u8> = (0..20_000_u32).map(|n| n as u8).collect();
        for claimed in [0, 20_000, 20_001, 100_000] {
            for piece in [1, 7, 4096, usize::MAX] {
                let read = read_bounded(&mut Pieces(&text, piece), claimed).unwrap();
                assert_eq!(read, text, "claimed {claimed}, pieces of {piece}");
            }
        }
        // It grew since it was asked for its size.
        for claimed in [1, 19_999] {
            let read = read_bounded(&mut Pieces(&text, usize::MAX), claimed).unwrap();
            assert_eq!(read, text, "claimed {claimed}");
        }
    }

    #[test]
    fn files_without_size_or_end_stop_at_the_limit() {
        for claimed in [0, 1 << 20, MAX_FILE_BYTES, MAX_FILE_BYTES + 1, u64::MAX] {
            let error = read_bounded(&mut io::repeat(b'#'), claimed).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert_eq!(error.to_string(), "larger than 8388608 bytes");
        }
    }

    #[test]
    fn a_file_of_exactly_the_limit_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, vec![b'#'; MAX_FILE_BYTES as usize]).unwrap();
        assert!(matches!(read(&path), Ok(Content::Text(text)) if text.len() == 8 << 20));
        fs::write(&path, vec![b'#'; MAX_FILE_BYTES as usize + 1]).unwrap();
        let error = read(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(
            error.to_string(),
            format!("{}: larger than 8388608 bytes", path.display())
        );
    }

    #[test]
    fn text_that_is_not_utf8_is_located() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, b"a = 1\n\xc3\xa9 = \"\xff\"").unwrap();
        let error = read(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(
            error.to_string(),
            format!("{}:2:6: stream did not contain valid UTF-8", path.display())
        );
    }

    #[cfg(unix)]
    #[test]
    fn special_files_are_named_and_never_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        assert_eq!(read(&socket).unwrap(), Content::Special("a socket"));
        assert_eq!(read(&link).unwrap(), Content::Special("a character device"));
        assert_eq!(read(dir.path()).unwrap(), Content::Directory);

        let fifo = dir.path().join("fifo");
        let status = std::process::Command::new("mkfifo").arg(&fifo).status();
        if status.is_ok_and(|status| status.success()) {
            assert_eq!(read(&fifo).unwrap(), Content::Special("a FIFO"));
        } else {
            eprintln!("INFO: skipping the FIFO: no mkfifo");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn files_of_procfs_have_no_size_and_are_read() {
        assert!(matches!(
            read(Path::new("/proc/self/status")),
            Ok(Content::Text(text)) if text.starts_with("Name:")
        ));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read(Path::new("/no/such/file")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(
            error.to_string(),
            "/no/such/file: No such file or directory (os error 2)"
        );
    }
}
