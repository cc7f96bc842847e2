//! Messages that another implementation encoded, `tests/golden/vectors.jsonl`: every request and
//! response of the ttrpc services, with every field set. `tests/golden/generate.py` wrote them with
//! the Python package `protobuf` and says what the cases are.

use std::collections::BTreeSet;

use protobuf::reflect::{MessageDescriptor, RuntimeFieldType, RuntimeType};
use protobuf::{CodedInputStream, MessageDyn, text_format};

use crate::contract;
use crate::vectors::{Vector, of_case, vectors};

/// The generated type of a message.
fn descriptor(name: &str) -> MessageDescriptor {
    let files = contract::files();
    let mut found = files
        .values()
        .filter_map(|file| file.message_by_full_name(&format!(".{name}")));
    found.next().unwrap_or_else(|| panic!("no message {name}"))
}

fn encode(message: &dyn MessageDyn) -> Vec<u8> {
    message.write_to_bytes_dyn().unwrap()
}

#[test]
fn every_request_and_response_of_the_stubs_has_its_four_vectors() {
    let mut expected = BTreeSet::new();
    for file in [
        "agent.proto",
        "confidential_data_hub.proto",
        "health.proto",
        "remote.proto",
    ] {
        let files = contract::files();
        let services = &files[file].proto().service;
        for method in services.iter().flat_map(|service| &service.method) {
            for message in [method.input_type(), method.output_type()] {
                for case in ["full", "empty", "defaults", "unknown"] {
                    expected.insert((message.trim_start_matches('.').to_owned(), case.to_owned()));
                }
            }
        }
    }
    let vectors = vectors();
    assert_eq!(vectors.len(), expected.len());
    let actual: BTreeSet<_> = vectors
        .iter()
        .map(|v| (v.message.clone(), v.case.clone()))
        .collect();
    assert_eq!(actual, expected);
}

#[test]
fn decoded_vectors_have_the_values_of_their_text() {
    for Vector {
        message,
        case,
        bytes,
        text,
        ..
    } in vectors()
    {
        let Some(text) = text else { continue };
        let descriptor = descriptor(message);
        let decoded = descriptor.parse_from_bytes(bytes).unwrap();
        let mut expected = descriptor.new_instance();
        text_format::merge_from_str(&mut *expected, text).unwrap();
        assert!(
            decoded.reflect_eq_dyn(&*expected, &Default::default()),
            "{message} {case}: {decoded}"
        );
    }
}

#[test]
fn decoded_vectors_are_encoded_to_the_same_bytes() {
    for vector in vectors() {
        let Vector {
            message: name,
            case,
            bytes,
            ..
        } = vector;
        let descriptor = descriptor(name);
        let encoded = encode(&*descriptor.parse_from_bytes(bytes).unwrap());
        let shape = Shape::Message(descriptor.clone());
        let same = in_order_of_numbers(&shape, &encoded) == in_order_of_numbers(&shape, bytes);
        assert!(same, "{name} {case}");
        // A oneof is encoded behind the other fields, unknown fields in any order.
        if case != "unknown" && !reaches_oneof(&shape, &mut BTreeSet::new()) {
            assert!(encoded == *bytes, "{name} {case}");
        }
    }
}

#[test]
fn full_vectors_set_every_field() {
    for Vector { message, bytes, .. } in of_case("full") {
        let descriptor = descriptor(message);
        let decoded = descriptor.parse_from_bytes(bytes).unwrap();
        for field in descriptor.fields() {
            let set = match field.runtime_field_type() {
                RuntimeFieldType::Singular(_) => field.has_field(&*decoded),
                RuntimeFieldType::Repeated(_) => field.get_repeated(&*decoded).len() == 2,
                RuntimeFieldType::Map(..) => field.get_map(&*decoded).len() == 1,
            };
            assert!(set, "{}", field.full_name());
        }
    }
}

