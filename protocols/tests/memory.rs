//! Memory that messages and specifications of any content can make their readers take.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::io::BufReader;

use oci_spec::runtime as oci;
use protobuf::reflect::{
    FieldDescriptor, FileDescriptor, MessageDescriptor, RuntimeFieldType, RuntimeType,
};
use protobuf::{CodedInputStream, CodedOutputStream, Message};
use protocols::agent::{
    AddSwapRequest, CpuUsage, CreateContainerRequest, MemHotplugByProbeRequest, WriteStreamRequest,
};
use protocols::api::{
    LinuxContainerSecurityContext, LinuxContainerUser, LinuxSandboxSecurityContext,
    PortForwardRequest,
};
use protocols::oci as grpc;
use protocols::trans::{TryFromProto, to_proto_checked};
use protocols::{
    agent, api, confidential_data_hub, csi, empty, health, remote, runtimeoptions, types,
};
use test_utils::allocation::{CountingAllocator, allocated_by};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const LARGE: usize = 64 << 20;
const DEEP: usize = 100_000;
const CONSTANT: usize = 64 << 10;

/// How many times its size a message may take that consists of the smallest elements.
const MOST: usize = 272;
/// How many they are.
const SMALLEST: usize = 1 << 18;

/// A field of bytes.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut length = content.len();
    while length > 0x7f {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend_from_slice(content);
    bytes
}

/// Decodes and converts, and tells the most bytes that were in use.
fn peak_of_wire(bytes: &[u8]) -> usize {
    let (_, allocated) = allocated_by(|| {
        let proto = grpc::Spec::parse_from_bytes(bytes).ok()?;
        oci::Spec::try_from_proto(proto).ok()
    });
    allocated.peak
}

#[test]
fn large_message_takes_at_most_eight_times_its_size() {
    let large = vec![b'x'; LARGE];
    // Of `Spec`: `Version` 1, `Process` 2, `Hostname` 4, `Mounts` 5, and no field 15.
    for (what, bytes) in [
        ("string", field(4, &large)),
        ("string in a message", field(2, &field(5, &large))),
        ("unknown field", field(15, &large)),
        ("cut off", field(4, &large[1..])[..LARGE / 2].to_vec()),
        ("no UTF-8", field(4, &vec![0xff; 1 << 20])),
        (
            "mounts of 100 bytes",
            field(5, &field(1, &large[..100])).repeat(10_000),
        ),
    ] {
        let peak = peak_of_wire(&bytes);
        assert!(
            peak <= 8 * bytes.len() + CONSTANT,
            "{what}: {peak} bytes for {}",
            bytes.len()
        );
    }
}

/// The smallest elements of a list: their number must not matter, nor that it is just above a power
/// of two. What each takes, `no_list_takes_more_than_272_times_its_size` tells.
#[test]
fn specification_of_the_smallest_elements_takes_at_most_272_times_its_size() {
    // Of no message here, a field 15, and of `Linux` no field 14.
    let unknown = field(15, &[]);
    for count in [SMALLEST, SMALLEST + 1] {
        let elements = |number, element: &[u8]| field(number, element).repeat(count);
        // Of `Process`: `Args` 4. Of `Hooks`: `Prestart` 1. Of `Linux`: `Namespaces` 6.
        for (what, bytes) in [
            ("mounts", elements(5, &[])),
            ("mounts of an unknown field", elements(5, &unknown)),
            ("arguments", field(2, &elements(4, &[]))),
            ("hooks", field(6, &elements(1, &[]))),
            (
                "hooks of an unknown field",
                field(6, &elements(1, &unknown)),
            ),
            ("namespaces", field(8, &elements(6, &field(1, b"pid")))),
            ("annotations", elements(7, &[])),
            ("unknown numbers", [0x78, 0].repeat(count)),
        ] {
            let peak = peak_of_wire(&bytes);
            println!("{count} {what}: {peak} bytes for {}", bytes.len());
            assert!(peak <= MOST * bytes.len(), "{count} {what}: {peak} bytes");
        }
    }
}

