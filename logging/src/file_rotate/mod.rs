//! A log file that starts anew when it is large, and keeps some of its predecessors (3.6).

mod disk;
mod history;
mod open;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use disk::Disk;
use history::Rotation;

/// Most text that is kept until the end of its line comes, in bytes.
const MAX_PENDING: usize = 64 << 10;

/// After so many bytes at most, a rotation that a lock has put off is tried again.
const LOCKED_RETRY: u64 = 64 << 10;

/// No rotation takes so long: whoever has the lock then just keeps it.
const LONG_LOCK: Duration = Duration::from_secs(1);

/// A writer to a file that is *rotated*: when it has reached a size, it is renamed to `<path>.1`, a
/// former `<path>.1` to `<path>.2` and so on, and a new file is begun.
///
/// * Rotation happens between lines: a line is never split across files. It is looked for before a
///   line is written and in [`flush`](Write::flush), which also rotates text without a line break.
/// * The file may be renamed or removed by somebody else (logrotate): what is written next goes to a
///   new file at the path. Several processes may write to the same path, if all use this crate.
/// * A process that is killed while it rotates loses no line. Whoever opens the file next finishes
///   the rotation. Meanwhile a file is named `<path>.rotating`.
/// * A rotation that is not possible is no error: writing goes on, and it is tried again after as
///   much text as the threshold.
/// * While it is rotated, the file is locked ([flock(2)](https://man7.org/linux/man-pages/man2/flock.2.html)).
///   A lock of somebody else puts the rotation off; it is tried again after as much text as the
///   threshold, but 64 KiB at most.
/// * Text without a line break is kept until the rest of the line comes, or `flush`, or drop.
/// * Only regular files are written to. Where others can write to the directory, the file must not
///   be a symlink. New files have mode 0640.
///
/// If several lines are written at once and one of them fails, `write` returns how many bytes the
/// lines before have, and the next call the error. After an error, the beginning of a line that
/// earlier calls have accepted is still kept, unless a part of that line is in the file already:
/// the same text can be written again.
///
/// ```
/// use std::io::Write;
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("shim.log");
/// let mut log = logging::FileRotator::new(&path)?;
/// log.rotate_threshold(10).rotate_count(2);
/// for line in ["one", "two", "three", "four", "five", "six", "seven"] {
///     writeln!(log, "{line}")?;
/// }
///
/// let content = |suffix| std::fs::read_to_string(path.with_extension(suffix));
/// assert_eq!(content("log")?, "six\nseven\n");
/// assert_eq!(content("log.1")?, "four\nfive\n");
/// assert_eq!(content("log.2")?, "one\ntwo\nthree\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct FileRotator {
    /// Absolute.
    path: PathBuf,
    truncate: bool,
    threshold: u64,
    count: u64,
    ignore_errors: bool,
    errors: u64,
    /// The beginning of a line.
    pending: Vec<u8>,
    file: Option<OpenFile>,
    has_been_open: bool,
    disk: Disk,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    id: FileId,
    size: u64,
    /// After a rotation that failed or was put off: the size at which to try again.
    retry_at: u64,
    /// Since when rotations were put off.
    locked_since: Option<Instant>,
    at_line_start: bool,
    /// The last line was written in part only: the next begins with a line break.
    torn: bool,
}

/// How much of a text is in the file.
#[derive(Clone, Copy, Debug, Default)]
struct Written {
    bytes: usize,
    /// The same, up to the end of a line if that is not all.
    lines: usize,
}

/// Device and inode.
type FileId = (u64, u64);

