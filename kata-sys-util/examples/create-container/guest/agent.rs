//! The agent's API (`protocols::agent_ttrpc`). Methods that are not here answer "not supported".

use std::path::PathBuf;
use std::sync::mpsc::SyncSender;

use kata_sys_util::SysRoot;
use protocols::agent::CreateContainerRequest;
use protocols::agent_ttrpc::AgentService;
use protocols::empty::Empty;
use slog::{Logger, error, info};
use ttrpc::proto::Code;

use super::container::{self, Created};

pub(super) struct Agent {
    /// The guest's file system.
    pub(super) dir: PathBuf,
    /// Where device nodes and sysfs are.
    pub(super) devices: SysRoot,
    pub(super) logger: Logger,
    /// Takes what was created, for the summary.
    pub(super) done: SyncSender<Created>,
}

impl AgentService for Agent {
    fn create_container(
        &self,
        _ctx: &ttrpc::TtrpcContext,
        request: CreateContainerRequest,
    ) -> ttrpc::Result<Empty> {
        let id = request.container_id.clone();
        let logger = self.logger.new(slog::o!("container" => id));
        info!(logger, "CreateContainer"; "devices" => request.devices.len(),
            "storages" => request.storages.len());
        // What the libraries log on the way belongs to the agent's log.
        let result = slog_scope::scope(&logger, || {
            container::create(&self.dir, &self.devices, request)
        });
        let created = result.map_err(|reason| {
            error!(logger, "container refused"; "reason" => &reason);
            ttrpc::Error::RpcStatus(ttrpc::get_status(Code::INVALID_ARGUMENT, reason))
        })?;
        info!(logger, "container created");
        self.done
            .send(created)
            .map_err(|e| ttrpc::Error::Others(e.to_string()))?;
        Ok(Empty::new())
    }
}