/// An element has two bytes or more on the wire. In memory it is a structure of up to 344 bytes, its
/// fields that are messages are boxes with others, and an unknown field costs it a box, a table and a
/// list, of 500 bytes together: factors that `protobuf` does not avoid. What is avoided is that a list
/// has room for more elements than the rest of its message can hold. ttrpc receives no message of more
/// than 4 MiB.
#[test]
fn no_list_takes_more_than_272_times_its_size() {
    let files = [
        agent::file_descriptor(),
        api::file_descriptor(),
        confidential_data_hub::file_descriptor(),
        csi::file_descriptor(),
        empty::file_descriptor(),
        grpc::file_descriptor(),
        health::file_descriptor(),
        remote::file_descriptor(),
        runtimeoptions::file_descriptor(),
        types::file_descriptor(),
    ];
    let mut worst = (0, String::new());
    let mut lists = 0;
    for message in files.into_iter().flat_map(FileDescriptor::messages) {
        for list in message.fields().filter(FieldDescriptor::is_repeated_or_map) {
            lists += 1;
            for (element, few) in each_of_few(&smallest_elements(&list)) {
                let of_list = |i| wire(list.number(), &element(i));
                let bytes: Vec<u8> = (0..few).flat_map(of_list).collect();
                let (result, allocated) = allocated_by(|| message.parse_from_bytes(&bytes));
                let factor = allocated.peak / bytes.len();
                let what = format!(
                    "{few} of {list}: {} bytes for {}",
                    allocated.peak,
                    bytes.len()
                );
                assert!(result.is_ok() && factor <= MOST, "{what}");
                worst = worst.max((factor, what));
            }
        }
    }
    println!("{worst:?}");
    assert!(lists > 150, "{lists}");
}

/// Few, as they are of every list there is. Where a list has grown last, and how far, depends on how
/// many bytes each has: just above a power of two, it has as much room as it needs if they have two,
/// and the more bytes they have, the later there is most room in vain.
const FEW: [usize; 5] = [513, 597, 640, 682, 768];

fn each_of_few(elements: &[Element]) -> impl Iterator<Item = (&Element, usize)> {
    let with_each = |element| FEW.into_iter().map(move |few| (element, few));
    elements.iter().flat_map(with_each)
}

type Element = Box<dyn Fn(usize) -> Vec<u8>>;

/// The number-th element of this list or map, in each form that has little on the wire and much in
/// memory.
fn smallest_elements(list: &FieldDescriptor) -> Vec<Element> {
    let always = |bytes: Vec<u8>| -> Element { Box::new(move |_| bytes.clone()) };
    match list.runtime_field_type() {
        RuntimeFieldType::Map(..) => {
            // The same key would be one entry.
            let key = |i| [wire(1, format!("{i:x}").as_bytes()), wire(2, &[])].concat();
            vec![Box::new(key)]
        }
        RuntimeFieldType::Repeated(RuntimeType::Message(message)) => {
            let mut bodies = vec![Vec::new(), unknown_field(&message)];
            for field in message.fields() {
                let mut inside = |body: &[u8]| bodies.push(wire(field.number(), body));
                match field.runtime_field_type() {
                    RuntimeFieldType::Singular(RuntimeType::Message(inner))
                    | RuntimeFieldType::Repeated(RuntimeType::Message(inner)) => {
                        inside(&[]);
                        inside(&unknown_field(&inner));
                    }
                    RuntimeFieldType::Map(..)
                    | RuntimeFieldType::Repeated(RuntimeType::String | RuntimeType::VecU8) => {
                        inside(&[]);
                    }
                    _ => {}
                }
            }
            bodies.into_iter().map(always).collect()
        }
        _ => vec![always(Vec::new())],
    }
}