impl FileRotator {
    /// A writer to `path`, which is made absolute. Nothing is opened or created before the first
    /// write.
    ///
    /// By default an existing file is appended to, rotation happens at 10 MiB, and 3 rotated files
    /// are kept.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the path has no file name, ends in `/`,
    /// `.` or `..`, or is a directory; [`PermissionDenied`](io::ErrorKind::PermissionDenied) if it
    /// is a symlink in a directory that group or others can write to; `… is not a file` if
    /// something else than a regular file is there; and if it cannot be examined or its directory
    /// does not exist.
    ///
    /// ```
    /// assert!(logging::FileRotator::new("/var/empty/missing/log").is_err());
    /// assert!(logging::FileRotator::new("/dev/null").is_err());
    /// ```
    pub fn new<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        Ok(Self {
            path: open::checked(path.as_ref())?,
            truncate: false,
            threshold: 10 << 20,
            count: 3,
            ignore_errors: false,
            errors: 0,
            pending: Vec::new(),
            file: None,
            has_been_open: false,
            disk: Disk::default(),
        })
    }

    /// Whether to empty a file that exists when it is opened first, instead of appending to it.
    ///
    /// ```
    /// use std::io::Write;
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("log");
    /// # std::fs::write(&path, "old\n")?;
    /// let mut log = logging::FileRotator::new(&path)?;
    /// log.truncate_mode(true);
    /// writeln!(log, "new")?;
    ///
    /// assert_eq!(std::fs::read_to_string(&path)?, "new\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn truncate_mode(&mut self, truncate: bool) -> &mut Self {
        self.truncate = truncate;
        self
    }

    /// The size in bytes from which on the file is rotated; `0`: after each line or flush.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("log");
    /// let mut log = logging::FileRotator::new(&path)?;
    /// log.rotate_threshold(100 << 20).rotate_count(10);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn rotate_threshold(&mut self, threshold: u64) -> &mut Self {
        self.threshold = threshold;
        self
    }

    /// How many rotated files to keep; `0`: none. Those with a higher number are removed at the
    /// next rotation, when that has succeeded.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("log");
    /// let mut log = logging::FileRotator::new(&path)?;
    /// log.rotate_count(0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn rotate_count(&mut self, count: usize) -> &mut Self {
        self.count = count as u64;
        self
    }

    /// Whether to lose the lines that cannot be written instead of returning an error. The errors
    /// are counted either way.
    ///
    /// ```
    /// use std::io::Write;
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("directory/log");
    /// # std::fs::create_dir(path.parent().unwrap())?;
    /// let mut log = logging::FileRotator::new(&path)?;
    /// log.ignore_errors(true);
    /// # std::fs::remove_dir(path.parent().unwrap())?;
    ///
    /// // Its directory was removed meanwhile.
    /// writeln!(log, "lost")?;
    /// assert_eq!(log.error_count(), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn ignore_errors(&mut self, ignore_errors: bool) -> &mut Self {
        self.ignore_errors = ignore_errors;
        self
    }

    /// How often opening, writing or rotating has failed, whether that was ignored or not. That a
    /// lock puts off a rotation counts when it has done so for a second: until then, it may be that
    /// of another process that rotates.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("log");
    /// assert_eq!(logging::FileRotator::new(&path)?.error_count(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn error_count(&self) -> u64 {
        self.errors
    }

    /// Writes the lines of `text`, and keeps the unfinished one. Returns how much of it is done.
    fn write_text(&mut self, text: &[u8]) -> (usize, io::Result<()>) {
        let end_of_lines = text
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |i| i + 1);
        let (lines, unfinished) = text.split_at(end_of_lines);
        let mut done = 0;
        if !self.pending.is_empty() && !lines.is_empty() {
            let end = end_of_line(lines, 0);
            let (first, _) = lines.split_at(end);
            if let Err(error) = self.write_pending_with(first) {
                return (0, Err(error));
            }
            done = end;
        }
        let (written, result) = self.append(lines.split_at(done).1);
        done += written.lines;
        if result.is_err() {
            return (done, result);
        }
        if self.pending.len() + unfinished.len() <= MAX_PENDING {
            self.pending.extend_from_slice(unfinished);
        } else if let Err(error) = self.write_pending_with(unfinished) {
            return (done, Err(error));
        }
        (text.len(), Ok(()))
    }

    /// Writes what is pending and `text`, which goes on with it. If the file takes nothing of that,
    /// what was accepted before stays pending.
    fn write_pending_with(&mut self, text: &[u8]) -> io::Result<()> {
        let mut pending = std::mem::take(&mut self.pending);
        let accepted = pending.len();
        pending.extend_from_slice(text);
        let (written, result) = self.append(&pending);
        let kept = match result {
            Err(_) if written.bytes == 0 => accepted,
            _ => 0,
        };
        pending.truncate(kept);
        self.pending = pending;
        result
    }

    /// Appends text, and rotates between its lines.
    fn append(&mut self, text: &[u8]) -> (Written, io::Result<()>) {
        let mut done = Written::default();
        loop {
            let rest = text.get(done.bytes..).unwrap_or_default();
            if rest.is_empty() {
                return (done, Ok(()));
            }
            let threshold = self.threshold;
            let file = match self.ready_file() {
                Ok(file) => file,
                Err(error) => return (done, Err(error)),
            };
            let room = threshold.max(file.retry_at).saturating_sub(file.size);
            let room = usize::try_from(room).unwrap_or(usize::MAX);
            let part = rest.get(..end_of_line(rest, room.saturating_sub(1)));
            let (written, result) = file.append(part.unwrap_or(rest));
            done.lines += written.lines;
            done.bytes += written.bytes;
            if result.is_err() {
                return (done, result);
            }
        }
    }

    /// The file that the next text belongs to.
    fn ready_file(&mut self) -> io::Result<&mut OpenFile> {
        self.look_again();
        let is_due = |file: &OpenFile| file.at_line_start && self.is_due(file);
        if self.file.as_ref().is_some_and(is_due) {
            self.rotate();
        }
        match self.file {
            Some(ref mut file) => Ok(file),
            None => {
                let file = self.open()?;
                let due = self.is_due(&file);
                self.file = Some(file);
                if due {
                    // Found at that size.
                    self.rotate();
                    if self.file.is_none() {
                        self.file = Some(self.open()?);
                    }
                }
                self.file
                    .as_mut()
                    .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
            }
        }
    }

    /// Forgets the file if it is no longer the one at the path; else learns its size, to which
    /// others may have contributed.
    fn look_again(&mut self) {
        let Some(file) = &mut self.file else { return };
        match std::fs::metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == file.id => {
                if found.len() < file.size {
                    file.retry_at = 0; // emptied by somebody else (logrotate `copytruncate`)
                }
                file.size = found.len();
            }
            Ok(_) => self.file = None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.file = None,
            // Not to be seen does not mean gone.
            Err(_) => self.errors += 1,
        }
    }

    fn is_due(&self, file: &OpenFile) -> bool {
        file.size > 0 && file.size >= self.threshold.max(file.retry_at)
    }

    /// Not interrupted by signals: `write_all` would write what it has again, without the beginning of
    /// the line that came before.
    fn open(&mut self) -> io::Result<OpenFile> {
        loop {
            match self.try_open() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn try_open(&mut self) -> io::Result<OpenFile> {
        history::recover(&self.path, self.count, &mut self.disk);
        let (file, metadata) = open::open(&self.path)?;
        let (id, mut size) = ((metadata.dev(), metadata.ino()), metadata.len());
        if !self.has_been_open {
            if self.truncate {
                file.set_len(0)?;
                size = 0;
            }
            history::trim(&self.path, &file, id, self.count, &mut self.disk);
        }
        self.has_been_open = true;
        Ok(OpenFile {
            file,
            id,
            size,
            retry_at: 0,
            locked_since: None,
            at_line_start: true,
            torn: false,
        })
    }

    /// Moves the file out of the way, if possible.
    fn rotate(&mut self) {
        let Some(open) = &mut self.file else { return };
        match history::rotate(&self.path, &open.file, open.id, self.count, &mut self.disk) {
            Rotation::Done | Rotation::NotOurs => self.file = None,
            Rotation::InProgress => {
                let since = *open.locked_since.get_or_insert_with(Instant::now);
                self.errors += u64::from(since.elapsed() >= LONG_LOCK);
                open.retry_at = open
                    .size
                    .saturating_add(self.threshold.clamp(1, LOCKED_RETRY));
            }
            Rotation::Failed => {
                self.errors += 1;
                open.locked_since = None;
                open.retry_at = open.size.saturating_add(self.threshold.max(1));
            }
        }
    }

    fn flush_text(&mut self) -> io::Result<()> {
        if !self.pending.is_empty() {
            self.write_pending_with(&[])?;
        }
        self.look_again(); // somebody may have emptied it, and an empty file is never rotated (D17)
        if self.file.as_ref().is_some_and(|file| self.is_due(file)) {
            self.rotate();
            if self.file.is_none() {
                self.file = Some(self.open()?);
            }
        }
        Ok(())
    }
}

impl Write for FileRotator {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut rest = text;
        loop {
            let (done, result) = self.write_text(rest);
            let Err(error) = result else {
                return Ok(text.len());
            };
            self.errors += 1;
            match done {
                // Nothing but the line at which it failed is lost.
                _ if self.ignore_errors => {
                    self.pending.clear(); // its beginning
                    rest = rest.get(end_of_line(rest, done)..).unwrap_or_default();
                }
                0 => return Err(error),
                _ => return Ok(done),
            }
        }
    }

    /// Writes what waits for the end of its line, and rotates the file if it is large enough.
    fn flush(&mut self) -> io::Result<()> {
        match self.flush_text() {
            Err(error) => {
                self.errors += 1;
                if self.ignore_errors {
                    Ok(())
                } else {
                    Err(error)
                }
            }
            Ok(()) => Ok(()),
        }
    }
}

