//! `oci` → `grpc` → bytes → `grpc` → `oci` gives the documented normal form, and nothing else.

use oci_spec::runtime as oci;
use proptest::prelude::*;
use protobuf::Message;
use protocols::{
    oci as grpc,
    trans::{TryFromProto, to_proto_checked},
};
use serde_json::Value;

use crate::{model, specs};

fn read(json: &Value) -> oci::Spec {
    serde_json::from_value(json.clone()).expect("a specification")
}

/// As JSON, with the sets of capabilities in order.
fn write(spec: &oci::Spec) -> Value {
    let mut json = serde_json::to_value(spec).unwrap();
    let sets = json
        .pointer_mut("/process/capabilities")
        .and_then(Value::as_object_mut);
    for set in sets.into_iter().flat_map(|sets| sets.values_mut()) {
        let names = set.as_array_mut().unwrap();
        names.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    }
    json
}

fn over_the_wire(spec: oci::Spec) -> oci::Spec {
    let bytes = grpc::Spec::from(spec).write_to_bytes().unwrap();
    let proto = grpc::Spec::parse_from_bytes(&bytes).unwrap();
    oci::Spec::try_from_proto(proto).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn trip_over_the_wire_gives_the_normal_form(json in specs::spec()) {
        let (normal, _) = model::normal_form(&json);
        let spec = read(&json);
        let arrived = over_the_wire(spec.clone());
        prop_assert_eq!(&write(&arrived), &normal);
        prop_assert_eq!(oci::Spec::from(grpc::Spec::from(spec)), arrived);
    }

    #[test]
    fn second_trip_changes_nothing_but_what_is_documented(json in specs::spec()) {
        let arrived = over_the_wire(read(&json));
        let again = over_the_wire(arrived.clone());
        let (expected, _) = model::normal_form(&write(&arrived));
        prop_assert_eq!(&write(&again), &expected);
        prop_assert_eq!(again != arrived, model::is_documented_exception(&json));
        prop_assert_eq!(over_the_wire(again.clone()), again);
    }

    #[test]
    fn checked_conversion_converts_the_same_and_reports_every_loss(json in specs::spec()) {
        let (_, lost) = model::normal_form(&json);
        let spec = read(&json);
        let (proto, losses) = to_proto_checked(spec.clone());
        prop_assert_eq!(proto, grpc::Spec::from(spec));
        prop_assert_eq!(losses.len(), lost, "{:?}", losses);
    }

    /// D12
    #[test]
    fn same_specification_gives_the_same_message(json in specs::spec()) {
        prop_assert_eq!(grpc::Spec::from(read(&json)), grpc::Spec::from(read(&json)));
    }
}

/// The samples of `oci-spec` are specifications like any other: nothing is added or lost.
#[test]
fn default_specification_survives() {
    let spec = oci::Spec::default();
    let arrived = over_the_wire(spec.clone());
    assert_eq!(arrived.mounts(), spec.mounts());
    assert_eq!(arrived.root(), spec.root());
    let (linux, expected) = (
        arrived.linux().as_ref().unwrap(),
        spec.linux().as_ref().unwrap(),
    );
    assert_eq!(linux.namespaces(), expected.namespaces());
    assert_eq!(linux.masked_paths(), expected.masked_paths());
    let (process, expected) = (
        arrived.process().as_ref().unwrap(),
        spec.process().as_ref().unwrap(),
    );
    assert_eq!(process.args(), expected.args());
    assert_eq!(process.capabilities(), expected.capabilities());
    assert_eq!(process.rlimits(), expected.rlimits());
}
