//! After the global logger: slog-scope panics for each record when the guard has been dropped. Alone
//! in its process, as the logger is the process's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod common;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once, mpsc};
use std::time::Duration;

use common::{FakeClock, FakeLru, Machine, compact_off, eager, memcg_config};
use mem_agent::agent::MemAgent;
use mem_agent::env::{Clock, Env, LruGen};
use mem_agent::{compact, memcg};
use slog::{Discard, Logger, o};

/// Once, as a test that did so again would lend its logger to others for a moment.
fn drop_global_logger() {
    static DROPPED: Once = Once::new();
    DROPPED.call_once(|| drop(slog_scope::set_global_logger(Logger::root(Discard, o!()))));
}

/// A change that is made is not told to be refused, and the agent goes on.
#[test]
fn agent_answers_after_the_logger_is_gone() {
    drop_global_logger();
    let machine = Machine::v2();
    let lru = FakeLru::new(&[(19, "/pod7/web", &[(0, 500), (0, 0), (0, 0)])]);
    let (told, begun) = Told::new(lru);
    let env = Env {
        lru_gen: Some(told),
        ..machine.env()
    };
    let (agent, guard) = MemAgent::with_env(env, memcg_config(eager()), compact_off()).unwrap();
    guard.block_on(async {
        let swap = memcg::SingleOptionConfig {
            swap: Some(true),
            ..Default::default()
        };
        let change = memcg::OptionConfig {
            default: swap,
            ..Default::default()
        };
        agent.memcg_set_config_async(change).await.unwrap();
        let change = compact::OptionConfig {
            compact_sec_max: Some(60),
            ..Default::default()
        };
        agent.compact_set_config_async(change).await.unwrap();
        // A run fails with its first record, and its end is a record, too.
        begun
            .recv_timeout(Duration::from_secs(30))
            .expect("a run begins");
        for _ in 0..1000 {
            agent.memcg_status_async().await.unwrap();
            tokio::task::yield_now().await;
        }
    });
}

/// A clock at which the cgroups are gone when the loop of the agent looks at it first.
struct Removing(FakeClock, PathBuf);

impl Clock for Removing {
    fn now(&self) -> Duration {
        if std::thread::current().name() == Some("mem-agent") {
            let _ = fs::rename(&self.1, self.1.with_extension("gone"));
        }
        self.0.now()
    }
}

/// A `lru_gen` that tells when the thread of a run reads it, and counts how often.
struct Told(Arc<FakeLru>, Mutex<mpsc::Sender<()>>, AtomicU64);

impl Told {
    fn new(lru: Arc<FakeLru>) -> (Arc<Self>, mpsc::Receiver<()>) {
        let (sender, receiver) = mpsc::channel();
        let told = Self(lru, Mutex::new(sender), AtomicU64::new(0));
        (Arc::new(told), receiver)
    }
}

impl LruGen for Told {
    fn read(&self) -> io::Result<Vec<u8>> {
        if std::thread::current().name() == Some("mem-agent-work") {
            self.2.fetch_add(1, Ordering::SeqCst);
            let _ = self.1.lock().unwrap().send(());
        }
        self.0.read()
    }

    fn command(&self, cmd: &str) -> io::Result<()> {
        self.0.command(cmd)
    }
}

/// That cgroups cannot be watched is told before a run begins: it begins all the same, and fails once.
#[test]
fn run_begins_although_it_cannot_be_told_that_there_is_nothing_to_watch() {
    drop_global_logger();
    let machine = Machine::v2();
    let lru = FakeLru::new(&[(19, "/pod7/web", &[(0, 500), (0, 0), (0, 0)])]);
    let (told, begun) = Told::new(lru);
    let env = Env {
        clock: Arc::new(Removing(
            FakeClock::default(),
            machine.path("sys/fs/cgroup"),
        )),
        lru_gen: Some(told.clone()),
        ..machine.env()
    };
    let (agent, guard) = MemAgent::with_env(env, memcg_config(eager()), compact_off()).unwrap();
    begun
        .recv_timeout(Duration::from_secs(30))
        .expect("the run begins");
    guard.block_on(async {
        for _ in 0..1000 {
            agent.memcg_status_async().await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(told.2.load(Ordering::SeqCst), 1);
}
