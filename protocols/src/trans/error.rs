//! The fallible conversion `grpc` → `oci`, its error, and the crate's one panic.

use std::fmt;

/// Conversion of a wire message that reports what it cannot read.
///
/// Implemented for all 29 `grpc` → `oci` pairs, with the field rules of the pair's [`From`].
/// (`TryFrom` itself cannot be implemented where `From` is.)
///
/// ```
/// use oci_spec::runtime as oci;
/// use protocols::{oci as grpc, trans::TryFromProto};
///
/// let mut syscall = grpc::LinuxSyscall::new();
/// syscall.Names = vec!["mount".to_string()];
/// syscall.Action = "SCMP_ACT_BLOCK".to_string();
/// let mut seccomp = grpc::LinuxSeccomp::new();
/// seccomp.DefaultAction = "SCMP_ACT_ALLOW".to_string();
/// seccomp.Syscalls.push(syscall);
///
/// let error = oci::LinuxSeccomp::try_from_proto(seccomp).unwrap_err();
/// assert_eq!(error.path(), "Syscalls[0].Action");
/// assert_eq!(error.value(), "SCMP_ACT_BLOCK");
/// assert_eq!(error.expected(), "LinuxSeccompAction");
/// assert_eq!(
///     error.to_string(),
///     r#"Syscalls[0].Action: Failed to parse "SCMP_ACT_BLOCK" to Enum LinuxSeccompAction"#
/// );
/// ```
pub trait TryFromProto<T>: Sized {
    /// Converts `v`, moving its contents.
    ///
    /// # Errors
    ///
    /// A name that `oci-spec` does not know, or a number that does not fit the type of its field.
    fn try_from_proto(v: T) -> Result<Self, ConvertError>;
}

/// A field of a wire message that has no counterpart in the OCI types: an unknown name (of a
/// seccomp action, capability, namespace …) or a number out of range.
///
/// The text has one of two forms:
///
/// ```text
/// Linux.Namespaces[1].Type: Failed to parse "tiem" to Enum LinuxNamespaceType
/// Linux.Resources.BlockIO.Weight: 70000 is out of range of u16 (0 to 65535)
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvertError(
    // Boxed, because every conversion returns a `Result` of it and hardly any fails.
    Box<Details>,
);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Details {
    path: String,
    value: String,
    expected: Expected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Name(&'static str),
    Number(Bounds),
}

impl ConvertError {
    /// Where the value is, from the message that was converted: field names of the `.proto` file
    /// joined by dots, with list positions from 0, such as `Linux.Seccomp.Syscalls[3].Action`.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// The offending value as it was received; a number in decimal.
    pub fn value(&self) -> &str {
        &self.0.value
    }

    /// The type that the value had to be of: for names an enum of [`oci_spec::runtime`](https://docs.rs/oci-spec/0.8/oci_spec/runtime/index.html)
    /// (`LinuxSeccompAction`, `LinuxSeccompOperator`, `Arch`, `LinuxSeccompFilterFlag`,
    /// `LinuxDeviceType`, `LinuxNamespaceType`, `PosixRlimitType` or `Capability`), for numbers an
    /// integer type (`u16`, `i32` or `usize`).
    pub fn expected(&self) -> &str {
        match self.0.expected {
            Expected::Name(kind) => kind,
            Expected::Number(bounds) => bounds.kind,
        }
    }

    /// An unknown name of the enum `kind`.
    #[cold]
    pub(super) fn name(value: String, kind: &'static str) -> Self {
        Self::new(value, Expected::Name(kind))
    }

    /// A number outside of `bounds`.
    #[cold]
    pub(super) fn number(value: impl ToString, bounds: Bounds) -> Self {
        Self::new(value.to_string(), Expected::Number(bounds))
    }

    fn new(value: String, expected: Expected) -> Self {
        Self(Box::new(Details {
            path: String::new(),
            value,
            expected,
        }))
    }

    /// The same error, seen from the message that holds the value in `field`.
    #[cold]
    fn within(mut self, field: &str) -> Self {
        let rest = &self.0.path;
        let dot = if rest.is_empty() || rest.starts_with('[') {
            ""
        } else {
            "."
        };
        self.0.path = format!("{field}{dot}{rest}");
        self
    }
}

impl fmt::Display for ConvertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details {
            path,
            value,
            expected,
        } = &*self.0;
        match expected {
            Expected::Name(kind) => write!(f, "{path}: Failed to parse {value:?} to Enum {kind}"),
            Expected::Number(Bounds { kind, min, max }) => {
                write!(
                    f,
                    "{path}: {value} is out of range of {kind} ({min} to {max})"
                )
            }
        }
    }
}