#[test]
fn unknown_fields_and_enum_numbers_are_kept_at_every_level() {
    use protobuf::Message;
    use protocols::agent::{CreateSandboxRequest, GetMetricsRequest};

    let of = |name: &str| {
        let vector = of_case("unknown").find(|vector| vector.message == name);
        vector.unwrap().bytes.as_slice()
    };
    let request = GetMetricsRequest::parse_from_bytes(of("grpc.GetMetricsRequest")).unwrap();
    assert_eq!(request.special_fields.unknown_fields().iter().count(), 4);

    let request = CreateSandboxRequest::parse_from_bytes(of("grpc.CreateSandboxRequest")).unwrap();
    let storage = &request.storages[0];
    assert_eq!(storage.special_fields.unknown_fields().iter().count(), 4);
    let policy = storage.fs_group.group_change_policy;
    assert_eq!(policy.value(), 97);
    assert_eq!(policy.enum_value(), Err(97));
    // An accessor gives the first value in its place.
    assert_eq!(
        storage.fs_group().group_change_policy(),
        protocols::types::FSGroupChangePolicy::Always
    );
}

#[test]
fn broken_bytes_are_errors() {
    for Vector { message, bytes, .. } in of_case("full") {
        let descriptor = descriptor(message);
        let Some(end) = bytes.len().checked_sub(1) else {
            continue;
        };
        assert!(
            descriptor.parse_from_bytes(&bytes[..end]).is_err(),
            "{message} cut short"
        );
    }
}

/// What an encoded value with a length holds.
#[derive(Clone)]
enum Shape {
    Message(MessageDescriptor),
    /// Entry of a map.
    Entry(RuntimeType),
    Bytes,
}

impl Shape {
    fn of(value: &RuntimeType) -> Shape {
        match value {
            RuntimeType::Message(message) => Shape::Message(message.clone()),
            _ => Shape::Bytes,
        }
    }

    /// What field `number` holds.
    fn field(&self, number: u32) -> Shape {
        match self {
            Shape::Message(message) => match message.field_by_number(number) {
                Some(field) => match field.runtime_field_type() {
                    RuntimeFieldType::Singular(value) | RuntimeFieldType::Repeated(value) => {
                        Shape::of(&value)
                    }
                    RuntimeFieldType::Map(_, value) => Shape::Entry(value),
                },
                None => Shape::Bytes,
            },
            Shape::Entry(value) if number == 2 => Shape::of(value),
            _ => Shape::Bytes,
        }
    }
}

/// An encoded value with the fields of every message sorted by number.
#[derive(PartialEq)]
enum Sorted {
    Number(u64),
    Bytes(Vec<u8>),
    Fields(Vec<(u32, Sorted)>),
}

fn in_order_of_numbers(shape: &Shape, bytes: &[u8]) -> Sorted {
    if matches!(shape, Shape::Bytes) {
        return Sorted::Bytes(bytes.to_vec());
    }
    let mut input = CodedInputStream::from_bytes(bytes);
    let mut fields = Vec::new();
    // The tag holds the number and the wire type.
    while let Some(tag) = input.read_raw_tag_or_eof().unwrap() {
        let value = match tag & 7 {
            0 => Sorted::Number(input.read_raw_varint64().unwrap()),
            1 => Sorted::Number(input.read_fixed64().unwrap()),
            5 => Sorted::Number(input.read_fixed32().unwrap().into()),
            2 => in_order_of_numbers(&shape.field(tag >> 3), &input.read_bytes().unwrap()),
            wire_type => panic!("wire type {wire_type}"),
        };
        fields.push((tag, value));
    }
    fields.sort_by_key(|(tag, _)| *tag);
    Sorted::Fields(fields)
}

fn reaches_oneof(shape: &Shape, seen: &mut BTreeSet<String>) -> bool {
    let Shape::Message(message) = shape else {
        return matches!(shape, Shape::Entry(_)) && reaches_oneof(&shape.field(2), seen);
    };
    if !seen.insert(message.full_name().to_owned()) {
        return false;
    }
    message.oneofs().any(|oneof| !oneof.is_synthetic())
        || message
            .fields()
            .any(|field| reaches_oneof(&shape.field(field.number() as u32), seen))
}