/// A field that this message does not have.
fn unknown_field(message: &MessageDescriptor) -> Vec<u8> {
    let number = (1..).find(|number| message.field_by_number(*number).is_none());
    wire(number.unwrap().try_into().unwrap(), &[])
}

/// A field of bytes, of any number.
fn wire(number: i32, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut out = CodedOutputStream::vec(&mut bytes);
    out.write_bytes(number.try_into().unwrap(), content)
        .unwrap();
    drop(out);
    bytes
}

/// Decodes a message, and tells the most bytes that were in use and whether it was accepted.
type Peak = fn(&[u8]) -> (usize, bool);

fn peak_of<M: Message>(bytes: &[u8]) -> (usize, bool) {
    let (message, allocated) = allocated_by(|| M::parse_from_bytes(bytes).ok());
    (allocated.peak, message.is_some())
}

/// Every packed list: its message, its field number, its decoder, and a value of the most bytes.
const PACKED: &[(&str, u8, Peak, &[u8])] = &[
    ("AddSwapRequest", 1, peak_of::<AddSwapRequest>, LARGEST_32),
    ("CpuUsage", 2, peak_of::<CpuUsage>, LARGEST_64),
    (
        "LinuxContainerSecurityContext",
        8,
        peak_of::<LinuxContainerSecurityContext>,
        LARGEST_64,
    ),
    (
        "LinuxContainerUser",
        3,
        peak_of::<LinuxContainerUser>,
        LARGEST_64,
    ),
    (
        "LinuxSandboxSecurityContext",
        5,
        peak_of::<LinuxSandboxSecurityContext>,
        LARGEST_64,
    ),
    (
        "MemHotplugByProbeRequest",
        1,
        peak_of::<MemHotplugByProbeRequest>,
        LARGEST_64,
    ),
    (
        "PortForwardRequest",
        2,
        peak_of::<PortForwardRequest>,
        LARGEST_64,
    ),
    ("User", 3, peak_of::<grpc::User>, LARGEST_32),
];
/// 2³²−1
const LARGEST_32: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0x0f];
/// 2⁶⁴−1, and −1 where the values are signed.
const LARGEST_64: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];

#[test]
fn announcement_of_a_length_takes_no_memory() {
    let user = |user: &[u8]| field(2, &field(3, user));
    let lengths: [&[u8]; 4] = [
        &[0x80, 0xad, 0xe2, 0x04], // 10 000 000
        &[0xff, 0xac, 0xe2, 0x04],
        LARGEST_32,
        LARGEST_64,
    ];
    for length in lengths {
        let announced = |number: u8| [&[number << 3 | 2], length].concat();
        for (what, number, peak_of, _) in PACKED {
            // As first of its list, and behind a value.
            let second = [field(*number, &[1]), announced(*number)].concat();
            for bytes in [announced(*number), second] {
                let (peak, _) = peak_of(&bytes);
                assert!(peak <= CONSTANT, "{what} {length:x?}: {peak} bytes");
            }
        }
        // Of `Spec`: `Hostname` 4, `Annotations` 7. Of `WriteStreamRequest`: `data` 3.
        for (what, peak_of, bytes) in [
            ("groups", peak_of::<grpc::Spec> as Peak, user(&announced(3))),
            ("string", peak_of::<grpc::Spec>, announced(4)),
            (
                "key",
                peak_of::<grpc::Spec>,
                [&[0x3a], LARGEST_32, announced(1).as_slice()].concat(),
            ),
            ("bytes", peak_of::<WriteStreamRequest>, announced(3)),
            ("unknown field", peak_of::<grpc::Spec>, announced(15)),
        ] {
            let (peak, _) = peak_of(&bytes);
            assert!(peak <= CONSTANT, "{what} {length:x?}: {peak} bytes");
        }
    }
}

