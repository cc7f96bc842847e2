//! Files of trees that somebody else may have made.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Opens a file to read it. A FIFO does not block whoever opens it, and a terminal does not become
/// the one of this process.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true); // and O_CLOEXEC
    options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    options.open(path)
}

/// Opens the character device `major`:`minor` (`Documentation/admin-guide/devices.txt` of the
/// kernel) to read it. Anything else at `path` is `ENODEV`: `/dev` may be that of a container.
pub(crate) fn open_device(path: &Path, (major, minor): (u32, u32)) -> io::Result<File> {
    let device = open(path)?;
    let found = device.metadata()?;
    if found.file_type().is_char_device() && found.rdev() == libc::makedev(major, minor) {
        Ok(device)
    } else {
        Err(io::Error::from_raw_os_error(libc::ENODEV))
    }
}

/// The longest files are those with some KiB for each CPU, of which Linux can have 8192. Others have
/// no end.
pub(crate) const LONGEST: u64 = 128 << 20;

/// All of a file of up to [`LONGEST`] bytes.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_up_to(LONGEST, open(path)?)
}

/// All of a text of up to [`LONGEST`] bytes.
pub(crate) fn read_text(file: File) -> io::Result<String> {
    let text = String::from_utf8(read_up_to(LONGEST, file)?);
    text.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}

fn read_up_to(longest: u64, file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let count = file
        .take(longest.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if count as u64 > longest {
        return Err(too_long(longest));
    }
    Ok(bytes)
}

pub(crate) fn too_long(longest: u64) -> io::Error {
    io::Error::new(
        ErrorKind::InvalidData,
        format!("longer than {longest} bytes"),
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn file_without_an_end_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for (text, is_read) in [("", true), ("12345678", true), ("123456789", false)] {
            fs::write(&path, text).unwrap();
            let result = read_up_to(8, open(&path).unwrap());
            assert_eq!(result.is_ok(), is_read, "{text}");
            if let Err(error) = result {
                assert_eq!(error.to_string(), "longer than 8 bytes");
            }
        }
        let error = read_up_to(1 << 16, open(Path::new("/dev/zero")).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }
}
