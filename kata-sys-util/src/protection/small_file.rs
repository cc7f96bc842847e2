//! Files of one line.

use std::io::{self, Read};
use std::path::Path;

use crate::open::open;

/// No file of sysfs with one value is longer than a page.
const LIMIT: u64 = 4096;

/// The text of a file, up to 4096 bytes. What is not UTF-8 is replaced.
pub(super) fn read_small_file(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    open(path)?.take(LIMIT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether an error says that there is no such file.
pub(super) fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
