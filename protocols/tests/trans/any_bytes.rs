//! Whatever decodes converts or is refused: no panic but the documented one, whoever sent it.

use std::{
    fmt::Debug,
    panic::{self, AssertUnwindSafe, catch_unwind},
    sync::Once,
};

use oci_spec::runtime as oci;
use protobuf::MessageFull;
use protocols::{
    oci as grpc,
    trans::{ConvertError, TryFromProto},
};

use crate::messages::{Random, damage, message};

#[derive(Debug, Default)]
struct Outcomes {
    undecodable: usize,
    converted: usize,
    refused: usize,
}

/// One case: a random message of type `P`, every other one damaged, or sometimes nothing but random bytes.
fn case<O, P>(seed: u64, outcomes: &mut Outcomes)
where
    O: From<P> + TryFromProto<P> + PartialEq + Clone + Debug,
    P: From<O> + MessageFull,
{
    let mut random = Random(seed);
    let mut bytes = if random.one_in(50) {
        (0..random.below(40)).map(|_| random.next() as u8).collect()
    } else {
        message::<P>(&mut random).write_to_bytes().unwrap()
    };
    if random.one_in(2) {
        damage(&mut random, &mut bytes);
    }
    let Ok(proto) = P::parse_from_bytes(&bytes) else {
        outcomes.undecodable += 1;
        return;
    };
    match O::try_from_proto(proto.clone()) {
        Ok(value) => {
            outcomes.converted += 1;
            assert_eq!(O::from(proto), value, "seed {seed}: both forms agree");
            // The way back takes whatever came.
            let _ = O::from(P::from(value));
        }
        Err(error) => {
            outcomes.refused += 1;
            infallible_form_saturates_or_panics_with_the_text::<O, P>(seed, proto, &error);
        }
    }
}

fn infallible_form_saturates_or_panics_with_the_text<O, P>(
    seed: u64,
    proto: P,
    error: &ConvertError,
) where
    O: From<P>,
{
    let is_number = error.value().parse::<i128>().is_ok();
    assert!(!error.path().is_empty(), "seed {seed}");
    match catch_unwind(AssertUnwindSafe(|| O::from(proto))) {
        Ok(_) => assert!(is_number, "seed {seed}: {error}, but no panic"),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().expect("a formatted message");
            if is_number {
                // The number saturated, and there is a name further on.
                assert!(text.contains("Failed to parse"), "seed {seed}: {text}");
                assert!(text.contains("to Enum"), "seed {seed}: {text}");
            } else {
                assert_eq!(text, &error.to_string(), "seed {seed}");
            }
        }
    }
}

/// Keeps the hundred thousand expected panics out of the output, and no others.
fn hide_the_documented_panic() {
    static HIDDEN: Once = Once::new();
    HIDDEN.call_once(|| {
        let show = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let documented = |place: &panic::Location<'_>| place.file().ends_with("trans/error.rs");
            if !panic.location().is_some_and(documented) {
                show(panic);
            }
        }));
    });
}

/// Runs until so many cases have been decoded.
fn run(decoded: usize) {
    hide_the_documented_panic();
    let mut outcomes = Outcomes::default();
    for seed in 0.. {
        match seed % 4 {
            0 => case::<oci::Process, grpc::Process>(seed, &mut outcomes),
            1 => case::<oci::LinuxResources, grpc::LinuxResources>(seed, &mut outcomes),
            _ => case::<oci::Spec, grpc::Spec>(seed, &mut outcomes),
        }
        if outcomes.converted + outcomes.refused == decoded {
            break;
        }
    }
    println!("{outcomes:?}");
    // The cases are worth something only if they go all ways.
    assert!(outcomes.undecodable >= decoded / 20, "{outcomes:?}");
    assert!(outcomes.converted >= decoded / 5, "{outcomes:?}");
    assert!(outcomes.refused >= decoded / 5, "{outcomes:?}");
}

#[test]
fn decodable_bytes_convert_or_are_refused() {
    run(4_000);
}

#[test]
#[ignore = "a million cases take minutes"]
fn million_decodable_messages_convert_or_are_refused() {
    run(1_000_000);
}
