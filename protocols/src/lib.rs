// The README's links lead to source files, where there is no rustdoc; here, these come before them.
//! [`agent`]: mod@agent
//! [`agent_ttrpc`]: mod@agent_ttrpc
//! [`api`]: mod@api
//! [`confidential_data_hub`]: mod@confidential_data_hub
//! [`confidential_data_hub_ttrpc`]: mod@confidential_data_hub_ttrpc
//! [`csi`]: mod@csi
//! [`empty`]: mod@empty
//! [`health`]: mod@health
//! [`health_ttrpc`]: mod@health_ttrpc
//! [`oci`]: mod@oci
//! [`remote`]: mod@remote
//! [`remote_ttrpc`]: mod@remote_ttrpc
//! [`runtimeoptions`]: mod@runtimeoptions
//! [`trans`]: mod@trans
//! [`types`]: mod@types
#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod bounded;
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
// `super::`, the functions of `bounded` and the serde functions with `crate::`, so they stand at the
// root of the crate.
include!(concat!(env!("OUT_DIR"), "/mod.rs"));
