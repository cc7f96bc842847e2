//! A simulated machine that watches what the agent knows and checks each of its commands.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mem_agent::memcg::{Actuator, OptionConfig};
use mem_agent::testing::{Host, MemoryStat, Pressure, Protection, Snapshot, Watch};

use crate::book::Book;
use crate::settings::Settings;
use crate::sim::Simulator;

pub struct Checked {
    pub sim: Simulator,
    book: Mutex<Book>,
}

impl Checked {
    pub fn new(sim: Simulator, settings: Settings) -> Self {
        Self {
            sim,
            book: Mutex::new(Book::new(settings)),
        }
    }

    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the configuration of the agent and of what is expected of it.
    pub fn change(&self, change: &OptionConfig) {
        let Some(memcg) = self.book().memcg.clone() else {
            return;
        };
        let result = memcg.change(change);
        let mut book = self.book();
        book.run.changes += 1;
        match (result, book.settings.changed(change)) {
            (Ok(_), Some(settings)) => book.change(settings),
            (Err(_), None) => {}
            (Err(error), Some(settings))
                if settings.is_enabled()
                    && error.to_string().contains("mglru::host_memcgs_get failed") => {}
            (result, expected) => {
                let what = format!("{change:?} gave {result:?}, but {expected:?} was expected");
                book.violations.push(what);
            }
        }
    }

    /// After each call of the agent.
    fn called(&self) {
        let changes = {
            let mut book = self.book();
            book.calls += 1;
            let number = book.calls;
            book.changes.remove(&number)
        };
        for change in changes.into_iter().flatten() {
            self.second_run_is_refused();
            self.change(&change);
        }
    }

    fn second_run_is_refused(&self) {
        let memcg = self.book().memcg.clone();
        let before = self.sim.machine().counters;
        let result = memcg.map(|mut memcg| memcg.work(&vec![600, 61]));
        if !matches!(result, None | Some(Err(_))) || self.sim.machine().counters != before {
            self.book().violations.push("two runs at once".to_owned());
        }
    }
}

impl Host for Checked {
    fn now(&self) -> Duration {
        self.sim.now()
    }

    fn pause(&self, time: Duration) {
        self.sim.pause(time);
        self.called();
    }

    fn probe(&self, psi_path: &Path, actuator: Actuator) -> anyhow::Result<PathBuf> {
        self.sim.probe(psi_path, actuator)
    }

    fn snapshot(&self, wanted: Option<&HashSet<String>>) -> anyhow::Result<Snapshot> {
        let result = self.sim.snapshot(wanted);
        if let Ok(snapshot) = &result {
            let machine = self.sim.machine();
            match wanted {
                None => self.book().saw_all(snapshot),
                Some(wanted) => self.book().looked(&machine, wanted, snapshot),
            }
        }
        self.called();
        result
    }

    fn command(&self, cmd: &str) -> io::Result<()> {
        self.book().judge(&self.sim.machine(), cmd);
        let result = self.sim.command(cmd);
        if result.is_ok() {
            self.book().obeyed(cmd);
        }
        self.book().written();
        self.called();
        result
    }

    fn commands(&self, cmds: &[&str]) -> io::Result<()> {
        for cmd in cmds {
            self.book().judge(&self.sim.machine(), cmd);
        }
        let result = self.sim.commands(cmds);
        self.book().written();
        self.called();
        result
    }

    fn pressure(&self, psi_dir: &Path, cgroup: &str) -> io::Result<Pressure> {
        self.book().run.asked.insert(cgroup.to_owned());
        let result = self.sim.pressure(psi_dir, cgroup);
        if let Ok(Pressure { total, .. }) = &result
            && total.memory + total.io > 0
        {
            self.book().run.stalled.insert(cgroup.to_owned());
        }
        self.called();
        result
    }

    fn swap_free_kb(&self) -> anyhow::Result<u64> {
        let kb = self.sim.swap_free_kb()?;
        self.book().run.swap_free_kb = Some(kb);
        self.called();
        Ok(kb)
    }

    fn protection(&self, cgroup: &str) -> Option<Protection> {
        self.sim.protection(cgroup)
    }

    fn memory_stat(&self, cgroup: &str) -> Option<MemoryStat> {
        self.sim.memory_stat(cgroup)
    }

    fn memory_current(&self, cgroup: &str) -> Option<u64> {
        self.sim.memory_current(cgroup)
    }

    fn can_reclaim(&self, cgroup: &str) -> bool {
        self.sim.can_reclaim(cgroup)
    }

    fn watch(&self, psi_dir: &Path, cgroup: &str, percent: u8) -> Option<Box<dyn Watch>> {
        self.sim.watch(psi_dir, cgroup, percent)
    }

    fn reclaim(&self, cgroup: &str, bytes: u64, swappiness: Option<u8>) -> io::Result<()> {
        self.book().judge_reclaim(cgroup, bytes, swappiness);
        let result = self.sim.reclaim(cgroup, bytes, swappiness);
        self.called();
        result
    }
}
