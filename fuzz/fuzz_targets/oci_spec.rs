//! `config.json` → request → bytes → request → specification.
//!
//! * What was read is written and read again without a change: a reader that has accepted it once
//!   does so again.
//! * The checked conversion gives the same message as the unchecked one, and reports every loss.
//! * What arrives is the documented normal form, as the model of `protocols/tests/trans` has it.
//! * The normal form of what arrives is reached after one more trip at most.
#![no_main]

#[path = "../../protocols/tests/trans/model.rs"]
mod model;

use libfuzzer_sys::fuzz_target;
use oci_spec::runtime as oci;
use protobuf::Message;
use protocols::oci as grpc;
use protocols::trans::{TryFromProto, to_proto_checked};
use serde_json::Value;

/// As JSON, with the sets of capabilities in order.
fn json(spec: &oci::Spec) -> Value {
    let mut json = serde_json::to_value(spec).expect("every specification has a JSON form");
    let sets = json.pointer_mut("/process/capabilities");
    for set in sets
        .into_iter()
        .filter_map(Value::as_object_mut)
        .flat_map(|sets| sets.values_mut())
    {
        if let Some(names) = set.as_array_mut() {
            names.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
        }
    }
    json
}

fn over_the_wire(proto: &grpc::Spec) -> oci::Spec {
    let bytes = proto.write_to_bytes().expect("written");
    let arrived = grpc::Spec::parse_from_bytes(&bytes).expect("read again");
    assert_eq!(&arrived, proto);
    oci::Spec::try_from_proto(arrived).expect("what came from a specification becomes one")
}

fuzz_target!(|data: &[u8]| {
    let Ok(spec) = serde_json::from_slice::<oci::Spec>(data) else {
        return;
    };
    let written = serde_json::to_value(&spec).expect("every specification has a JSON form");
    let again = serde_json::from_value::<oci::Spec>(written);
    assert_eq!(again.expect("read again"), spec);
    let proto = grpc::Spec::from(spec.clone());
    let (checked, losses) = to_proto_checked(spec.clone());
    assert_eq!(proto, checked);

    let sent = json(&spec);
    let arrived = over_the_wire(&proto);
    let (normal, lost) = model::normal_form(&sent);
    assert_eq!(json(&arrived), normal);
    assert_eq!(losses.len(), lost, "{losses:?}");

    let again = over_the_wire(&grpc::Spec::from(arrived.clone()));
    assert_eq!(again != arrived, model::is_documented_exception(&sent));
    assert_eq!(over_the_wire(&grpc::Spec::from(again.clone())), again);
});
