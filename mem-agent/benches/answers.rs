//! How soon the status and changes of the configuration are answered while a run of very many cgroups
//! is under way (spec 3.3: within 50 ms). The kernel has 65 535 memory cgroups at most.
//!
//! Of the machine, only the list of cgroups is there: the run is nothing but the work of the agent
//! itself, which is what an answer can have to wait for.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    reason = "benchmark"
)]

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mem_agent::memcg::{Actuator, Config, MemCG, OptionConfig};
use mem_agent::testing::{Host, NodeLook, Pressure, Snapshot};

/// Cgroups that are only seen.
struct Crowd {
    paths: Vec<String>,
    began: Instant,
}

impl Host for Crowd {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn pause(&self, _time: Duration) {}

    fn probe(&self, psi_path: &Path, _actuator: Actuator) -> anyhow::Result<PathBuf> {
        Ok(psi_path.to_owned())
    }

    fn snapshot(&self, wanted: Option<&HashSet<String>>) -> anyhow::Result<Snapshot> {
        let mut snapshot = Snapshot::new(self.now());
        for (path, id) in self.paths.iter().zip(1..) {
            if wanted.is_some_and(|wanted| !wanted.contains(path)) {
                continue;
            }
            let node = |node| NodeLook {
                node,
                max_seq: 3,
                youngest_age_ms: 120_000,
                ..NodeLook::default()
            };
            snapshot.push(path, id, id, (0..2).map(node));
        }
        Ok(snapshot)
    }

    fn command(&self, _cmd: &str) -> io::Result<()> {
        Ok(())
    }

    fn pressure(&self, _psi_dir: &Path, _cgroup: &str) -> io::Result<Pressure> {
        Ok(Pressure::default())
    }

    fn swap_free_kb(&self) -> anyhow::Result<u64> {
        Ok(0)
    }
}

/// Median and longest time of many answers.
fn times(mut answer: impl FnMut(u8), count: u8) -> (Duration, Duration) {
    let mut times: Vec<Duration> = (0..count)
        .map(|number| {
            let begin = Instant::now();
            answer(number);
            begin.elapsed()
        })
        .collect();
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() - 1])
}

fn measure(cgroups: usize, count: u8) {
    let crowd = Crowd {
        paths: (0..cgroups)
            .map(|n| format!("/kubepods/pod{}/container-{n}", n / 10))
            .collect(),
        began: Instant::now(),
    };
    let memcg = MemCG::with_host(Arc::new(crowd), Config::default()).unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let mut running = memcg.clone();
        let is_over = &is_over;
        let runs = scope.spawn(move || {
            let mut runs = 0;
            while !is_over.load(Ordering::Relaxed) {
                running.work(&vec![600]).unwrap();
                runs += 1;
            }
            runs
        });
        let status = times(|_| drop(memcg.status()), count);
        let change = times(
            |number| {
                let mut change = OptionConfig::default();
                change.default.swappiness_max = Some(number);
                // Between two runs it also looks for cgroups.
                drop(memcg.change(&change));
            },
            count,
        );
        is_over.store(true, Ordering::Relaxed);
        let runs = runs.join().unwrap();
        println!(
            "{cgroups:6} cgroups, {runs} runs: status {:?}, longest {:?}; change {:?}, longest {:?}",
            status.0, status.1, change.0, change.1
        );
    });
}

fn main() {
    if std::env::args().any(|arg| arg == "--bench") {
        for cgroups in [100, 1_000, 10_000, 65_535] {
            measure(cgroups, 200);
        }
    } else {
        measure(100, 3);
    }
}
