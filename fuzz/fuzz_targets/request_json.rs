//! The JSON form of requests (`with-serde`), as tools read it.
//!
//! A request that is read is written and read again without a change, as JSON and as bytes.
#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use protobuf::Message;
use protocols::agent::{CreateContainerRequest, CreateSandboxRequest};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn check<M: Message + Serialize + DeserializeOwned + Debug>(data: &[u8]) {
    let Ok(request) = serde_json::from_slice::<M>(data) else {
        return;
    };
    let json = serde_json::to_string(&request).expect("written");
    assert_eq!(
        serde_json::from_str::<M>(&json).expect("read again"),
        request
    );
    let bytes = request.write_to_bytes().expect("written");
    assert_eq!(M::parse_from_bytes(&bytes).expect("read again"), request);
}

fuzz_target!(|data: &[u8]| {
    check::<CreateContainerRequest>(data);
    check::<CreateSandboxRequest>(data);
});
