//! Table rows of the unit tests: an OCI value as it stands in `config.json` beside its wire form.
//! In JSON an absent key is `None`, and `[]`, `{}`, `""` and 0 are `Some`.

use std::fmt::Debug;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, to_value};

use super::TryFromProto;

/// `→`: the OCI value `json` of type `T` becomes `proto`.
pub(super) fn to_proto<T, P>(json: Value, proto: P)
where
    T: DeserializeOwned,
    P: From<T> + PartialEq + Debug,
{
    let row = json.to_string();
    let value: T = serde_json::from_value(json).expect(&row);
    assert_eq!(P::from(value), proto, "{row}");
}

/// `←`: `proto` becomes the OCI value `json` of type `T`, in both forms of the conversion.
pub(super) fn from_proto<T, P>(proto: P, json: Value)
where
    T: From<P> + TryFromProto<P> + Serialize,
    P: Clone + Debug,
{
    let row = format!("{proto:?}");
    assert_eq!(
        to_value(T::try_from_proto(proto.clone()).expect(&row)).unwrap(),
        json,
        "{row}"
    );
    assert_eq!(to_value(T::from(proto)).unwrap(), json, "{row}");
}

/// `⇄`: the OCI value and `proto` become each other.
pub(super) fn both<T, P>(json: Value, proto: P)
where
    T: From<P> + TryFromProto<P> + Serialize + DeserializeOwned,
    P: From<T> + PartialEq + Clone + Debug,
{
    to_proto::<T, P>(json.clone(), proto.clone());
    from_proto::<T, P>(proto, json);
}

/// `←`: `proto` is refused with this path, value and kind, and `From` panics with the error's text.
pub(super) fn refused<T, P>(proto: P, path: &str, value: &str, expected: &str)
where
    T: From<P> + TryFromProto<P> + Debug,
    P: Clone + Debug,
{
    let row = format!("{proto:?}");
    let error = T::try_from_proto(proto.clone()).expect_err(&row);
    assert_eq!(
        (error.path(), error.value(), error.expected()),
        (path, value, expected),
        "{row}"
    );
    let panic =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| T::from(proto))).expect_err(&row);
    let text = panic.downcast_ref::<String>().expect(&row);
    assert_eq!(text, &error.to_string());
    assert!(text.contains(&format!("Failed to parse {value:?} to Enum {expected}")));
}

/// `←`: `Refuse` reports the number that `From` turns into that of `json`.
pub(super) fn saturates<T, P>(proto: P, path: &str, value: &str, expected: &str, json: Value)
where
    T: From<P> + TryFromProto<P> + Serialize + Debug,
    P: Clone + Debug,
{
    let row = format!("{proto:?}");
    let error = T::try_from_proto(proto.clone()).expect_err(&row);
    assert_eq!(
        (error.path(), error.value(), error.expected()),
        (path, value, expected),
        "{row}"
    );
    assert_eq!(to_value(T::from(proto)).unwrap(), json, "{row}");
}
