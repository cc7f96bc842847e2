//! The files of an [`Env`], by what they tell.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use crate::proc::{MEM_FREE, SWAP_FREE, free_movable_pages, meminfo_kb};
use crate::psi::{IO_PRESSURE, MEMORY_PRESSURE, Pressure, Totals, parse_total};

use super::compactor::HelperProcess;
use super::files::{read_number, read_small};
use super::trigger::Trigger;
use super::{Cancel, CgroupVersion, Env, Running, sys};

/// `CGROUP2_SUPER_MAGIC`.
const CGROUP2_MAGIC: i64 = 0x6367_7270;

/// A machine as both halves see it.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(super) env: Env,
    cancel: Cancel,
}

/// A compaction under way.
pub(crate) struct CompactRun {
    running: Box<dyn Running>,
    /// For waiting, where there are descriptors.
    helper: Option<Arc<super::compactor::Exit>>,
    trigger: Option<Trigger>,
    has_ended: bool,
}

impl Env {
    /// The real system, with cgroups of this version.
    pub(crate) fn of_cgroups(is_v2: bool) -> Self {
        let cgroup = match is_v2 {
            true => CgroupVersion::V2,
            false => CgroupVersion::V1,
        };
        Self {
            cgroup,
            ..Self::default()
        }
    }

    /// Where cgroups are mounted.
    pub(crate) fn cgroup_root(&self) -> PathBuf {
        self.sys_root.join("fs/cgroup")
    }

    /// Where memory cgroups are (L8).
    pub(crate) fn memcg_root(&self) -> Result<PathBuf> {
        let root = self.cgroup_root();
        Ok(if self.is_cgroup_v2()? {
            root
        } else {
            root.join("memory")
        })
    }

    /// N1.
    pub(crate) fn is_cgroup_v2(&self) -> Result<bool> {
        match self.cgroup {
            CgroupVersion::V1 => Ok(false),
            CgroupVersion::V2 => Ok(true),
            CgroupVersion::Auto => {
                let root = self.cgroup_root();
                let magic = sys::file_system_magic(&root)
                    .map_err(|error| anyhow!("statfs {root:?} failed: {error}"))?;
                Ok(magic == CGROUP2_MAGIC)
            }
        }
    }
}

impl Machine {
    pub(crate) fn new(env: Env, cancel: Cancel) -> Self {
        Self { env, cancel }
    }

    pub(crate) fn now(&self) -> Duration {
        self.env.clock.now()
    }

    pub(crate) fn page_size(&self) -> u64 {
        self.env.page_size
    }

    /// The directory to read pressure from (P1).
    pub(crate) fn psi_dir(&self, psi_path: &Path) -> Result<PathBuf> {
        let dir = if !psi_path.as_os_str().is_empty() {
            psi_path.to_owned()
        } else if self.env.is_cgroup_v2()? {
            self.env.cgroup_root()
        } else {
            find_psi_dir(&self.env.cgroup_root())
                .map_err(|error| anyhow!("find_psi_subdirs failed: {error}"))?
        };
        let file = dir.join(MEMORY_PRESSURE);
        fs::File::open(&file).map_err(|error| {
            anyhow!("open file {file:?} failed: {error} (does the kernel have CONFIG_PSI, and psi=1 if needed?)")
        })?;
        Ok(dir)
    }

    /// Stall times of a directory, without its children.
    pub(crate) fn totals(dir: &Path) -> io::Result<Totals> {
        Ok(Totals {
            memory: total(&dir.join(MEMORY_PRESSURE))?,
            io: total(&dir.join(IO_PRESSURE))?,
        })
    }

    /// Stall times of a directory with all below it.
    pub(crate) fn pressure_with_children(dir: &Path) -> io::Result<Pressure> {
        Ok(Pressure {
            total: Self::totals(dir)?,
            children: Vec::new(),
        })
    }

    pub(crate) fn mem_free_kb(&self) -> Result<u64> {
        self.meminfo(MEM_FREE)
    }

    pub(crate) fn swap_free_kb(&self) -> Result<u64> {
        self.meminfo(SWAP_FREE)
    }