#[test]
fn packed_list_takes_at_most_eight_times_its_size() {
    const VALUES: usize = 1 << 20;
    // Field 100, which no message has.
    let unknown = |size| [&[0xa2, 0x06], &field(1, &vec![0; size])[1..]].concat();
    for (message, number, peak_of, largest) in PACKED {
        let list = |value: &[u8], count: usize| field(*number, &value.repeat(count));
        // A list that is nearly at its end, and begins again.
        let again = |head: usize, tail: usize| [list(&[1], head), list(&[1], tail)].concat();
        for (what, bytes) in [
            ("small values", list(&[1], VALUES)),
            ("large values", list(largest, VALUES)),
            ("fields of a value", list(&[1], 1).repeat(VALUES)),
            ("fields of ten values", list(&[1], 10).repeat(VALUES / 10)),
            ("halves", again(VALUES / 2, VALUES / 2)),
            ("a value more", again(VALUES, 1)),
            ("numbers", [number << 3, 1].repeat(VALUES)),
            (
                "a number more",
                [list(&[1], VALUES), vec![number << 3, 1]].concat(),
            ),
            ("a value before", again(1, VALUES)),
            (
                "unknown field behind",
                [again(VALUES, 1), unknown(VALUES)].concat(),
            ),
            (
                "small unknown field behind",
                [again(VALUES, 1), unknown(VALUES / 10)].concat(),
            ),
        ] {
            let (peak, accepted) = peak_of(&bytes);
            println!("{message}, {what}: {peak} bytes for {}", bytes.len());
            assert!(accepted, "{message}, {what}");
            assert!(
                peak <= 8 * bytes.len() + CONSTANT,
                "{message}, {what}: {peak} bytes for {}",
                bytes.len()
            );
        }
    }
}

/// What a stream shows of itself tells nothing about how much there will be.
#[test]
fn list_from_a_stream_grows_by_doubling() {
    const VALUES: usize = 50_000;
    let user = field(3, &field(3, &[1]).repeat(VALUES));
    let spec = field(2, &user);
    assert!(calls_of_stream::<grpc::Spec>(&spec, 1) < 100);
    // Of `User`: `AdditionalGids` 3. Of `Process`: `Args` 4. Of `Spec`: `Mounts` 5.
    for (what, calls, values) in [
        (
            "packed",
            calls_of_stream::<grpc::User> as fn(&[u8], usize) -> usize,
            field(3, &[1]),
        ),
        (
            "ten packed",
            calls_of_stream::<grpc::User>,
            field(3, &[1; 10]),
        ),
        ("numbers", calls_of_stream::<grpc::User>, vec![3 << 3, 1]),
        ("strings", calls_of_stream::<grpc::Process>, field(4, &[])),
        ("messages", calls_of_stream::<grpc::Spec>, field(5, &[])),
    ] {
        let bytes = values.repeat(VALUES);
        for shown in [1, 2, 7, 100, 8192] {
            let calls = calls(&bytes, shown);
            assert!(calls < 100, "{what} of {shown} bytes: {calls} allocations");
        }
    }
}

/// How often memory is asked for to decode `bytes` from a stream that shows so many of them at once.
fn calls_of_stream<M: Message>(bytes: &[u8], shown: usize) -> usize {
    let mut stream = BufReader::with_capacity(shown, bytes);
    let (message, allocated) =
        allocated_by(|| M::parse_from(&mut CodedInputStream::from_buf_read(&mut stream)).unwrap());
    drop(message);
    allocated.calls
}

/// What is decoded is converted, too.
#[test]
fn groups_of_a_process_take_at_most_eight_times_their_size() {
    let values: [&[u8]; 2] = [&[1], LARGEST_32];
    for value in values {
        let groups = field(3, &value.repeat(1 << 20));
        let bytes = field(2, &field(3, &groups));
        let peak = peak_of_wire(&bytes);
        assert!(peak <= 8 * bytes.len() + CONSTANT, "{peak} bytes");
    }
}

