//! The JSON form of messages (`with-serde`), as tools read it: a request to create a container and one
//! to create a sandbox, or, if the first byte is no `{`, the message that it selects.
//!
//! * What a message must accept by its descriptor is accepted, and nothing is lost; what it must not
//!   accept is refused.
//! * A message that is read is written and read again without a change, as JSON and as bytes.
#![no_main]

use std::fmt::Debug;

use kata_libs_fuzz::message_json::{Verdict, is_kept, verdict};
use libfuzzer_sys::fuzz_target;
use protobuf::MessageFull;
use protocols::agent::{
    AgentDetails, CopyFileRequest, CreateContainerRequest, CreateSandboxRequest,
    ExecProcessRequest, GuestDetailsResponse, MemAgentCompactConfig, MemAgentMemcgConfig,
    StatsContainerResponse, UpdateContainerRequest, UpdateInterfaceRequest, UpdateRoutesRequest,
};
use protocols::csi::VolumeStatsResponse;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn check<M: MessageFull + Serialize + DeserializeOwned + Debug>(data: &[u8]) {
    let read = serde_json::from_slice::<M>(data);
    if let Ok(value) = serde_json::from_slice::<Value>(data) {
        check_verdict::<M>(&value);
    }
    let Ok(message) = read else {
        return;
    };
    let json = serde_json::to_string(&message).expect("written");
    assert_eq!(
        serde_json::from_str::<M>(&json).expect("read again"),
        message
    );
    let bytes = message.write_to_bytes().expect("written");
    assert_eq!(M::parse_from_bytes(&bytes).expect("read again"), message);
}

/// Of the value, which has each member once: the text may have it twice.
fn check_verdict<M: MessageFull + Serialize + DeserializeOwned>(value: &Value) {
    let read = serde_json::from_value::<M>(value.clone());
    match (verdict(&M::descriptor(), value), read) {
        (Verdict::Accepted, Ok(message)) => {
            let written = serde_json::to_value(&message).expect("written");
            assert!(is_kept(&M::descriptor(), value, &written), "{written}");
        }
        (Verdict::Accepted, Err(error)) => panic!("{}: {error}", M::NAME),
        (Verdict::Refused, Ok(message)) => panic!("{message:?}"),
        _ => {}
    }
}

const CHECKS: [fn(&[u8]); 11] = [
    check::<AgentDetails>,
    check::<CopyFileRequest>,
    check::<ExecProcessRequest>,
    check::<GuestDetailsResponse>,
    check::<MemAgentCompactConfig>,
    check::<MemAgentMemcgConfig>,
    check::<StatsContainerResponse>,
    check::<UpdateContainerRequest>,
    check::<UpdateInterfaceRequest>,
    check::<UpdateRoutesRequest>,
    check::<VolumeStatsResponse>,
];

fuzz_target!(|data: &[u8]| match data.split_first() {
    Some((kind, rest)) if *kind != b'{' => CHECKS[usize::from(*kind) % CHECKS.len()](rest),
    _ => {
        check::<CreateContainerRequest>(data);
        check::<CreateSandboxRequest>(data);
    }
});
