//! Conversions between the OCI runtime specification's types ([`oci_spec::runtime`](https://docs.rs/oci-spec/0.8/oci_spec/runtime/index.html), called `oci`
//! below; [`config.md`](https://github.com/opencontainers/runtime-spec/blob/main/config.md),
//! [`config-linux.md`](https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md))
//! and their wire form ([`crate::oci`], called `grpc` below).
//!
//! The host writes a container's `config.json` into the wire form and the agent in the guest reads
//! it back. 29 pairs of types convert, each of them by the traits of this table:
//!
//! | From → to | Conversion | What cannot be carried over |
//! |---|---|---|
//! | `oci` → `grpc` | [`From`] | dropped silently |
//! | [`oci::Spec`](https://docs.rs/oci-spec/0.8/oci_spec/runtime/struct.Spec.html) → [`grpc::Spec`] | [`to_proto_checked`] | listed as [`Lossy`] |
//! | `grpc` → `oci` | [`From`] | unknown names **panic**, numbers out of range saturate |
//! | `grpc` → `oci` | [`TryFromProto`] | [`ConvertError`] with the path of the field |
//!
//! Use [`TryFromProto`] for whatever another process sent: a panic inside a ttrpc request handler
//! sends no reply, so the caller waits for its time-out.
//!
//! ```
//! use oci_spec::runtime as oci;
//! use protocols::{oci as grpc, trans::TryFromProto};
//!
//! // Host side.
//! let spec: grpc::Spec = oci::Spec::default().into();
//! assert_eq!(spec.Process.Args, ["sh"]);
//!
//! // Guest side.
//! let spec = oci::Spec::try_from_proto(spec)?;
//! assert_eq!(spec.root().as_ref().unwrap().path().to_str(), Some("rootfs"));
//! # Ok::<(), protocols::trans::ConvertError>(())
//! ```
//!
//! # What the wire cannot say
//!
//! A proto3 field has no "absent": a number that is not set is 0, a string is empty, a list has no
//! elements. The wire form therefore holds 0, `""`, `false` and `[]` for `None`. On the way back
//! most of them become `None` again; where the consumers depend on a value (a process's additional
//! groups, the annotations, a device's mode …) they become `Some`. Each `impl` says what it does.
//!
//! `oci` → `grpc` → `oci` so gives the *normal form* of a specification rather than the same
//! specification. A normal form converts to itself, with two exceptions, both because of what the
//! agent's cgroup drivers expect:
//!
//! | Value before | Normal form | Its normal form |
//! |---|---|---|
//! | `linux.resources` = `None` | `Some`, with nothing in it but `devices` = `Some([])` | `devices` = `None`, `pids` = `Some(limit 0)` |
//! | a device rule's `major`, `minor` = `Some(8)`, `Some(-1)` (one positive, the other negative) | `Some(8)`, `None` | `Some(8)`, `Some(0)` |
//!
//! Some explicit values mean "not set" after the trip: `oom_score_adj` = 0, a hook's timeout, memory
//! limits and real-time runtime ≤ 0, and 0 for the other CPU limits, the weights of `block_io` itself
//! and the network class; empty texts and lists, unless an `impl` says otherwise; and of a device rule
//! numbers 0 for all, and below 0. A rule without a type is one for all types. A CPU quota of −1 arrives. The limits of `pids`, huge pages, throttle devices,
//! weight devices and rlimits arrive as they are, 0 included; a weight that a weight device does
//! not have arrives as 0.
//!
//! # What the wire does not carry
//!
//! These have no field in the wire form: `domainname`, `solaris`, `windows`, `vm`, `zos`,
//! `uid_mappings`, `gid_mappings` of the specification itself; `command_line`, `io_priority`,
//! `scheduler`, `exec_cpu_affinity` of a process; `umask` of a user; `net_devices`,
//! `memory_policy`, `personality`, `time_offsets` of `linux`; `rdma`, `unified` of the resources;
//! `use_hierarchy`, `check_before_update` of the memory limits; `idle`, `burst` of the CPU limits;
//! `default_errno_ret`, `listener_path`, `listener_metadata` of seccomp; `clos_id`,
//! `mem_bw_schema`, `enable_cmt`, `enable_mbm` of Intel RDT. Paths that are not UTF-8 lose the
//! offending bytes to U+FFFD. [`to_proto_checked`] reports all of these.
//!
//! In the other direction, unknown fields (`special_fields`) and the dummy messages
//! [`grpc::Solaris`] and [`grpc::Windows`] are dropped.
//!
//! # Cost
//!
//! `grpc` → `oci` moves: no byte of a string is copied. `oci` → `grpc` moves what `oci_spec`
//! lets go of (fields with a `*_mut()` accessor) and copies the rest once.

