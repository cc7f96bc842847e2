#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "with-serde")]
mod serde_config;
pub mod trans;

#[cfg(feature = "with-serde")]
pub use serde_config::{
    deserialize_enum_or_unknown, deserialize_message_field, deserialize_optional_enum,
    deserialize_repeated_enum, serialize_enum_or_unknown, serialize_message_field,
    serialize_optional_enum, serialize_repeated_enum,
};

// The generated modules: one for each proto file, and its ttrpc stubs. They name each other with
// `super::` and the serde functions with `crate::`, so they stand at the root of the crate.
include!(concat!(env!("OUT_DIR"), "/mod.rs"));
