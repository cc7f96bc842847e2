//! The files and links that sysfs has in the directory of a device.
//!
//! They are read through a descriptor of the directory: the paths are short then, and all of it
//! belongs to the same device, also if that is unplugged meanwhile.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::mount::sys::CWD;

use super::sys::{DIRECTORY, FILE, open_at, read_link_at};

/// Bytes that a number in a file needs less than.
const NUMBER: usize = 64;

/// Why something of a device could not be read.
#[derive(Debug)]
pub(super) struct ReadError {
    /// The device is not there any more.
    pub(super) is_gone: bool,
    /// No descriptor or no memory is left, which says nothing about the device.
    pub(super) is_shortage: bool,
    /// Names the file.
    pub(super) error: io::Error,
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        error.error
    }
}

impl ReadError {
    fn new(path: &Path, error: &io::Error) -> Self {
        let is_gone = matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV));
        let is_shortage = matches!(
            error.raw_os_error(),
            Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM)
        );
        // An attribute that was opened before says ENODEV, which has no kind of its own.
        let kind = if is_gone {
            ErrorKind::NotFound
        } else {
            error.kind()
        };
        Self {
            is_gone,
            is_shortage,
            error: named_of_kind(kind, path, error),
        }
    }

    pub(super) fn malformed(path: &Path, what: &str) -> Self {
        let text = format!("{}: {what}", path.display());
        Self {
            is_gone: false,
            is_shortage: false,
            error: io::Error::new(ErrorKind::InvalidData, text),
        }
    }
}

/// How a number is written; a line break may be after it.
pub(super) struct Format<T> {
    parse: fn(&[u8]) -> Option<T>,
    expected: &'static str,
}

/// Hexadecimal, with `0x` or without, and any zeros in front.
pub(super) const HEX8: Format<u8> = Format {
    parse: parse_hex,
    expected: "a hexadecimal number of at most 2 digits",
};
pub(super) const HEX16: Format<u16> = Format {
    parse: parse_hex,
    expected: "a hexadecimal number of at most 4 digits",
};
pub(super) const HEX24: Format<u32> = Format {
    parse: |text| parse_hex(text).filter(|number: &u32| number >> 24 == 0),
    expected: "a hexadecimal number of at most 6 digits",
};
pub(super) const DECIMAL_I64: Format<i64> = Format {
    parse: parse_decimal,
    expected: "a decimal number of 64 bits",
};
pub(super) const DECIMAL_U16: Format<u16> = Format {
    parse: parse_decimal,
    expected: "a decimal number from 0 to 65535",
};

pub(super) type Result<T> = std::result::Result<T, ReadError>;

/// The same error with the path in front.
pub(crate) fn named(path: &Path, error: &io::Error) -> io::Error {
    named_of_kind(error.kind(), path, error)
}

fn named_of_kind(kind: ErrorKind, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(kind, format!("{}: {error}", path.display()))
}

/// The open directory of a device.
pub(super) struct Attributes<'a> {
    directory: OwnedFd,
    path: &'a Path,
}

impl<'a> Attributes<'a> {
    pub(super) fn open(path: &'a Path) -> Result<Self> {
        let name = CString::new(path.as_os_str().as_bytes())
            .map_err(|error| ReadError::new(path, &error.into()))?;
        Self::open_at(CWD, &name, path)
    }

    /// `name` below `parent` is `path`.
    pub(super) fn open_at(parent: BorrowedFd<'_>, name: &CStr, path: &'a Path) -> Result<Self> {
        match open_at(parent, name, DIRECTORY) {
            Ok(directory) => Ok(Self { directory, path }),
            Err(error) => Err(ReadError::new(path, &error)),
        }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// The number in a file.
    pub(super) fn number<T>(&self, name: &CStr, format: &Format<T>) -> Result<T> {
        let mut buffer = [0; NUMBER];
        let text = match self.read(name, &mut buffer) {
            Ok(text) => text,
            Err(error) => return Err(ReadError::new(&self.path_of(name), &error)),
        };
        format.parse(text).ok_or_else(|| {
            let text = String::from_utf8_lossy(text);
            let what = format!("{text:?} is not {}", format.expected);
            ReadError::malformed(&self.path_of(name), &what)
        })
    }

    /// The number in a file that need not be there, nor make sense.
    pub(super) fn optional<T>(&self, name: &CStr, format: &Format<T>) -> Option<T> {
        let mut buffer = [0; NUMBER];
        format.parse(self.read(name, &mut buffer).ok()?)
    }

    /// All of a file, or as many bytes as are asked for at most.
    pub(super) fn bytes(&self, name: &CStr, limit: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = self.file(name);
        match file.and_then(|file| file.take(limit).read_to_end(&mut bytes)) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(ReadError::new(&self.path_of(name), &error)),
        }
    }

    /// The last component of a link's target; `None` if there is no link, or no such component.
    pub(super) fn link(&self, name: &CStr) -> Option<String> {
        let mut buffer = [0; 1024];
        let length = buffer.len();
        let target = read_link_at(self.as_fd(), name, &mut buffer).ok()?;
        // The end of a longer one is not known.
        let target = Some(target).filter(|target| target.len() < length)?;
        let component = Path::new(OsStr::from_bytes(target)).file_name()?;
        Some(component.to_string_lossy().into_owned())
    }

    pub(super) fn path_of(&self, name: &CStr) -> PathBuf {
        self.path.join(OsStr::from_bytes(name.to_bytes()))
    }

    /// What one read gives, which is all of a short file.
    fn read<'b>(&self, name: &CStr, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
        let mut file = self.file(name)?;
        loop {
            match file.read(buffer) {
                Ok(count) => return Ok(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn file(&self, name: &CStr) -> io::Result<File> {
        open_at(self.as_fd(), name, FILE).map(File::from)
    }
}

impl<T> Format<T> {
    fn parse(&self, text: &[u8]) -> Option<T> {
        // What fills the buffer may be the beginning of something longer.
        if text.len() >= NUMBER {
            return None;
        }
        (self.parse)(text.trim_ascii())
    }
}

fn parse_decimal<T: FromStr>(text: &[u8]) -> Option<T> {
    str::from_utf8(text).ok()?.parse().ok()
}

fn parse_hex<T: TryFrom<u32>>(text: &[u8]) -> Option<T> {
    let text = text.strip_prefix(b"0x").unwrap_or(text);
    // `from_str_radix` takes a sign, too.
    let is_hex = text.iter().all(u8::is_ascii_hexdigit);
    let text = str::from_utf8(text).ok().filter(|_| is_hex)?;
    u32::from_str_radix(text, 16).ok()?.try_into().ok()
}
