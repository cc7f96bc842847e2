//! Cgroups that come and go, by [inotify(7)](https://man7.org/linux/man-pages/man7/inotify.7.html).
//!
//! One thread that sleeps until there is an event: no wake-ups while nothing happens.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Read};
use std::iter;
use std::ops::Bound;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::{Cancel, sys};

/// Each costs the kernel about 1 KiB. Cgroups beyond that are found with the next run.
const MOST_WATCHES: usize = 8192;
/// Little is on the stack.
const STACK_SIZE: usize = 128 * 1024;
/// Reads of events after which others get their turn: a container may make cgroups without end.
const READS_AT_ONCE: usize = 4;
/// After events, the next ones may collect for this long.
const PAUSE: Duration = Duration::from_millis(100);
/// Size of an event without its name.
const EVENT_HEAD: usize = 16;

/// Watches a tree of cgroups.
pub(crate) struct CgroupWatch {
    root: PathBuf,
    inotify: File,
    directories: HashMap<i32, Arc<Path>>,
    /// The same, by path: what is below a directory follows it.
    watches: BTreeMap<Arc<Path>, i32>,
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
        let watch = Self::of(root)?;
        thread::Builder::new()
            .name("mem-agent-watch".to_owned())
            .stack_size(STACK_SIZE)
            .spawn(move || watch.run(&cancel, on_change))?;
        Ok(())
    }

    fn of(root: &Path) -> io::Result<Self> {
        let mut watch = Self {
            root: root.to_owned(),
            inotify: sys::inotify()?.into(),
            directories: HashMap::new(),
            watches: BTreeMap::new(),
        };
        watch.add_tree(root.to_owned())?;
        Ok(watch)
    }

    fn run(mut self, cancel: &Cancel, mut on_change: impl FnMut() -> bool) {
        while !cancel.is_raised() {
            let inotify = self.inotify.as_fd();
            let stop = cancel.descriptor();
            // Without a descriptor, nothing else would end the wait.
            let time = stop.map_or(Duration::from_secs(1), |_| Duration::MAX);
            let waits = iter::once(inotify).chain(stop);
            sys::wait_for_any(waits, iter::empty(), time);
            if self.take_events() && !cancel.is_raised() && !on_change() {
                return;
            }
            sys::wait_for_any(cancel.descriptor().into_iter(), iter::empty(), PAUSE);
        }
    }

    /// True if a directory has come or gone.
    fn take_events(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let mut has_changed = false;
        for _ in 0..READS_AT_ONCE {
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
        has_changed
    }

    fn take(&mut self, event: &Event<'_>) -> bool {
        if event.mask & libc::IN_Q_OVERFLOW != 0 {
            // What has come and gone is unknown.
            let root = self.root.clone();
            self.forget_tree(&root);
            let _: io::Result<()> = self.add_tree(root);
            return true;
        }
        if event.mask & libc::IN_IGNORED != 0 {
            self.forget(event.watch);
            return false;
        }
        if event.mask & libc::IN_ISDIR == 0 {
            return false;
        }
        let Some(parent) = self.directories.get(&event.watch) else {
            return true;
        };
        let directory = parent.join(event.name());
        if event.mask & (libc::IN_DELETE | libc::IN_MOVED_FROM) != 0 {
            self.forget_tree(&directory);
        } else {
            // It may be gone.
            let _: io::Result<()> = self.add_tree(directory);
        }
        true
    }

    /// Ends the watches of a directory that is gone, and of those below it. The kernel does so itself
    /// in other file systems, but not in that of cgroups, and keeps what is watched.
    fn forget_tree(&mut self, root: &Path) {
        let from_root = (Bound::Included(root), Bound::Unbounded);
        let below = self.watches.range::<Path, _>(from_root);
        let below = below.take_while(|(directory, _)| directory.starts_with(root));
        let gone: Vec<i32> = below.map(|(_, watch)| *watch).collect();
        for watch in gone {
            self.forget(watch);
            sys::unwatch(self.inotify.as_fd(), watch);
        }
    }

    fn forget(&mut self, watch: i32) {
        if let Some(directory) = self.directories.remove(&watch)
            && self.watches.get(&directory) == Some(&watch)
        {
            self.watches.remove(&directory);
        }
    }

    fn remember(&mut self, watch: i32, directory: PathBuf) {
        let directory: Arc<Path> = directory.into();
        self.directories.insert(watch, Arc::clone(&directory));
        let old = self.watches.insert(directory, watch);
        if let Some(old) = old.filter(|old| *old != watch) {
            // Of a directory that is gone, with the same path.
            self.directories.remove(&old);
            sys::unwatch(self.inotify.as_fd(), old);
        }
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
                    self.remember(watch, directory);
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
    use std::os::fd::AsRawFd;
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

    /// How many directories the kernel watches.
    fn watched(watch: &CgroupWatch) -> usize {
        let info = format!("/proc/self/fdinfo/{}", watch.inotify.as_raw_fd());
        let info = fs::read_to_string(info).unwrap();
        info.matches("inotify wd:").count()
    }

    #[test]
    fn directories_that_are_gone_are_no_longer_watched() {
        let root = tempfile::tempdir().unwrap();
        let (pod, web) = (root.path().join("pod"), root.path().join("pod/web"));
        fs::create_dir_all(&web).unwrap();
        let mut watch = CgroupWatch::of(root.path()).unwrap();
        assert_eq!((watch.directories.len(), watched(&watch)), (3, 3));
        // As long as they are open, the kernel keeps them, as it does cgroups.
        let _open = [File::open(&pod).unwrap(), File::open(&web).unwrap()];
        fs::remove_dir_all(&pod).unwrap();
        assert!(watch.take_events());
        assert_eq!((watch.directories.len(), watched(&watch)), (1, 1));

        fs::create_dir(&pod).unwrap();
        assert!(watch.take_events());
        assert_eq!((watch.directories.len(), watched(&watch)), (2, 2));
    }

    #[test]
    fn all_is_looked_for_after_events_were_lost() {
        let root = tempfile::tempdir().unwrap();
        let gone = root.path().join("gone");
        fs::create_dir(&gone).unwrap();
        let mut watch = CgroupWatch::of(root.path()).unwrap();
        let _open = File::open(&gone).unwrap();
        fs::remove_dir(&gone).unwrap();
        fs::create_dir_all(root.path().join("pod1/web")).unwrap();
        let lost = Event {
            watch: -1,
            mask: libc::IN_Q_OVERFLOW,
            padded_name: b"",
        };
        assert!(watch.take(&lost));
        assert_eq!(watched(&watch), 3);
        let mut known: Vec<_> = watch.directories.into_values().collect();
        known.sort();
        let expected = ["", "pod1", "pod1/web"].map(|name| root.path().join(name).into());
        assert_eq!(known, expected);
    }

    /// As long as somebody makes directories, there are events.
    #[test]
    fn events_are_taken_in_parts() {
        let root = tempfile::tempdir().unwrap();
        let mut watch = CgroupWatch::of(root.path()).unwrap();
        for n in 0..600 {
            fs::create_dir(root.path().join(n.to_string())).unwrap();
        }
        assert!(watch.take_events());
        let first = watch.directories.len();
        assert!((300..600).contains(&first), "{first}");
        while watch.take_events() {}
        assert_eq!((watch.directories.len(), watch.watches.len()), (601, 601));
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
