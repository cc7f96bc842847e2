//! The guest's half: an agent that only records what it is asked, and the call that asks it.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use oci_spec::runtime::Spec;
use protobuf::Message;
use protocols::agent::CreateContainerRequest;
use protocols::agent_ttrpc::{AgentService, AgentServiceClient, create_agent_service};
use protocols::empty::Empty;
use protocols::trans::TryFromProto;
use ttrpc::context::{self, Context};
use ttrpc::proto::Code;

/// Time the agent has for an answer, in nanoseconds.
const TIMEOUT_NANOSECONDS: i64 = 5_000_000_000;

/// Largest message of ttrpc, in bytes.
const MAX_MESSAGE_BYTES: u64 = 4 << 20;

/// What the agent saw.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// The request, decoded from the wire.
    pub(crate) request: CreateContainerRequest,
    /// The OCI specification made of it, as the agent uses it.
    pub(crate) spec: Spec,
    /// Size of the request on the wire, in bytes.
    pub(crate) wire_bytes: u64,
}

/// Records the requests to create a container. Every other method answers "not supported".
struct RecordingAgent {
    arrived: SyncSender<Arrived>,
}

impl AgentService for RecordingAgent {
    fn create_container(
        &self,
        _ctx: &ttrpc::TtrpcContext,
        request: CreateContainerRequest,
    ) -> ttrpc::Result<Empty> {
        let spec = Spec::try_from_proto(request.OCI().clone()).map_err(|e| {
            ttrpc::Error::RpcStatus(ttrpc::get_status(Code::INVALID_ARGUMENT, e.to_string()))
        })?;
        let wire_bytes = request.compute_size();
        self.arrived
            .send(Arrived {
                request,
                spec,
                wire_bytes,
            })
            .map_err(|e| ttrpc::Error::Others(e.to_string()))?;
        Ok(Empty::new())
    }
}

/// Starts an agent on a socket in `dir`, sends it `request`, and returns what arrived.
pub(crate) fn create_container(
    dir: &Path,
    request: &CreateContainerRequest,
) -> Result<Arrived, String> {
    let size = request.compute_size();
    if size > MAX_MESSAGE_BYTES {
        return Err(format!(
            "the request has {size} bytes, the agent accepts at most {MAX_MESSAGE_BYTES}"
        ));
    }
    let address = format!("unix://{}/agent.sock", dir.display());
    let (arrived, arrivals) = sync_channel(1);
    let server = serve(&address, RecordingAgent { arrived })
        .map_err(|e| format!("cannot serve on {address}: {e}"))?;
    let answer = call(&address, request, &arrivals);
    server.shutdown();
    answer
}

fn serve(address: &str, agent: RecordingAgent) -> ttrpc::Result<ttrpc::Server> {
    let mut server = ttrpc::Server::new()
        .bind(address)?
        .register_service(create_agent_service(Arc::new(agent)));
    server.start()?;
    Ok(server)
}

fn call(
    address: &str,
    request: &CreateContainerRequest,
    arrivals: &Receiver<Arrived>,
) -> Result<Arrived, String> {
    let client =
        ttrpc::Client::connect(address).map_err(|e| format!("cannot connect to {address}: {e}"))?;
    let context: Context = context::with_timeout(TIMEOUT_NANOSECONDS);
    AgentServiceClient::new(client)
        .create_container(context, request)
        .map_err(|e| format!("the agent refused the container: {e}"))?;
    arrivals
        .try_recv()
        .map_err(|_| "the agent answered without a record of the request".to_string())
}
