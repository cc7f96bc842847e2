//! The memory agent (`mem-agent`), configured by the kernel parameters `agent.mem_agent_*`, which
//! `kata-types` makes of the table `mem_agent`.

use std::path::Path;

use mem_agent::agent::MemAgent;
use mem_agent::env::{CgroupVersion, Env};
use mem_agent::{compact, memcg};
use slog::{info, warn};

const PREFIX: &str = "agent.mem_agent_";

/// What became of the memory agent.
#[derive(Debug)]
pub(crate) struct Memory {
    /// How memory is to be reclaimed.
    pub(crate) reclaim: memcg::Config,
    /// How memory is to be compacted.
    pub(crate) compact: compact::Config,
    pub(crate) status: Status,
}

#[derive(Debug)]
pub(crate) enum Status {
    /// The configuration does not ask for it.
    Off,
    /// It works on so many cgroups.
    Running(usize),
    /// It cannot work: what the guest's kernel lacks.
    Missing(String),
}

impl Memory {
    /// Starts a memory agent on the kernel whose files are in `guest`, and asks it what it manages.
    /// It ends before this returns.
    pub(super) fn start(command_line: &str, guest: &Path) -> Result<Self, String> {
        let mut memory = Self {
            reclaim: memcg::Config::default(),
            compact: compact::Config::default(),
            status: Status::Off,
        };
        let mut enabled = false;
        for word in command_line.split_whitespace() {
            let Some((key, value)) = word.strip_prefix(PREFIX).and_then(|w| w.split_once('='))
            else {
                continue;
            };
            match key {
                "enable" => enabled = matches!(value, "1" | "true"),
                _ => memory
                    .set(key, value)
                    .ok_or(format!("{word}: not a setting of the memory agent"))?,
            }
        }
        if enabled {
            memory.status = memory.run(guest);
        }
        Ok(memory)
    }

    fn run(&self, guest: &Path) -> Status {
        let logger = slog_scope::logger();
        match self.managed_cgroups(guest) {
            Ok(cgroups) => {
                info!(logger, "memory agent started"; "cgroups" => cgroups);
                Status::Running(cgroups)
            }
            Err(error) => {
                warn!(logger, "no memory agent"; "reason" => format!("{error:#}"));
                Status::Missing(format!("{error:#}"))
            }
        }
    }

    fn managed_cgroups(&self, guest: &Path) -> anyhow::Result<usize> {
        let sys_root = guest.join("sys");
        // A directory never looks like a cgroup file system, so its files have to tell.
        let is_v2 = sys_root.join("fs/cgroup/cgroup.controllers").exists();
        let env = Env {
            proc_root: guest.join("proc"),
            sys_root,
            cgroup: if is_v2 {
                CgroupVersion::V2
            } else {
                CgroupVersion::V1
            },
            ..Env::default()
        };
        let (agent, _guard) = MemAgent::with_env(env, self.reclaim.clone(), self.compact.clone())?;
        let executor = tokio::runtime::Builder::new_current_thread().build()?;
        Ok(executor.block_on(agent.memcg_status_async())?.len())
    }

    /// `None` for an unknown key or a value of the wrong type.
    fn set(&mut self, key: &str, value: &str) -> Option<()> {
        let Self {
            reclaim: memcg::Config {
                default: reclaim, ..
            },
            compact,
            ..
        } = self;
        match key {
            "memcg_disable" => assign(&mut reclaim.disabled, value),
            "memcg_swap" => assign(&mut reclaim.swap, value),
            "memcg_swappiness_max" => assign(&mut reclaim.swappiness_max, value),
            "memcg_period_secs" => assign(&mut reclaim.period_secs, value),
            "memcg_period_psi_percent_limit" => {
                assign(&mut reclaim.period_psi_percent_limit, value)
            }
            "memcg_eviction_psi_percent_limit" => {
                assign(&mut reclaim.eviction_psi_percent_limit, value)
            }
            "memcg_eviction_run_aging_count_min" => {
                assign(&mut reclaim.eviction_run_aging_count_min, value)
            }
            "compact_disable" => assign(&mut compact.disabled, value),
            "compact_period_secs" => assign(&mut compact.period_secs, value),
            "compact_period_psi_percent_limit" => {
                assign(&mut compact.period_psi_percent_limit, value)
            }
            "compact_psi_percent_limit" => assign(&mut compact.compact_psi_percent_limit, value),
            "compact_sec_max" => assign(&mut compact.compact_sec_max, value),
            "compact_order" => assign(&mut compact.compact_order, value),
            "compact_threshold" => assign(&mut compact.compact_threshold, value),
            "compact_force_times" => assign(&mut compact.compact_force_times, value),
            _ => None,
        }
    }
}

fn assign<T: std::str::FromStr>(field: &mut T, value: &str) -> Option<()> {
    *field = value.parse().ok()?;
    Some(())
}
