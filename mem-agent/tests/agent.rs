//! The agent as a whole: its loop, its commands, its end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod common;

use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;

use common::{FakeLru, Machine, compact_off, eager, memcg_config, memcg_off, wait};
use mem_agent::agent::MemAgent;
use mem_agent::env::{Compactor, Env, LruGen, Running};
use mem_agent::{compact, memcg};

const LONG: Duration = Duration::from_secs(30);
const COLD: &[(u64, u64)] = &[(1536, 512), (0, 0), (10, 10)];

/// A `lru_gen` that tells of its commands, and obeys them only as long as it is open.
struct Gated {
    lru: Arc<FakeLru>,
    commands: Mutex<mpsc::Sender<String>>,
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Gated {
    fn new(lru: Arc<FakeLru>) -> (Arc<Self>, mpsc::Receiver<String>) {
        let (commands, receiver) = mpsc::channel();
        let gated = Self {
            lru,
            commands: Mutex::new(commands),
            is_open: Mutex::new(false),
            opened: Condvar::new(),
        };
        (Arc::new(gated), receiver)
    }

    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

impl LruGen for Gated {
    fn read(&self) -> io::Result<Vec<u8>> {
        self.lru.read()
    }

    fn command(&self, cmd: &str) -> io::Result<()> {
        let _ = self.commands.lock().unwrap().send(cmd.to_owned());
        let is_open = self.is_open.lock().unwrap();
        drop(
            self.opened
                .wait_while(is_open, |is_open| !*is_open)
                .unwrap(),
        );
        self.lru.command(cmd)
    }
}

/// Compactions that are counted, and told of.
struct Told(Mutex<mpsc::Sender<()>>, AtomicU64);

struct Ended;

impl Compactor for Told {
    fn start(&self) -> io::Result<Box<dyn Running>> {
        self.1.fetch_add(1, Ordering::SeqCst);
        let _ = self.0.lock().unwrap().send(());
        Ok(Box::new(Ended))
    }
}

impl Running for Ended {
    fn poll(&mut self) -> io::Result<bool> {
        Ok(true)
    }

    fn kill(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn told() -> (Arc<Told>, mpsc::Receiver<()>) {
    let (sender, receiver) = mpsc::channel();
    (
        Arc::new(Told(Mutex::new(sender), AtomicU64::new(0))),
        receiver,
    )
}

fn forced() -> compact::Config {
    compact::Config {
        compact_force_times: 0,
        ..Default::default()
    }
}

fn memcg_change(default: memcg::SingleOptionConfig) -> memcg::OptionConfig {
    memcg::OptionConfig {
        default,
        ..Default::default()
    }
}

fn swap(swap: bool) -> memcg::OptionConfig {
    memcg_change(memcg::SingleOptionConfig {
        swap: Some(swap),
        ..Default::default()
    })
}

fn period(period_secs: u64) -> memcg::OptionConfig {
    memcg_change(memcg::SingleOptionConfig {
        period_secs: Some(period_secs),
        ..Default::default()
    })
}

/// What the kata agent does with it.
async fn use_it() -> anyhow::Result<()> {
    let machine = Machine::v2();
    let lru = FakeLru::new(&[(19, "/pod7/web", COLD)]);
    let (agent, guard) =
        MemAgent::with_env(machine.env_with(&lru), memcg_config(eager()), compact_off())?;
    agent.memcg_set_config_async(swap(true)).await?;
    agent
        .compact_set_config_async(compact::OptionConfig {
            compact_order: Some(4),
            ..Default::default()
        })
        .await?;
    assert_eq!(agent.memcg_status_async().await?.len(), 1);
    drop(guard);
    Ok(())
}

/// D1, D2.
#[tokio::test(flavor = "current_thread")]
async fn agent_lives_and_ends_in_a_runtime_of_one_thread() {
    use_it().await.unwrap();
}

/// D1, D2.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agent_lives_and_ends_in_a_runtime_of_several_threads() {
    use_it().await.unwrap();
}

#[test]
fn agent_lives_and_ends_without_a_runtime() {
    wait(use_it()).unwrap();
}

#[test]
fn handle_is_shared_between_threads_and_guard_is_a_runtime() {
    fn is_shared<T: Clone + Send + Sync + std::fmt::Debug + 'static>(_: &T) {}
    let (agent, guard) = MemAgent::new(memcg_off(), compact_off()).unwrap();
    is_shared(&agent);
    let runtime: &tokio::runtime::Runtime = &guard;
    runtime
        .block_on(agent.clone().memcg_status_async())
        .unwrap();
}

/// D3.
#[test]
fn abandoned_replies_do_not_end_the_loop() {
    let (agent, _guard) = MemAgent::new(memcg_off(), compact_off()).unwrap();
    for _ in 0..20 {
        let mut futures: [std::pin::Pin<Box<dyn Future<Output = ()>>>; 3] = [
            Box::pin(async { drop(agent.memcg_status_async().await) }),
            Box::pin(async { drop(agent.memcg_set_config_async(swap(true)).await) }),
            Box::pin(async {
                drop(
                    agent
                        .compact_set_config_async(compact::OptionConfig::default())
                        .await,
                )
            }),
        ];
        for future in &mut futures {
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            // Sends the command, and goes away.
            let _ = future.as_mut().poll(&mut context);
        }
    }
    assert!(wait(agent.memcg_status_async()).unwrap().is_empty());
    wait(agent.memcg_set_config_async(swap(false))).unwrap();
}

/// A6.
#[test]
fn agent_goes_on_without_handles() {
    let machine = Machine::v2();
    let (told, starts) = told();
    let env = Env {
        compactor: Some(told),
        clock: Env::default().clock,
        ..machine.env()
    };
    let config = compact::Config {
        period_secs: 1,
        ..forced()
    };
    let (agent, guard) = MemAgent::with_env(env, memcg_off(), config).unwrap();
    drop(agent);
    for _ in 0..3 {
        starts.recv_timeout(LONG).unwrap();
    }
    drop(guard);
    while starts.recv_timeout(LONG).is_ok() {}
}

/// D4, D30: commands are answered during a run, and none of them starts a second one.
#[test]
fn commands_are_answered_during_a_run() {
    let machine = Machine::v2();
    let (gated, commands) = Gated::new(FakeLru::new(&[(19, "/pod7/web", COLD)]));
    let env = Env {
        lru_gen: Some(gated.clone()),
        ..machine.env()
    };
    let (agent, _guard) = MemAgent::with_env(env, memcg_config(eager()), compact_off()).unwrap();
    assert_eq!(commands.recv_timeout(LONG).unwrap(), "+ 19 0 7 0 1");
    for n in 0..10 {
        assert_eq!(wait(agent.memcg_status_async()).unwrap().len(), 1);
        wait(agent.memcg_set_config_async(period(60 + n))).unwrap();
        wait(agent.compact_set_config_async(compact::OptionConfig {
            period_secs: Some(n),
            ..Default::default()
        }))
        .unwrap();
        let refused = memcg::OptionConfig {
            set: vec![memcg::CgroupOptionConfig::default()],
            ..Default::default()
        };
        let error = wait(agent.memcg_set_config_async(refused)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "mem_agent thread memcg_set_config_async failed: path / numa_id [] not exists"
        );
    }
    assert!(
        commands.try_recv().is_err(),
        "the run is still at its first command"
    );
    gated.open();
    // It goes on with the new period: its members have moved, and are due once more.
    assert!(commands.recv_timeout(LONG).unwrap().starts_with("- 19 "));
    let next = commands
        .iter()
        .find(|command| command.starts_with('+'))
        .unwrap();
    assert!(next.starts_with("+ 19 "), "{next}");
}

/// D7, D5.
#[test]
fn failure_or_panic_of_one_half_leaves_the_other_alone() {
    let failures: [fn() -> io::Result<()>; 2] =
        [|| Err(io::Error::other("no")), || panic!("as if")];
    for failure in failures {
        struct Failing(Arc<FakeLru>, AtomicU64, fn() -> io::Result<()>);
        impl LruGen for Failing {
            fn read(&self) -> io::Result<Vec<u8>> {
                if self.1.fetch_add(1, Ordering::SeqCst) > 0 {
                    (self.2)()?;
                }
                self.0.read()
            }

            fn command(&self, _: &str) -> io::Result<()> {
                unreachable!("no run gets this far")
            }
        }
        let machine = Machine::v2();
        let (told, starts) = told();
        let failing = Arc::new(Failing(
            FakeLru::new(&[(19, "/pod7/web", COLD)]),
            AtomicU64::new(0),
            failure,
        ));
        let env = Env {
            compactor: Some(told),
            lru_gen: Some(failing.clone()),
            clock: Env::default().clock,
            ..machine.env()
        };
        let memcg = memcg_config(memcg::SingleConfig {
            period_secs: 1,
            ..eager()
        });
        let compact = compact::Config {
            period_secs: 1,
            ..forced()
        };
        let (agent, _guard) = MemAgent::with_env(env, memcg, compact).unwrap();
        for _ in 0..3 {
            starts.recv_timeout(LONG).unwrap();
        }
        // Once at the construction, once in the run; then it rests for 300 s.
        assert_eq!(failing.1.load(Ordering::SeqCst), 2);
        assert_eq!(wait(agent.memcg_status_async()).unwrap().len(), 1);
    }
}

/// D6: a deadline is absolute, whatever comes in between.
#[test]
fn commands_neither_delay_runs_nor_hasten_them() {
    let machine = Machine::v2();
    let (told, starts) = told();
    let env = Env {
        compactor: Some(told.clone()),
        clock: Env::default().clock,
        ..machine.env()
    };
    let config = compact::Config {
        period_secs: 1,
        ..forced()
    };
    let begin = std::time::Instant::now();
    let (agent, _guard) = MemAgent::with_env(env, memcg_off(), config).unwrap();
    let (mut commands, mut runs) = (0, 0);
    while runs < 3 {
        wait(agent.memcg_status_async()).unwrap();
        wait(agent.compact_set_config_async(compact::OptionConfig {
            compact_sec_max: Some(commands),
            ..Default::default()
        }))
        .unwrap();
        commands += 1;
        runs += starts.try_iter().count() as u64;
        assert!(begin.elapsed() < LONG, "{runs} runs");
        std::thread::yield_now();
    }
    let runs = told.1.load(Ordering::SeqCst);
    assert!(runs <= 1 + begin.elapsed().as_secs(), "{runs} runs");
    assert!(commands > 3, "{commands} commands");
}

/// D33: refused with the reason, and nothing of the change is made.
#[test]
fn pressure_directory_that_cannot_be_used_is_the_answer() {
    let machine = Machine::v2();
    let (agent, _guard) = MemAgent::with_env(
        machine.env(),
        memcg_off(),
        compact::Config {
            period_secs: u64::MAX,
            ..Default::default()
        },
    )
    .unwrap();
    let change = |name: &str| compact::OptionConfig {
        psi_path: Some(machine.path(name)),
        ..Default::default()
    };
    let refused = wait(agent.compact_set_config_async(change("sys/fs/cgroup/none")));
    let error = refused.unwrap_err().to_string();
    let expected =
        "mem_agent thread compact_set_config_async failed: psi::check failed: open file \"";
    assert!(error.starts_with(expected), "{error}");
    wait(agent.compact_set_config_async(change("sys/fs/cgroup/pod7"))).unwrap();
}

/// D31.
#[test]
fn dropping_the_guard_stops_a_running_eviction() {
    let machine = Machine::v2();
    let lru = FakeLru::new(&[(19, "/pod7/web", &[(0, 1 << 40), (0, 0), (0, 0)])]);
    let (gated, commands) = Gated::new(lru);
    gated.open();
    // The fake clock does not wait, so only the drop ends this within a useful time.
    let memcg = memcg_config(memcg::SingleConfig {
        period_secs: u64::MAX / 4,
        ..eager()
    });
    let env = Env {
        lru_gen: Some(gated),
        ..machine.env()
    };
    let (agent, guard) = MemAgent::with_env(env, memcg, compact_off()).unwrap();
    for _ in 0..20 {
        commands.recv_timeout(LONG).unwrap();
    }
    drop(guard);
    // The sender is gone with the threads of the agent.
    while commands.recv_timeout(LONG).is_ok() {}
    let error = wait(agent.memcg_status_async()).unwrap_err().to_string();
    assert!(error.starts_with("send_cmd failed: "), "{error}");
}

#[test]
fn ended_agent_says_so() {
    let (agent, guard) = MemAgent::new(memcg_off(), compact_off()).unwrap();
    drop(guard);
    let errors = [
        wait(agent.memcg_status_async()).map(drop).unwrap_err(),
        wait(agent.memcg_set_config_async(swap(true))).unwrap_err(),
        wait(agent.compact_set_config_async(compact::OptionConfig::default())).unwrap_err(),
    ];
    for error in errors {
        let error = error.to_string();
        assert!(
            error.starts_with("send_cmd failed: cmd_tx.send cmd failed: ")
                || error.starts_with("send_cmd failed: ret_rx.recv failed: "),
            "{error}"
        );
    }
}

/// D18, spec 7.3.
#[test]
fn new_cgroup_is_found_at_once() {
    let machine = Machine::v2();
    let lru = FakeLru::new(&[]);
    let (gated, commands) = Gated::new(lru.clone());
    gated.open();
    let env = Env {
        lru_gen: Some(gated),
        clock: Env::default().clock,
        ..machine.env()
    };
    let (_agent, _guard) = MemAgent::with_env(env, memcg_config(eager()), compact_off()).unwrap();
    lru.set(77, "/new", COLD);
    // A cgroup has all of its files from the begin.
    machine.cgroup("../staging", 0, 0);
    let (staging, new) = (
        machine.path("sys/fs/staging"),
        machine.path("sys/fs/cgroup/new"),
    );
    loop {
        std::fs::rename(&staging, &new).unwrap();
        if let Ok(command) = commands.recv_timeout(Duration::from_secs(3)) {
            assert_eq!(command, "+ 77 0 7 0 1");
            return;
        }
        // The watch had not begun.
        std::fs::rename(&new, &staging).unwrap();
    }
}

/// D9.
#[test]
fn extreme_periods_neither_spin_nor_panic() {
    let machine = Machine::v2();
    let lru = FakeLru::new(&[(19, "/pod7/web", COLD)]);
    let (told, starts) = told();
    let env = Env {
        lru_gen: Some(lru.clone()),
        compactor: Some(told.clone()),
        clock: Env::default().clock,
        ..machine.env()
    };
    let memcg = memcg_config(memcg::SingleConfig {
        period_secs: 9_000_000_000_000,
        ..Default::default()
    });
    let compact = compact::Config {
        period_secs: u64::MAX,
        ..forced()
    };
    let (agent, _guard) = MemAgent::with_env(env, memcg, compact).unwrap();
    starts.recv_timeout(LONG).unwrap();
    for period_secs in [10_000_000_000_000, u64::MAX, 0] {
        wait(agent.memcg_set_config_async(period(period_secs))).unwrap();
        wait(agent.compact_set_config_async(compact::OptionConfig {
            period_secs: Some(period_secs),
            ..Default::default()
        }))
        .unwrap();
    }
    let begin = std::time::Instant::now();
    starts.recv_timeout(LONG).unwrap();
    starts.recv_timeout(LONG).unwrap();
    let runs = told.1.load(Ordering::SeqCst);
    assert!(runs <= 3 + begin.elapsed().as_secs(), "{runs} runs");
}
