//! The same values as from the functions of `protobuf`.

use std::io::BufReader;

use proptest::prelude::*;
use protobuf::{EnumOrUnknown, Message};

use super::*;
use crate::agent::{CpuUsage, MemHotplugByProbeRequest, SharedMount};
use crate::api::{LinuxSandboxSecurityContext, PortMapping};
use crate::oci::User;
use crate::types::IPFamily;

/// What a read gives: the value, and where the stream then stands.
type Outcome<T> = Option<(T, u64)>;

/// Reads from a slice, and from streams that show this many bytes at a time.
fn outcomes<T>(
    bytes: &[u8],
    mut read: impl FnMut(&mut CodedInputStream<'_>) -> Result<T>,
) -> Vec<Outcome<T>> {
    let mut outcome = |is: &mut CodedInputStream<'_>| Some((read(is).ok()?, is.pos()));
    let mut outcomes = vec![outcome(&mut CodedInputStream::from_bytes(bytes))];
    for shown in [1, 2, 7, 4096] {
        let mut stream = BufReader::with_capacity(shown, bytes);
        outcomes.push(outcome(&mut CodedInputStream::from_buf_read(&mut stream)));
    }
    outcomes
}

/// Compares with the functions of `protobuf` that are replaced.
fn check(bytes: &[u8]) {
    macro_rules! check {
        ($ours:expr, $theirs:expr) => {
            let ours: Vec<Outcome<_>> = outcomes(bytes, $ours);
            let theirs: Vec<Outcome<_>> = outcomes(bytes, $theirs);
            assert_eq!(ours, theirs, "{}: {bytes:x?}", stringify!($theirs));
        };
    }
    macro_rules! check_packed {
        ($read:ident, $into:ident, $count:expr) => {
            check!(
                |is| {
                    let mut list = vec![Default::default(); 2];
                    packed(
                        is,
                        &mut Shown::default(),
                        &mut list,
                        CodedInputStream::$read,
                        $count,
                    )
                    .map(|()| list)
                },
                |is| {
                    let mut list = vec![Default::default(); 2];
                    is.$into(&mut list).map(|()| list)
                }
            );
        };
    }
    check_packed!(read_bool, read_repeated_packed_bool_into, varints);
    check_packed!(read_int32, read_repeated_packed_int32_into, varints);
    check_packed!(read_int64, read_repeated_packed_int64_into, varints);
    check_packed!(read_sint64, read_repeated_packed_sint64_into, varints);
    check_packed!(read_uint32, read_repeated_packed_uint32_into, varints);
    check_packed!(read_uint64, read_repeated_packed_uint64_into, varints);
    check_packed!(
        read_fixed32,
        read_repeated_packed_fixed32_into,
        |bytes: &[u8]| bytes.len() / 4
    );
    check!(
        |is| {
            let mut list: Vec<EnumOrUnknown<IPFamily>> = Vec::new();
            packed(
                is,
                &mut Shown::default(),
                &mut list,
                CodedInputStream::read_enum_or_unknown,
                varints,
            )
            .map(|()| list)
        },
        |is| {
            let mut list = Vec::new();
            protobuf::rt::read_repeated_packed_enum_or_unknown_into(is, &mut list).map(|()| list)
        }
    );
    // `protobuf` refuses a length of more than five bytes, unless its stream shows single bytes.
    if bytes.iter().take_while(|byte| **byte > 0x7f).count() >= 5 {
        return;
    }
    check!(string, |is| is.read_string());
    check!(super::bytes, |is| is.read_bytes());
    for tag in [0, 2, 8, 10, 11, 12, 15, 0x7a] {
        check!(
            |is| {
                let mut fields = UnknownFields::new();
                unknown(tag, is, &mut fields).map(|()| fields)
            },
            |is| {
                let mut fields = UnknownFields::new();
                read_unknown_or_skip_group(tag, is, &mut fields).map(|()| fields)
            }
        );
    }
}

#[test]
fn values_are_those_of_protobuf() {
    let cases: &[&[u8]] = &[
        &[],
        &[0],
        &[0, 1],
        &[3, 1, 2, 3, 4],
        &[3, b'a', b'b', b'c'],
        &[2, 0xff, 0xff],
        &[4, 1, 0, 0, 0],
        &[4, 0x80, 0x80, 0x80, 0x04, 1],
        // Cut in a varint, after it, and in the length.
        &[2, 1, 0x80, 1],
        &[2, 0x80, 0x80, 1],
        &[5, 1, 2],
        &[0x80],
        &[0x80, 0],
        &[0x83, 0x80, 0x80, 0x80, 0, b'a', b'b', b'c'],
        &[0x83, 0x80, 0x80, 0x80, 0x80, 0, b'a', b'b', b'c'],
        &[0x80, 0xad, 0xe2, 0x04],
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 1,
        ],
        // Ten bytes each: -1.
        &[
            10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
        ],
    ];
    for bytes in cases {
        check(bytes);
    }
}

