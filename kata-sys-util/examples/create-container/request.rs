//! The request that creates a container: the specification in its wire form (`protocols::trans`), and
//! what the agent needs beside it.

use protobuf::{Message, MessageField};
use protocols::agent::{CreateContainerRequest, Device, Storage};
use protocols::trans::{LossReason, Lossy, to_proto_checked};

use crate::bundle::Bundle;
use crate::problem::Problem;

/// Largest message of ttrpc, in bytes.
const MAX_MESSAGE_BYTES: u64 = 4 << 20;

/// Builds the request, and lists configured values for which it has no field.
pub(crate) fn build(
    bundle: &Bundle,
    container_id: &str,
    devices: Vec<Device>,
    storages: Vec<Storage>,
) -> Result<(CreateContainerRequest, Vec<Lossy>), Problem> {
    let (spec, losses) = to_proto_checked(bundle.spec.clone());
    // A dropped field is worth a note; a path or number that changed would be another container.
    if let Some(loss) = losses.iter().find(|l| l.reason != LossReason::Dropped) {
        return Err(Problem::field(
            &bundle.config,
            loss.path.clone(),
            &loss.value,
            "the agent's protocol cannot carry this value unchanged",
        ));
    }
    let request = CreateContainerRequest {
        exec_id: container_id.to_owned(),
        container_id: container_id.to_owned(),
        devices,
        storages,
        OCI: MessageField::some(spec),
        ..Default::default()
    };
    let size = request.compute_size();
    if size > MAX_MESSAGE_BYTES {
        let reason = format!("becomes {size} bytes, the agent accepts at most {MAX_MESSAGE_BYTES}");
        return Err(Problem::file(&bundle.config, reason));
    }
    Ok((request, losses))
}
