//! Attributes of the message types: documentation and the JSON form (feature `with-serde`).

use protobuf::descriptor::field_descriptor_proto::Type;
use protobuf::descriptor::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto};
use protobuf::reflect::{
    EnumDescriptor, FieldDescriptor, MessageDescriptor, OneofDescriptor, RuntimeFieldType,
    RuntimeType,
};
use protobuf_codegen::{Customize, CustomizeCallback};

use super::docs::{Docs, outer};

const DERIVE: &str =
    "#[cfg_attr(feature = \"with-serde\", derive(::serde::Serialize, ::serde::Deserialize))]\n";
/// A key that is missing gives the default of its field.
const DEFAULT: &str = "#[cfg_attr(feature = \"with-serde\", serde(default))]\n";
const SKIP: &str = "#[cfg_attr(feature = \"with-serde\", serde(skip))]\n";
const SPECIAL_FIELDS: &str = "/// Fields that this version does not know, kept and encoded again, \
     and the size of the last encoding.\n";

/// How the generator writes messages.
pub(crate) fn customize() -> Customize {
    Customize::default()
        .gen_mod_rs(false)
        .generate_getter(true)
        .generate_accessors(true)
}

/// Refuses what has no JSON form yet, rather than generate code that does not compile.
pub(crate) fn check(file: &FileDescriptorProto) -> Result<(), String> {
    file.message_type.iter().try_for_each(check_message)
}

fn check_message(message: &DescriptorProto) -> Result<(), String> {
    let is_enum = |field: &FieldDescriptorProto| field.type_() == Type::TYPE_ENUM;
    for field in &message.field {
        let in_oneof = field.has_oneof_index() && !field.proto3_optional();
        if is_enum(field) && in_oneof {
            let name = field.name();
            return Err(format!(
                "{}.{name}: an enum in a oneof has no JSON form",
                message.name()
            ));
        }
    }
    for nested in &message.nested_type {
        if nested.options.map_entry() && nested.field.iter().any(is_enum) {
            let name = nested.name();
            return Err(format!(
                "{}.{name}: an enum in a map has no JSON form",
                message.name()
            ));
        }
        check_message(nested)?;
    }
    Ok(())
}

/// The attributes in front of every item.
pub(crate) struct Attributes {
    docs: Docs,
}

impl Attributes {
    pub(crate) fn new(docs: Docs) -> Self {
        Attributes { docs }
    }

    fn documented(&self, path: &str, attributes: &str) -> Customize {
        let docs = outer(&self.docs.lines(path), "");
        Customize::default().before(&format!("{docs}{attributes}"))
    }
}

impl CustomizeCallback for Attributes {
    fn message(&self, message: &MessageDescriptor) -> Customize {
        self.documented(message.full_name(), &format!("{DERIVE}{DEFAULT}"))
    }

    fn enumeration(&self, enumeration: &EnumDescriptor) -> Customize {
        self.documented(enumeration.full_name(), DERIVE)
    }

    fn oneof(&self, oneof: &OneofDescriptor) -> Customize {
        self.documented(&oneof.full_name(), DERIVE)
    }

    fn field(&self, field: &FieldDescriptor) -> Customize {
        self.documented(&field.full_name(), &json_form(field))
    }

    fn special_field(&self, _message: &MessageDescriptor, _field: &str) -> Customize {
        Customize::default().before(&format!("{SPECIAL_FIELDS}{SKIP}"))
    }
}

/// The serde attribute of a field whose Rust type does not implement serde's traits.
fn json_form(field: &FieldDescriptor) -> String {
    let optional = field.proto().proto3_optional();
    let form = match field.runtime_field_type() {
        RuntimeFieldType::Singular(RuntimeType::Message(_)) => "message_field",
        RuntimeFieldType::Singular(RuntimeType::Enum(_)) if optional => "optional_enum",
        RuntimeFieldType::Singular(RuntimeType::Enum(_)) => "enum_or_unknown",
        RuntimeFieldType::Repeated(RuntimeType::Enum(_)) => "repeated_enum",
        _ => return String::new(),
    };
    format!(
        "#[cfg_attr(feature = \"with-serde\", serde(serialize_with = \"crate::serialize_{form}\", \
         deserialize_with = \"crate::deserialize_{form}\"))]\n"
    )
}