impl std::error::Error for ConvertError {}

/// The range of an integer type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) kind: &'static str,
    pub(super) min: i128,
    pub(super) max: i128,
}

/// What to do with a number that its field cannot hold.
///
/// Never wrap (D9): a weight of 65536 must not arrive as 0.
#[derive(Clone, Copy, Debug)]
pub(super) enum OutOfRange {
    /// Take the nearest number, so that the kernel refuses it and the caller gets an error.
    Saturate,
    /// Report it.
    Refuse,
}

/// Adds the position of a value to the error of its conversion, on the way out.
pub(super) trait Locate {
    /// The value was in the field of this name.
    fn at(self, field: &'static str) -> Self;

    /// The value was element `index` of a list.
    fn at_index(self, index: usize) -> Self;
}

impl<T> Locate for Result<T, ConvertError> {
    #[inline]
    fn at(self, field: &'static str) -> Self {
        self.map_err(|error| error.within(field))
    }

    #[inline]
    fn at_index(self, index: usize) -> Self {
        self.map_err(|error| error.within(&format!("[{index}]")))
    }
}

/// The value, for the conversions whose signature allows no error. The crate's one panic.
#[inline]
pub(super) fn or_panic<T>(converted: Result<T, ConvertError>) -> T {
    match converted {
        Ok(value) => value,
        Err(error) => refuse(&error),
    }
}

#[cold]
#[expect(
    clippy::panic,
    reason = "the contract has `From` for messages with unknown names (D6)"
)]
fn refuse(error: &ConvertError) -> ! {
    panic!("{error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const U16: Bounds = Bounds {
        kind: "u16",
        min: 0,
        max: 65535,
    };

    fn failed(error: ConvertError) -> Result<(), ConvertError> {
        Err(error)
    }

    #[test]
    fn path_grows_outwards_through_fields_and_lists() {
        let error = failed(ConvertError::name("X".into(), "LinuxSeccompAction"))
            .at("Action")
            .at_index(3)
            .at("Syscalls")
            .at("Seccomp")
            .at("Linux")
            .unwrap_err();
        assert_eq!(error.path(), "Linux.Seccomp.Syscalls[3].Action");

        let error = failed(ConvertError::name("X".into(), "Capability"))
            .at_index(0)
            .at("Bounding")
            .unwrap_err();
        assert_eq!(error.path(), "Bounding[0]");
    }

    #[test]
    fn text_names_path_value_and_what_was_expected() {
        let error = failed(ConvertError::name("a\"b\n".into(), "Arch"))
            .at("Architectures")
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"Architectures: Failed to parse "a\"b\n" to Enum Arch"#
        );
        assert_eq!((error.value(), error.expected()), ("a\"b\n", "Arch"));

        let error = failed(ConvertError::number(70_000_u32, U16))
            .at("Weight")
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "Weight: 70000 is out of range of u16 (0 to 65535)"
        );
        assert_eq!((error.value(), error.expected()), ("70000", "u16"));
    }

    #[test]
    fn error_can_cross_threads_and_be_boxed() {
        fn check<T: std::error::Error + Send + Sync + 'static>() {}
        check::<ConvertError>();
    }

    #[test]
    #[should_panic(expected = "Type: Failed to parse \"x\" to Enum LinuxDeviceType")]
    fn panic_has_the_text_of_the_error() {
        or_panic(failed(ConvertError::name("x".into(), "LinuxDeviceType")).at("Type"));
    }
}