impl Drop for FileRotator {
    fn drop(&mut self) {
        if !self.pending.is_empty() {
            let _ = self.write_pending_with(&[]);
        }
    }
}

impl OpenFile {
    /// Appends text with as few system calls as possible.
    fn append(&mut self, text: &[u8]) -> (Written, io::Result<()>) {
        let (done, result) = match self.torn {
            false => self.write_all(text),
            true => {
                let stitched = [b"\n", text].concat();
                let (done, result) = self.write_all(&stitched);
                self.torn = done == 0;
                (done.saturating_sub(1), result)
            }
        };
        let written = text.get(..done).unwrap_or(text);
        if result.is_ok() {
            self.at_line_start = written.ends_with(b"\n");
            let (lines, bytes) = (done, done);
            return (Written { lines, bytes }, result);
        }
        let lines = written
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |i| i + 1);
        self.torn |= lines < done || (done == 0 && !self.at_line_start);
        self.at_line_start = true;
        (Written { lines, bytes: done }, result)
    }

    fn write_all(&mut self, text: &[u8]) -> (usize, io::Result<()>) {
        let mut done = 0;
        loop {
            let rest = text.get(done..).unwrap_or_default();
            if rest.is_empty() {
                return (done, Ok(()));
            }
            match self.file.write(rest) {
                Ok(0) => return (done, Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    done += count;
                    self.size = self.size.saturating_add(count as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (done, Err(error)),
            }
        }
    }
}

/// Behind the first line break that is not before `from`, or at the end.
fn end_of_line(text: &[u8], from: usize) -> usize {
    let tail = text.get(from..).unwrap_or_default();
    match tail.iter().position(|byte| *byte == b'\n') {
        Some(at) => from + at + 1,
        None => text.len(),
    }
}
