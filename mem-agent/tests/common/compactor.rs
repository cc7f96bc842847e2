//! Compactions of the test.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mem_agent::compact::{Compact, Config};
use mem_agent::env::{Clock, Compactor, Env, Running};

use super::{FakeClock, Machine};

/// What is written to in order to compact.
pub const COMPACT_MEMORY: &str = "proc/sys/vm/compact_memory";

/// Makes [`COMPACT_MEMORY`] a pipe that is full of zeros: a write blocks, as that of a long
/// compaction. Also returns how many there are.
pub fn full_pipe(machine: &Machine) -> (File, usize) {
    machine.remove(COMPACT_MEMORY);
    let path = machine.path(COMPACT_MEMORY);
    let c_path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: the path is NUL-terminated.
    assert_eq!(unsafe { libc::mkfifo(c_path.as_ptr(), 0o600) }, 0);
    let mut pipe = File::options().read(true).write(true).open(path).unwrap();
    // SAFETY: F_SETPIPE_SZ takes a number.
    let size = unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, 4096) };
    let size = usize::try_from(size).unwrap();
    pipe.write_all(&vec![0; size]).unwrap();
    (pipe, size)
}

/// Compactions that end after some looks.
#[derive(Default)]
pub struct FakeCompactor {
    looks: u64,
    pub started: AtomicU64,
    pub polled: Arc<AtomicU64>,
    pub killed: Arc<AtomicU64>,
    pub dropped: Arc<AtomicU64>,
}

struct FakeRun {
    looks: u64,
    polled: Arc<AtomicU64>,
    killed: Arc<AtomicU64>,
    dropped: Arc<AtomicU64>,
}

impl Compactor for FakeCompactor {
    fn start(&self) -> io::Result<Box<dyn Running>> {
        self.started.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(FakeRun {
            looks: self.looks,
            polled: self.polled.clone(),
            killed: self.killed.clone(),
            dropped: self.dropped.clone(),
        }))
    }
}

impl Running for FakeRun {
    fn poll(&mut self) -> io::Result<bool> {
        self.polled.fetch_add(1, Ordering::SeqCst);
        if self.looks == 0 {
            return Ok(true);
        }
        self.looks -= 1;
        Ok(false)
    }

    fn kill(&mut self) -> io::Result<()> {
        self.killed.fetch_add(1, Ordering::SeqCst);
        self.looks = 0;
        Ok(())
    }
}

impl Drop for FakeRun {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

pub fn fake(looks: u64) -> Arc<FakeCompactor> {
    Arc::new(FakeCompactor {
        looks,
        ..Default::default()
    })
}

pub fn start(machine: &Machine, compactor: &Arc<FakeCompactor>, config: Config) -> Compact {
    let env = Env {
        compactor: Some(compactor.clone()),
        ..machine.env()
    };
    Compact::with_env(env, config).unwrap()
}

/// As [`start`], always compacting, with a clock that does `script` whenever it is slept with.
pub fn start_scripted(
    machine: &Machine,
    compactor: &Arc<FakeCompactor>,
    script: impl Fn(u64) + Send + Sync + 'static,
) -> Compact {
    let env = Env {
        compactor: Some(compactor.clone()),
        clock: Arc::new(Scripted(machine.clock.clone(), script)),
        ..machine.env()
    };
    Compact::with_env(env, forced()).unwrap()
}

pub fn forced() -> Config {
    Config {
        compact_force_times: 0,
        ..Default::default()
    }
}

pub fn counts(compactor: &FakeCompactor) -> (u64, u64) {
    (
        compactor.started.load(Ordering::SeqCst),
        compactor.killed.load(Ordering::SeqCst),
    )
}

/// A clock that does something whenever it is slept with.
struct Scripted<F>(Arc<FakeClock>, F);

impl<F: Fn(u64) + Send + Sync> Clock for Scripted<F> {
    fn now(&self) -> Duration {
        self.0.now()
    }

    fn sleep(&self, d: Duration) {
        self.0.sleep(d);
        (self.1)(self.0.now().as_secs() - 1000);
    }
}