mod blank;
mod block_io;
mod capability;
#[cfg(test)]
mod check;
mod devices;
mod error;
mod hooks;
mod linux;
mod lossy;
mod mount;
mod network;
mod process;
mod resources;
mod rules;
mod seccomp;
mod spec;

pub use error::{ConvertError, TryFromProto};
pub use lossy::{LossReason, Lossy, to_proto_checked};

use oci_spec::runtime as oci;
use protobuf::MessageField;

use crate::oci as grpc;

use error::OutOfRange;
use lossy::Losses;

/// Converts an optional value to an optional message field: `None` gives an absent message.
///
/// ```
/// use oci_spec::runtime as oci;
/// use protobuf::MessageField;
/// use protocols::{oci as grpc, trans::from_option};
///
/// let root: MessageField<grpc::Root> = from_option(Some(oci::Root::default()));
/// assert_eq!(root.Path, "rootfs");
///
/// let root: MessageField<grpc::Root> = from_option(None::<oci::Root>);
/// assert!(root.is_none());
/// ```
pub fn from_option<F: Sized, T: From<F>>(from: Option<F>) -> MessageField<T> {
    MessageField::from_option(from.map(T::from))
}

/// Converts an optional list to a repeated field, element by element and in order: `None` gives an
/// empty one.
///
/// ```
/// use oci_spec::runtime as oci;
/// use protocols::{oci as grpc, trans::from_option_vec};
///
/// let mounts: Vec<grpc::Mount> = from_option_vec(Some(oci::get_default_mounts()));
/// assert_eq!(mounts[0].destination, "/proc");
///
/// let mounts: Vec<grpc::Mount> = from_option_vec(None::<Vec<oci::Mount>>);
/// assert!(mounts.is_empty());
/// ```
pub fn from_option_vec<F: Sized + Clone, T: From<F>>(from: Option<Vec<F>>) -> Vec<T> {
    from.map(|list| list.into_iter().map(T::from).collect())
        .unwrap_or_default()
}

/// An `oci` type and how it becomes a wire message: the one implementation behind `From` and
/// [`to_proto_checked`].
///
/// Types whose fields `oci-spec` only lends implement it on the reference, the others on the value.
trait IntoProto {
    type Proto;

    fn into_proto<L: Losses>(self, losses: &mut L) -> Self::Proto;
}

/// A wire message and how it becomes an `oci` type: the one implementation behind `From` and
/// [`TryFromProto`].
trait FromProto<P>: Sized {
    fn from_proto(proto: P, out_of_range: OutOfRange) -> Result<Self, ConvertError>;
}

/// The public conversions of one pair of types, from its `IntoProto` and `FromProto`.
macro_rules! conversions {
    (@into value $value:ident) => { $value };
    (@into reference $value:ident) => { &$value };
    (
        $(#[$to_proto:meta])*
        ($oci:ty) -> ($grpc:ty) by $how:ident;
        $(#[$from_proto:meta])*
        <-;
    ) => {
        /// To the wire.
        ///
        $(#[$to_proto])*
        impl From<$oci> for $grpc {
            fn from(value: $oci) -> Self {
                $crate::trans::IntoProto::into_proto(
                    conversions!(@into $how value),
                    &mut $crate::trans::lossy::Unreported,
                )
            }
        }

        /// From the wire.
        ///
        $(#[$from_proto])*
        impl From<$grpc> for $oci {
            fn from(proto: $grpc) -> Self {
                $crate::trans::error::or_panic($crate::trans::FromProto::from_proto(
                    proto,
                    $crate::trans::error::OutOfRange::Saturate,
                ))
            }
        }

        /// From the wire, with an error for what [`From`] cannot take as it is. The rules are
        /// those of [`From`].
        impl $crate::trans::TryFromProto<$grpc> for $oci {
            fn try_from_proto(proto: $grpc) -> Result<Self, $crate::trans::ConvertError> {
                $crate::trans::FromProto::from_proto(
                    proto,
                    $crate::trans::error::OutOfRange::Refuse,
                )
            }
        }
    };
}
use conversions;
