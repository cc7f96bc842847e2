//! The guest's half: an agent in this same program, with a directory as its file system.

mod agent;
mod container;
mod kernel;
mod memory;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use kata_sys_util::{SysRoot, check_kernel_cmd_line};
use protocols::agent::CreateContainerRequest;
use protocols::agent_ttrpc::{AgentServiceClient, create_agent_service};
use slog::{Level, info};
use ttrpc::context;

use crate::journal::{Journal, Record};
use crate::problem::Problem;
use crate::socket::SocketDir;

pub(crate) use self::container::Created;
pub(crate) use self::memory::{Memory, Status};

/// What a guest leaves behind.
pub(crate) struct Report {
    pub(crate) memory: Memory,
    pub(crate) log: Vec<Record>,
}

/// A guest that has booted.
pub(crate) struct Guest {
    address: String,
    memory: Memory,
    server: ttrpc::Server,
    created: Receiver<Created>,
    journal: Journal,
    /// Part of the address.
    _sockets: SocketDir,
}

impl Guest {
    /// Boots: the agent reads its settings from the kernel's command line, starts the memory agent,
    /// and serves its API. Devices are those of `fake_root` if there is one, else of this machine.
    pub(crate) fn boot(
        dir: &Path,
        command_line: &str,
        fake_root: Option<&Path>,
    ) -> Result<Self, Problem> {
        let problem = |e: &dyn std::fmt::Display| Problem::file(dir, format!("no guest: {e}"));
        let proc_dir = dir.join("proc");
        fs::create_dir_all(&proc_dir).map_err(|e| problem(&e))?;
        let cmdline = proc_dir.join("cmdline");
        fs::write(&cmdline, format!("{command_line}\n")).map_err(|e| problem(&e))?;

        let level = log_level(&cmdline).map_err(|e| problem(&e))?;
        let log = dir.join("agent.log");
        let journal =
            Journal::create(&log, "kata-agent", "agent", level).map_err(|e| problem(&e))?;
        info!(journal.logger(), "agent started"; "cmdline" => command_line);

        if let Some(root) = fake_root {
            kernel::copy(root, dir).map_err(|e| problem(&e))?;
        }
        let memory = slog_scope::scope(journal.logger(), || {
            Memory::start(command_line, dir).map_err(|e| Problem::file(&cmdline, e))
        })?;

        let sockets = SocketDir::open(dir).map_err(|e| problem(&e))?;
        let address = format!("unix://{}", sockets.join("agent.sock").display());
        let (done, created) = sync_channel(1);
        let service = agent::Agent {
            dir: dir.to_owned(),
            devices: fake_root.map_or_else(SysRoot::default, SysRoot::under),
            logger: journal.logger().clone(),
            done,
        };
        let server = serve(&address, service).map_err(|e| problem(&format!("{address}: {e}")))?;
        Ok(Self {
            address,
            memory,
            server,
            created,
            journal,
            _sockets: sockets,
        })
    }

    /// Where the agent serves its API.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Sends `request` to the agent at `address`, waits for its answer, and returns what it did.
    pub(crate) fn create_container(
        &self,
        address: &str,
        request: &CreateContainerRequest,
        timeout_ms: u32,
    ) -> Result<Created, Problem> {
        let client = ttrpc::Client::connect(address)
            .map_err(|e| Problem::new(format!("cannot connect to the agent at {address}: {e}")))?;
        let context = context::with_timeout(i64::from(timeout_ms).saturating_mul(1_000_000));
        AgentServiceClient::new(client)
            .create_container(context, request)
            .map_err(|e| match e {
                ttrpc::Error::RpcStatus(status) => status.message,
                other => other.to_string(),
            })
            .map_err(|e| Problem::new(format!("the agent refused the container: {e}")))?;
        self.created
            .try_recv()
            .map_err(|_| Problem::new("the agent answered without having created a container"))
    }

    /// Ends the agent.
    pub(crate) fn shut_down(self) -> Result<Report, Problem> {
        info!(self.journal.logger(), "agent stopped");
        self.server.shutdown();
        Ok(Report {
            memory: self.memory,
            log: self.journal.finish().map_err(Problem::new)?,
        })
    }
}

fn log_level(cmdline: &Path) -> anyhow::Result<Level> {
    let path = cmdline.to_string_lossy();
    let debug = check_kernel_cmd_line(&path, "agent.log", &["debug"])?;
    Ok(if debug { Level::Debug } else { Level::Info })
}

fn serve(address: &str, agent: agent::Agent) -> ttrpc::Result<ttrpc::Server> {
    let mut server = ttrpc::Server::new()
        .bind(address)?
        .register_service(create_agent_service(Arc::new(agent)));
    server.start()?;
    Ok(server)
}

/// Where `path` of the guest is in its directory.
fn inside(dir: &Path, path: &Path) -> PathBuf {
    dir.join(path.strip_prefix("/").unwrap_or(path))
}
