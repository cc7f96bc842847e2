//! How the generated types write and read the fields whose Rust types are foreign: enums as
//! numbers, messages as themselves or `null`.
//!
//! The form is a contract with the policy engine of the agent; it is not the JSON mapping of
//! protobuf.

use std::fmt;
use std::marker::PhantomData;

use protobuf::{Enum, EnumFull, EnumOrUnknown, MessageField};
use serde::de::{self, Deserializer, Unexpected, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

/// Writes an enum field as its number.
///
/// Needs the feature `with-serde`.
///
/// # Errors
///
/// The error of the serializer.
pub fn serialize_enum_or_unknown<E: EnumFull, S: Serializer>(
    e: &EnumOrUnknown<E>,
    s: S,
) -> Result<S::Ok, S::Error> {
    e.value().serialize(s)
}

/// Reads an enum field: any 32-bit number, which is kept if unknown, or the name of a value.
///
/// Names are read from human-readable formats such as JSON only. A number in quotes is no name.
///
/// Needs the feature `with-serde`.
///
/// # Examples
///
/// ```
/// use protobuf::EnumOrUnknown;
/// use protocols::types::IPFamily;
///
/// #[derive(serde::Deserialize)]
/// struct Pool {
///     #[serde(deserialize_with = "protocols::deserialize_enum_or_unknown")]
///     family: EnumOrUnknown<IPFamily>,
/// }
///
/// # fn main() -> Result<(), serde_json::Error> {
/// let pool: Pool = serde_json::from_str(r#"{"family": "v6"}"#)?;
/// assert_eq!(pool.family, EnumOrUnknown::new(IPFamily::v6));
/// let pool: Pool = serde_json::from_str(r#"{"family": 7}"#)?;
/// assert_eq!(pool.family.enum_value(), Err(7));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// The error of the deserializer, or that the value is neither a number nor a known name.
pub fn deserialize_enum_or_unknown<'de, E: Enum, D: Deserializer<'de>>(
    d: D,
) -> Result<EnumOrUnknown<E>, D::Error> {
    EnumField::deserialize(d).map(|field| field.0)
}

/// Writes an optional enum field as its number, or unit (JSON `null`) when absent.
///
/// Needs the feature `with-serde`.
///
/// # Errors
///
/// The error of the serializer.
pub fn serialize_optional_enum<E: EnumFull, S: Serializer>(
    e: &Option<EnumOrUnknown<E>>,
    s: S,
) -> Result<S::Ok, S::Error> {
    e.map(|e| e.value()).serialize(s)
}

/// Reads an optional enum field: as [`deserialize_enum_or_unknown`], or unit (JSON `null`).
///
/// Needs the feature `with-serde`.
///
/// # Errors
///
/// Those of [`deserialize_enum_or_unknown`].
pub fn deserialize_optional_enum<'de, E: Enum, D: Deserializer<'de>>(
    d: D,
) -> Result<Option<EnumOrUnknown<E>>, D::Error> {
    Option::<EnumField<E>>::deserialize(d).map(|field| field.map(|field| field.0))
}

/// Writes a repeated enum field as an array of numbers.
///
/// Needs the feature `with-serde`.
///
/// # Errors
///
/// The error of the serializer.
pub fn serialize_repeated_enum<E: EnumFull, S: Serializer>(
    e: &[EnumOrUnknown<E>],
    s: S,
) -> Result<S::Ok, S::Error> {
    s.collect_seq(e.iter().map(EnumOrUnknown::value))
}

/// Reads a repeated enum field: an array whose elements are read as by
/// [`deserialize_enum_or_unknown`].
///
/// Needs the feature `with-serde`.
///
/// # Errors
///
/// Those of [`deserialize_enum_or_unknown`].
pub fn deserialize_repeated_enum<'de, E: Enum, D: Deserializer<'de>>(
    d: D,
) -> Result<Vec<EnumOrUnknown<E>>, D::Error> {
    let fields = Vec::<EnumField<E>>::deserialize(d)?;
    Ok(fields.into_iter().map(|field| field.0).collect())
}

/// Writes a message field as the message, or unit (JSON `null`) when absent.
///
/// Needs the feature `with-serde`.
///
/// # Errors
///
/// The error of the serializer.
pub fn serialize_message_field<E: Serialize, S: Serializer>(
    e: &MessageField<E>,
    s: S,
) -> Result<S::Ok, S::Error> {
    match e.as_ref() {
        Some(message) => message.serialize(s),
        None => s.serialize_unit(),
    }
}

/// Reads a message field: unit (JSON `null`) as absent, anything else as the message.
///
/// Needs the feature `with-serde`.
///
/// # Examples
///
/// ```
/// use protobuf::MessageField;
/// use protocols::types::IPAddress;
///
/// #[derive(serde::Deserialize, serde::Serialize)]
/// struct Endpoint {
///     #[serde(
///         serialize_with = "protocols::serialize_message_field",
///         deserialize_with = "protocols::deserialize_message_field"
///     )]
///     address: MessageField<IPAddress>,
/// }
///
/// # fn main() -> Result<(), serde_json::Error> {
/// let endpoint: Endpoint = serde_json::from_str(r#"{"address": null}"#)?;
/// assert!(endpoint.address.is_none());
/// assert_eq!(serde_json::to_string(&endpoint)?, r#"{"address":null}"#);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// The error of the deserializer.
pub fn deserialize_message_field<'de, E: Deserialize<'de>, D: Deserializer<'de>>(
    d: D,
) -> Result<MessageField<E>, D::Error> {
    Option::<E>::deserialize(d).map(MessageField::from_option)
}

/// An enum field as [`deserialize_enum_or_unknown`] reads it.
struct EnumField<E: Enum>(EnumOrUnknown<E>);

impl<'de, E: Enum> Deserialize<'de> for EnumField<E> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            d.deserialize_any(EnumVisitor(PhantomData))
        } else {
            i32::deserialize(d).map(|number| EnumField(EnumOrUnknown::from_i32(number)))
        }
    }
}

struct EnumVisitor<E>(PhantomData<E>);

/// Characters of a name that an error quotes: what is no name can have any length.
const QUOTED: usize = 64;

impl<E: Enum> Visitor<'_> for EnumVisitor<E> {
    type Value = EnumField<E>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a 32-bit number or the name of a value of {}: ", E::NAME)?;
        for (index, value) in E::VALUES.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{value:?}")?;
        }
        Ok(())
    }

    fn visit_i64<Error: de::Error>(self, number: i64) -> Result<Self::Value, Error> {
        let narrow = i32::try_from(number);
        let number = narrow.map_err(|_| Error::invalid_value(Unexpected::Signed(number), &self))?;
        Ok(EnumField(EnumOrUnknown::from_i32(number)))
    }

    fn visit_u64<Error: de::Error>(self, number: u64) -> Result<Self::Value, Error> {
        let narrow = i32::try_from(number);
        let number =
            narrow.map_err(|_| Error::invalid_value(Unexpected::Unsigned(number), &self))?;
        Ok(EnumField(EnumOrUnknown::from_i32(number)))
    }

    fn visit_str<Error: de::Error>(self, name: &str) -> Result<Self::Value, Error> {
        if let Some(value) = E::from_str(name) {
            return Ok(EnumField(EnumOrUnknown::new(value)));
        }
        let end = name.char_indices().nth(QUOTED).map(|(end, _)| end);
        let quoted = end.and_then(|end| name.get(..end)).unwrap_or(name);
        Err(Error::invalid_value(Unexpected::Str(quoted), &self))
    }
}
