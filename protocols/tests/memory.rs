//! Memory that messages and specifications of any content can make their readers take.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use oci_spec::runtime as oci;
use protobuf::Message;
use protocols::agent::{
    AddSwapRequest, CpuUsage, CreateContainerRequest, MemHotplugByProbeRequest, WriteStreamRequest,
};
use protocols::api::{
    LinuxContainerSecurityContext, LinuxContainerUser, LinuxSandboxSecurityContext,
    PortForwardRequest,
};
use protocols::oci as grpc;
use protocols::trans::{TryFromProto, to_proto_checked};
use test_utils::allocation::{CountingAllocator, allocated_by};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const LARGE: usize = 64 << 20;
const DEEP: usize = 100_000;
const CONSTANT: usize = 64 << 10;

/// How many elements of a message are of the smallest kind.
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

/// An empty message on the wire has two bytes, and is a value of a hundred in memory: a factor that
/// no decoder of protobuf avoids. ttrpc receives no message of more than 4 MiB.
#[test]
fn message_of_the_smallest_elements_takes_at_most_128_times_its_size() {
    let elements = |number| field(number, &[]).repeat(SMALLEST);
    // Of `Process`: `Args` 4. Of `Hooks`: `Prestart` 1.
    for (what, bytes) in [
        ("mounts", elements(5)),
        ("arguments", field(2, &elements(4))),
        ("hooks", field(6, &elements(1))),
        ("annotations", elements(7)),
        ("unknown numbers", [0x78, 0].repeat(SMALLEST)),
    ] {
        let peak = peak_of_wire(&bytes);
        println!("{what}: {peak} bytes for {}", bytes.len());
        assert!(peak <= 128 * bytes.len(), "{what}: {peak} bytes");
    }
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