    fn meminfo(&self, key: &str) -> Result<u64> {
        let path = self.env.proc_root.join("meminfo");
        read_small(&path, |text| meminfo_kb(text, key))
            .map_err(|error| anyhow!("open file {path:?} failed: {error}"))?
            .with_context(|| format!("parse file {path:?} failed"))
    }

    /// F of C5, in pages.
    pub(crate) fn free_movable_pages(&self, order: u8) -> Result<u64> {
        let path = self.env.proc_root.join("pagetypeinfo");
        let text =
            fs::read(&path).map_err(|error| anyhow!("open file {path:?} failed: {error}"))?;
        Ok(free_movable_pages(&text, order))
    }

    /// The order of the blocks that the balloon reports to the host, if it does.
    pub(crate) fn page_reporting_order(&self) -> Option<u8> {
        let module = self.env.sys_root.join("module/page_reporting");
        let order = read_number(&module.join("parameters/page_reporting_order")).ok()?;
        u8::try_from(order)
            .ok()
            .filter(|order| (1..=30).contains(order))
    }

    /// Starts a compaction.
    pub(crate) fn start_compaction(&self) -> io::Result<CompactRun> {
        if let Some(compactor) = &self.env.compactor {
            return Ok(CompactRun {
                running: compactor.start()?,
                helper: None,
                trigger: None,
                has_ended: false,
            });
        }
        let helper = HelperProcess::new(&self.env.proc_root, &self.env.sys_root);
        let (running, exit) = helper.spawn()?;
        Ok(CompactRun {
            running: Box::new(running),
            helper: Some(exit),
            trigger: None,
            has_ended: false,
        })
    }

    /// Waits for at most `time`, or for the end of the compaction, pressure, or being stopped.
    pub(crate) fn wait(&self, run: &CompactRun, time: Duration) {
        let exit = run.helper.as_ref().and_then(|exit| exit.descriptor());
        let Some(exit) = exit else {
            self.env.clock.sleep(time);
            return;
        };
        let trigger = run.trigger.iter().flat_map(Trigger::descriptors);
        let waits = std::iter::once(exit).chain(self.cancel.descriptor());
        sys::wait_for_any(waits, trigger, time);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.is_raised()
    }
}

impl CompactRun {
    /// Lets pressure of more than `psi_limit` percent in `psi_dir`, and nowhere else, interrupt the
    /// waiting.
    pub(crate) fn heed(&mut self, psi_dir: &Path, psi_limit: u8) {
        self.trigger = match self.helper {
            Some(_) => Trigger::open(psi_dir, psi_limit),
            None => None,
        };
    }

    /// Whether it has ended.
    pub(crate) fn poll(&mut self) -> io::Result<bool> {
        self.has_ended = self.running.poll()?;
        Ok(self.has_ended)
    }

    pub(crate) fn kill(&mut self) -> io::Result<()> {
        self.running.kill()
    }
}

impl Drop for CompactRun {
    /// Whatever has gone wrong: nothing is left running.
    fn drop(&mut self) {
        if !self.has_ended {
            // It may have ended meanwhile.
            let _: io::Result<()> = self.running.kill();
        }
    }
}

fn total(file: &Path) -> io::Result<u64> {
    read_small(file, parse_total)
        .map_err(|error| io::Error::new(error.kind(), format!("{file:?}: {error}")))?
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{file:?}: {error:#}")))
}

/// The first sub-directory, by name, with both pressure files (P1, D34).
fn find_psi_dir(root: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(root).map_err(|error| match error.kind() {
        io::ErrorKind::NotADirectory => anyhow!("{root:?} is not a directory"),
        _ => anyhow!("read directory {root:?} failed: {error}"),
    })?;
    let mut dirs: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    dirs.sort();
    let has = |dir: &Path, file| dir.join(file).is_file();
    dirs.into_iter()
        .find(|dir| has(dir, MEMORY_PRESSURE) && has(dir, IO_PRESSURE))
        .ok_or_else(|| {
            anyhow!(
                "cannot find cpuacct dir in {}/: no directory in it has both {MEMORY_PRESSURE} and {IO_PRESSURE}",
                root.display()
            )
        })
}
