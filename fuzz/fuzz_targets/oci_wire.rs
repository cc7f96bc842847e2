//! Bytes from anywhere → wire message → specification.
//!
//! * What decodes is converted, unless it has something that no specification has; of that, one is
//!   named with its path and its value.
//! * What was converted is in its normal form after one more trip at most, and survives as JSON.
#![no_main]

use kata_libs_fuzz::oci_faults::faults;
use libfuzzer_sys::fuzz_target;
use oci_spec::runtime as oci;
use protobuf::Message;
use protocols::oci as grpc;
use protocols::trans::TryFromProto;

fn over_the_wire(spec: oci::Spec) -> oci::Spec {
    let bytes = grpc::Spec::from(spec).write_to_bytes().expect("written");
    let proto = grpc::Spec::parse_from_bytes(&bytes).expect("read again");
    oci::Spec::try_from_proto(proto).expect("what came from a specification becomes one")
}

fuzz_target!(|data: &[u8]| {
    let Ok(proto) = grpc::Spec::parse_from_bytes(data) else {
        return;
    };
    let faults = faults(&proto);
    match oci::Spec::try_from_proto(proto) {
        Ok(spec) => {
            assert!(faults.is_empty(), "{faults:?}");
            let once = over_the_wire(spec);
            let twice = over_the_wire(once.clone());
            assert_eq!(over_the_wire(twice.clone()), twice);
            let json = serde_json::to_string(&twice).expect("every specification has a JSON form");
            assert_eq!(
                serde_json::from_str::<oci::Spec>(&json).expect("read again"),
                twice
            );
        }
        Err(error) => {
            let fault = (error.path().to_owned(), error.value().to_owned());
            assert!(faults.contains(&fault), "{fault:?} of {faults:?}");
            assert!(!error.expected().is_empty());
            assert!(error.to_string().contains(error.path()));
        }
    }
});