proptest! {
    #[test]
    fn any_values_are_those_of_protobuf(
        length in 0..40_u8,
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0x7e_u8..0x82], 0..40),
    ) {
        check(&bytes);
        check(&[&[length], bytes.as_slice()].concat());
    }
}

#[test]
fn long_list_has_no_room_beyond_what_can_follow() {
    const MOUNT: [u8; 2] = [0x2a, 0];
    let room = |mounts: usize, behind: usize| {
        let hostname = vec![0; behind];
        let hostname = [&[0x22, u8::try_from(behind).unwrap()], hostname.as_slice()].concat();
        let bytes = [MOUNT.repeat(mounts), hostname].concat();
        let spec = crate::oci::Spec::parse_from_bytes(&bytes).unwrap();
        assert_eq!(spec.Mounts.len(), mounts);
        spec.Mounts.capacity()
    };
    // For what follows the tag of the 65th, and the 129th, in twos.
    assert_eq!(room(FEW + 1, 0), FEW + 1);
    assert_eq!(room(FEW + 1, 39), FEW + 21);
    assert_eq!(room(2 * FEW + 1, 7), 2 * FEW + 5);
    assert_eq!(room(200, 0), 200);
}

#[test]
fn text_longer_than_the_buffer_of_a_stream_arrives() {
    let mount = SharedMount {
        name: "n".repeat(100_000),
        ..Default::default()
    };
    let bytes = mount.write_to_bytes().unwrap();
    assert_eq!(
        SharedMount::parse_from_reader(&mut bytes.as_slice()).unwrap(),
        mount
    );
}

/// A list as one packed field, as a field for each value, and as two packed fields with an
/// empty one between them.
fn forms(number: u8, values: &[&[u8]]) -> [Vec<u8>; 3] {
    let packed = |values: &[&[u8]]| {
        let content = values.concat();
        [
            &[number << 3 | 2, u8::try_from(content.len()).unwrap()],
            content.as_slice(),
        ]
        .concat()
    };
    let (first, second) = values.split_at(values.len() / 2);
    [
        packed(values),
        values
            .iter()
            .flat_map(|value| [&[number << 3], *value].concat())
            .collect(),
        [packed(first), packed(&[]), packed(second)].concat(),
    ]
}

#[test]
fn packed_and_unpacked_lists_decode_to_the_same() {
    const SMALL: &[&[u8]] = &[&[1], &[0x7f], &[0x80, 1]];
    const MINUS_ONE: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    for bytes in forms(2, SMALL) {
        let message = CpuUsage::parse_from_bytes(&bytes).unwrap();
        assert_eq!(message.percpu_usage, [1, 127, 128], "{bytes:x?}");
    }
    for bytes in forms(1, &[&[5], MINUS_ONE]) {
        let message = MemHotplugByProbeRequest::parse_from_bytes(&bytes).unwrap();
        assert_eq!(message.memHotplugProbeAddr, [5, u64::MAX], "{bytes:x?}");
    }
    for bytes in forms(3, SMALL) {
        let message = User::parse_from_bytes(&bytes).unwrap();
        assert_eq!(message.AdditionalGids, [1, 127, 128], "{bytes:x?}");
    }
    for bytes in forms(5, &[MINUS_ONE, &[3]]) {
        let message = LinuxSandboxSecurityContext::parse_from_bytes(&bytes).unwrap();
        assert_eq!(message.supplemental_groups, [-1, 3], "{bytes:x?}");
    }
    for bytes in forms(1, &[]) {
        let message = MemHotplugByProbeRequest::parse_from_bytes(&bytes).unwrap();
        assert_eq!(message, MemHotplugByProbeRequest::new(), "{bytes:x?}");
    }
    // A single value is no list, and not read by this module.
    let port = PortMapping::parse_from_bytes(&[0x10, 7]).unwrap();
    assert_eq!(port.container_port, 7);
}

#[test]
fn length_that_cuts_a_value_in_two_is_an_error() {
    let cases: [&[u8]; 3] = [
        &[0x0a, 1, 0x80, 1],
        &[0x0a, 2, 1, 0xff, 1],
        &[0x0a, 3, 0x80],
    ];
    for bytes in cases {
        let message = MemHotplugByProbeRequest::parse_from_bytes(bytes);
        assert!(message.is_err(), "{bytes:x?}");
    }
}