#[test]
fn deep_message_is_refused_or_skipped() {
    let mut nested = Vec::new();
    for _ in 0..1000 {
        nested = field(15, &nested);
    }
    for (what, bytes) in [
        ("groups", vec![0x7b; DEEP]),
        (
            "closed groups",
            [vec![0x7b; DEEP], vec![0x7c; DEEP]].concat(),
        ),
        ("messages", nested),
    ] {
        let peak = peak_of_wire(&bytes);
        assert!(peak <= 8 * bytes.len() + CONSTANT, "{what}: {peak} bytes");
        let (_, allocated) =
            allocated_by(|| CreateContainerRequest::parse_from_bytes(&bytes).is_ok());
        assert!(
            allocated.peak <= 8 * bytes.len() + CONSTANT,
            "{what}: {allocated:?}"
        );
    }
}

#[test]
fn specification_takes_at_most_eight_times_its_size_on_its_way() {
    let large = "x".repeat(1 << 20);
    for (what, json) in [
        (
            "hostname",
            format!(r#"{{"ociVersion":"1","hostname":"{large}"}}"#),
        ),
        (
            "lost",
            format!(r#"{{"ociVersion":"1","domainname":"{large}"}}"#),
        ),
        (
            "argument",
            format!(
                r#"{{"ociVersion":"1","process":{{"user":{{"uid":0,"gid":0}},"cwd":"/","args":["{large}"]}}}}"#
            ),
        ),
        (
            "mount",
            format!(r#"{{"ociVersion":"1","mounts":[{{"destination":"{large}"}}]}}"#),
        ),
        (
            "blanks",
            format!(r#"{{"ociVersion":"1"{}}}"#, " ".repeat(LARGE)),
        ),
    ] {
        let (spec, read) = allocated_by(|| serde_json::from_str::<oci::Spec>(&json).unwrap());
        assert!(read.peak <= 8 * json.len() + CONSTANT, "{what}: {read:?}");
        let copy = spec.clone();
        let (sent, converted) = allocated_by(|| grpc::Spec::from(spec).write_to_bytes().unwrap());
        assert!(
            converted.peak <= 8 * json.len() + CONSTANT,
            "{what}: {converted:?}"
        );
        let (_, checked) = allocated_by(|| to_proto_checked(copy));
        assert!(
            checked.peak <= 8 * json.len() + CONSTANT,
            "{what}: {checked:?}"
        );
        drop(sent);
    }
}

/// The conversions move what they are given: they take no more than the lists of the other side.
#[test]
fn conversion_of_many_elements_takes_no_more_than_their_size_in_memory() {
    let count = 5_000;
    let mount = r#"{"destination":"/a","type":"b","source":"c","options":["d"]},"#;
    let json = format!(
        r#"{{"ociVersion":"1","mounts":[{}]}}"#,
        mount.repeat(count).trim_end_matches(',')
    );
    let (spec, read) = allocated_by(|| serde_json::from_str::<oci::Spec>(&json).unwrap());
    let (proto, there) = allocated_by(|| grpc::Spec::from(spec));
    let (_, back) = allocated_by(|| oci::Spec::try_from_proto(proto).unwrap());
    let elements = count * size_of::<grpc::Mount>().max(size_of::<oci::Mount>());
    println!("read {read:?}, there {there:?}, back {back:?}, {elements} bytes of elements");
    assert!(there.peak <= 2 * elements, "{there:?}");
    assert!(back.peak <= 2 * elements, "{back:?}");
}

#[test]
fn deep_specification_is_skipped_without_recursion_or_refused() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        for member in ["unknown", "process", "mounts", "linux", "annotations"] {
            let (open, close) = (open.repeat(DEEP), close.repeat(DEEP));
            let json = format!(r#"{{"ociVersion":"1","{member}":{open}1{close}}}"#);
            let (spec, read) = allocated_by(|| serde_json::from_str::<oci::Spec>(&json));
            // What is not known is skipped, at any level.
            assert!(
                spec.is_err() || ["unknown", "linux"].contains(&member),
                "{member}"
            );
            assert!(read.peak <= 8 * json.len() + CONSTANT, "{member}: {read:?}");
        }
    }
}
