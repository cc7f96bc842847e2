//! Cgroups that come and go, by [inotify(7)](https://man7.org/linux/man-pages/man7/inotify.7.html).
//!
//! One thread that sleeps until there is an event: no wake-ups while nothing happens.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::{Cancel, sys};

/// Each costs the kernel about 1 KiB. Cgroups beyond that are found with the next run.
const MOST_WATCHES: usize = 8192;
/// Little is on the stack.
const STACK_SIZE: usize = 128 * 1024;
/// Size of an event without its name.
const EVENT_HEAD: usize = 16;

/// Watches a tree of cgroups.
pub(crate) struct CgroupWatch {
    inotify: File,
    directories: HashMap<i32, PathBuf>,
}

impl CgroupWatch {
    /// Calls `on_change` after cgroups at or below `root` have come or gone, until `cancel` is raised
    /// or `on_change` returns false.
    ///
    /// # Errors
    ///
    /// There is no inotify, no such directory, or no thread.
    pub(crate) fn start(
        root: &Path,
        cancel: Cancel,
        on_change: impl FnMut() -> bool + Send + 'static,
    ) -> io::Result<()> {
        let mut watch = Self {
            inotify: sys::inotify()?.into(),
            directories: HashMap::new(),
        };
        watch.add_tree(root.to_owned())?;
        thread::Builder::new()
            .name("mem-agent-watch".to_owned())
            .stack_size(STACK_SIZE)
            .spawn(move || watch.run(&cancel, on_change))?;
        Ok(())
    }

    fn run(mut self, cancel: &Cancel, mut on_change: impl FnMut() -> bool) {
        while !cancel.is_raised() {
            let inotify = self.inotify.as_fd();
            let waits = std::iter::once(inotify).chain(cancel.descriptor());
            sys::wait_for_any(waits, std::iter::empty(), Duration::MAX);
            if self.take_events() && !cancel.is_raised() && !on_change() {
                return;
            }
        }
    }

    /// True if a directory has come or gone.
    fn take_events(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let mut has_changed = false;
        loop {
            let count = match (&self.inotify).read(&mut buffer) {
                Ok(0) => return has_changed,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return has_changed,
            };
            let mut rest = buffer.get(..count).unwrap_or_default();
            while let Some((event, next)) = Event::parse(rest) {
                rest = next;
                has_changed |= self.take(&event);
            }
        }
    }

    fn take(&mut self, event: &Event<'_>) -> bool {
        if event.mask & libc::IN_Q_OVERFLOW != 0 {
            let directories: Vec<PathBuf> = self.directories.values().cloned().collect();
            for directory in directories {
                // It may be gone.
                let _: io::Result<()> = self.add_tree(directory);
            }
            return true;
        }
        if event.mask & libc::IN_IGNORED != 0 {
            self.directories.remove(&event.watch);
            return false;
        }
        if event.mask & libc::IN_ISDIR == 0 {
            return false;
        }
        if event.mask & (libc::IN_CREATE | libc::IN_MOVED_TO) != 0
            && let Some(parent) = self.directories.get(&event.watch)
        {
            let directory = parent.join(event.name());
            // It may be gone.
            let _: io::Result<()> = self.add_tree(directory);
        }
        true
    }

    /// Watches a directory first, then looks into it: what is made meanwhile is found either way.
    fn add_tree(&mut self, root: PathBuf) -> io::Result<()> {
        let mut result = Ok(());
        let mut pending = vec![root];
        let mut is_first = true;
        while let Some(directory) = pending.pop() {
            if self.directories.len() >= MOST_WATCHES {
                break;
            }
            match sys::watch_directory(self.inotify.as_fd(), &directory) {
                Ok(watch) => {
                    pending.extend(sub_directories(&directory));
                    self.directories.insert(watch, directory);
                }
                Err(error) if is_first => result = Err(error),
                Err(_) => {}
            }
            is_first = false;
        }
        result
    }
}

fn sub_directories(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.map(|entry| entry.path()).collect()
}

/// `struct inotify_event`.
struct Event<'a> {
    watch: i32,
    mask: u32,
    padded_name: &'a [u8],
}

impl<'a> Event<'a> {
    fn parse(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (head, rest) = bytes.split_first_chunk::<EVENT_HEAD>()?;
        let word = |start: usize| {
            let bytes = head.get(start..)?.first_chunk::<4>()?;
            Some(u32::from_ne_bytes(*bytes))
        };
        let length = usize::try_from(word(12)?).ok()?;
        let (padded_name, rest) = rest.split_at_checked(length)?;
        let event = Self {
            watch: word(0)?.cast_signed(),
            mask: word(4)?,
            padded_name,
        };
        Some((event, rest))
    }

    fn name(&self) -> &'a std::ffi::OsStr {
        use std::os::unix::ffi::OsStrExt;
        let end = self.padded_name.iter().position(|b| *b == 0);
        let name = end.and_then(|end| self.padded_name.get(..end));
        std::ffi::OsStr::from_bytes(name.unwrap_or(self.padded_name))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn directories_that_come_and_go_are_noticed_at_any_depth() {
        let root = tempfile::tempdir().unwrap();
        let old = root.path().join("pod1");
        fs::create_dir(&old).unwrap();
        let cancel = Cancel::new();
        let (tx, rx) = mpsc::channel();
        CgroupWatch::start(root.path(), cancel.clone(), move || tx.send(()).is_ok()).unwrap();
        let deadline = Duration::from_secs(20);
        let drain = || while rx.try_recv().is_ok() {};

        fs::create_dir(old.join("web")).unwrap();
        rx.recv_timeout(deadline).unwrap();
        drain();
        fs::create_dir_all(root.path().join("pod2/db/deep")).unwrap();
        rx.recv_timeout(deadline).unwrap();
        drain();
        fs::create_dir(root.path().join("pod2/db/deep/er")).unwrap();
        rx.recv_timeout(deadline).unwrap();
        fs::remove_dir_all(root.path().join("pod2")).unwrap();
        rx.recv_timeout(deadline).unwrap();

        cancel.raise();
        // The thread ends, and with it the sender.
        while rx.recv_timeout(deadline).is_ok() {}
        assert_eq!(rx.try_recv(), Err(mpsc::TryRecvError::Disconnected));
    }

    #[test]
    fn missing_root_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let missing = root.path().join("none");
        assert!(CgroupWatch::start(&missing, Cancel::new(), || true).is_err());
    }

    #[test]
    fn cut_events_are_none() {
        assert!(Event::parse(&[0; 15]).is_none());
        let mut event = [0_u8; 20];
        event[12] = 5;
        assert!(Event::parse(&event).is_none());
        event[12] = 4;
        event[16] = b'x';
        let (event, rest) = Event::parse(&event).unwrap();
        assert_eq!((event.name(), rest.len()), ("x".as_ref(), 0));
    }
}
