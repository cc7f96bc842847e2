//! The wire form of messages. The first byte of an input selects the message, the second says in
//! pieces of what size a stream brings the rest.
//!
//! * What is read is written and read again without a change, and the size was told before.
//! * A stream gives the same as a slice, or an error where that does, but for one weakness of the
//!   `protobuf` crate.
//! * What the reader of the `protobuf` crate that goes by descriptors accepts is accepted; and what is
//!   written is read by that one, and means the same.
#![no_main]

use std::fmt::Debug;
use std::io::{self, Read};
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use protobuf::MessageFull;
use protobuf::reflect::{FileDescriptor, MessageDescriptor};
use protocols::{agent, confidential_data_hub, csi, health, oci, remote, runtimeoptions, types};

/// Brings some bytes at a time.
struct Pieces<'a> {
    rest: &'a [u8],
    size: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.size.min(buffer.len());
        self.rest.read(&mut buffer[..size])
    }
}

/// The message as the `protobuf` crate knows it without generated code.
fn dynamic<M: MessageFull>() -> MessageDescriptor {
    let of = M::descriptor();
    let file = of.file_descriptor();
    let file = FileDescriptor::new_dynamic(file.proto().clone(), file.deps());
    let mut messages = file.expect("it is in use").messages().collect::<Vec<_>>();
    messages.retain(|message| message.name() == of.name());
    messages.pop().expect("it is in its file")
}

fn check<M: MessageFull + Debug>(second: &MessageDescriptor, data: &[u8], size: usize) {
    let read = M::parse_from_bytes(data);
    let streamed = M::parse_from_reader(&mut Pieces { rest: data, size });
    let message = match read {
        Ok(message) => message,
        Err(error) => {
            assert!(second.parse_from_bytes(data).is_err());
            // In pieces, `protobuf` takes numbers of 32 bits that are longer than they need be.
            let is_long = format!("{error:?}").contains("IncorrectVarint");
            return assert!(is_long || streamed.is_err());
        }
    };
    assert_eq!(streamed.expect("the same bytes"), message);
    let bytes = message.write_to_bytes().expect("written");
    assert_eq!(bytes.len() as u64, message.compute_size());
    assert_eq!(M::parse_from_bytes(&bytes).expect("read again"), message);
    let again = match second.parse_from_bytes(&bytes) {
        Ok(again) => again,
        // For the generated code, such a field is an unknown one.
        Err(error) => return assert!(format!("{error:?}").contains("UnexpectedWireType")),
    };
    // That one does not write an optional 0.
    if M::descriptor()
        .fields()
        .any(|field| field.proto().proto3_optional())
    {
        return;
    }
    let bytes = again.write_to_bytes_dyn().expect("written");
    assert_eq!(M::parse_from_bytes(&bytes).expect("read again"), message);
}

macro_rules! checks {
    ($($kind:ty),* $(,)?) => {
        [$(|data, size| {
            static SECOND: OnceLock<MessageDescriptor> = OnceLock::new();
            check::<$kind>(SECOND.get_or_init(dynamic::<$kind>), data, size);
        }),*]
    };
}

const CHECKS: [fn(&[u8], usize); 19] = checks![
    oci::Spec,
    agent::CreateContainerRequest,
    agent::CreateSandboxRequest,
    agent::CopyFileRequest,
    agent::ExecProcessRequest,
    agent::GuestDetailsResponse,
    agent::MemAgentMemcgConfig,
    agent::StatsContainerResponse,
    agent::UpdateContainerRequest,
    agent::UpdateEphemeralMountsRequest,
    agent::UpdateInterfaceRequest,
    agent::UpdateRoutesRequest,
    agent::WriteStreamRequest,
    confidential_data_hub::SecureMountRequest,
    csi::VolumeStatsResponse,
    health::HealthCheckResponse,
    remote::CreateVMRequest,
    runtimeoptions::Options,
    types::Interface,
];

fuzz_target!(|data: &[u8]| {
    if let [kind, size, rest @ ..] = data {
        let check = CHECKS[usize::from(*kind) % CHECKS.len()];
        check(rest, usize::from(*size).max(1));
    }
});
