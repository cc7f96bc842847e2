//! Which JSON values a message must accept, and which it must refuse: by its descriptor.

use protobuf::reflect::{FieldDescriptor, MessageDescriptor, RuntimeFieldType, RuntimeType};
use serde_json::Value;

/// What a reader has to say to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Accepted,
    /// It is up to the reader.
    Open,
    Refused,
}

/// The verdict for an object as a message of this kind. All members may be missing, and unknown ones
/// are passed over.
pub fn verdict(of: &MessageDescriptor, value: &Value) -> Verdict {
    let Value::Object(members) = value else {
        // serde reads an array as the members in their order.
        return match value.is_array() {
            true => Verdict::Open,
            false => Verdict::Refused,
        };
    };
    let verdict_of = |(key, value): (&String, &Value)| {
        // A oneof is a member by its own name.
        let mut oneofs = of.oneofs();
        if oneofs.any(|oneof| oneof.name() == key) {
            return Verdict::Open;
        }
        let mut fields = of
            .fields()
            .filter(|field| field.containing_oneof().is_none());
        match fields.find(|field| rust_name(field) == *key) {
            Some(field) => verdict_of_field(&field, value),
            None => Verdict::Accepted,
        }
    };
    worst(members.iter().map(verdict_of))
}

fn worst(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    verdicts.max().unwrap_or(Verdict::Accepted)
}

/// Words of the language have an underscore behind them.
fn rust_name(field: &FieldDescriptor) -> String {
    match field.name() {
        "type" => "type_".to_owned(),
        name => name.to_owned(),
    }
}

fn verdict_of_field(field: &FieldDescriptor, value: &Value) -> Verdict {
    match field.runtime_field_type() {
        RuntimeFieldType::Singular(kind) => {
            let may_be_null =
                field.proto().proto3_optional() || matches!(kind, RuntimeType::Message(_));
            match value.is_null() && may_be_null {
                true => Verdict::Accepted,
                false => verdict_of_value(&kind, value),
            }
        }
        RuntimeFieldType::Repeated(kind) => match value {
            Value::Array(items) => worst(items.iter().map(|item| verdict_of_value(&kind, item))),
            _ => Verdict::Refused,
        },
        RuntimeFieldType::Map(RuntimeType::String, kind) => match value {
            Value::Object(map) => worst(map.values().map(|item| verdict_of_value(&kind, item))),
            _ => Verdict::Refused,
        },
        RuntimeFieldType::Map(..) => Verdict::Open,
    }
}

fn verdict_of_value(kind: &RuntimeType, value: &Value) -> Verdict {
    let is_accepted = match kind {
        RuntimeType::I32 => value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
        RuntimeType::I64 => value.is_i64(),
        RuntimeType::U32 => value.as_u64().is_some_and(|n| u32::try_from(n).is_ok()),
        RuntimeType::U64 => value.is_u64(),
        RuntimeType::F32 | RuntimeType::F64 => return Verdict::Open,
        RuntimeType::Bool => value.is_boolean(),
        RuntimeType::String => value.is_string(),
        RuntimeType::VecU8 => {
            let is_byte = |item: &Value| item.as_u64().is_some_and(|n| n <= 255);
            value
                .as_array()
                .is_some_and(|items| items.iter().all(is_byte))
        }
        RuntimeType::Enum(descriptor) => match value {
            Value::String(name) => descriptor.value_by_name(name).is_some(),
            _ => value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
        },
        RuntimeType::Message(descriptor) => return verdict(descriptor, value),
    };
    match is_accepted {
        true => Verdict::Accepted,
        false => Verdict::Refused,
    }
}

/// Whether everything that a message was made from is in its own JSON form: what that does not have
/// is unknown, or nothing.
pub fn is_kept(of: &MessageDescriptor, read: &Value, written: &Value) -> bool {
    let members = read.as_object().into_iter().flatten();
    let mut fields = members.filter_map(|(key, value)| {
        let mut fields = of.fields();
        let field = fields.find(|field| rust_name(field) == *key)?;
        Some((field, value, written.get(key)))
    });
    fields.all(|(field, value, written)| match field.runtime_field_type() {
        // By number, and in a form of their own.
        RuntimeFieldType::Singular(RuntimeType::Enum(_)) => true,
        RuntimeFieldType::Repeated(RuntimeType::Enum(_)) => true,
        RuntimeFieldType::Singular(RuntimeType::Message(kind)) if !value.is_null() => {
            written.is_some_and(|written| is_kept(&kind, value, written))
        }
        RuntimeFieldType::Repeated(RuntimeType::Message(kind)) => {
            let items = value.as_array().into_iter().flatten();
            let written = written.and_then(Value::as_array).into_iter().flatten();
            items.clone().count() == written.clone().count()
                && items.zip(written).all(|(a, b)| is_kept(&kind, a, b))
        }
        RuntimeFieldType::Map(_, RuntimeType::Message(kind)) => {
            let mut items = value.as_object().into_iter().flatten();
            let written = |key| written.and_then(|written| written.get(key));
            items.all(|(key, item)| {
                written(key).is_some_and(|item_written| is_kept(&kind, item, item_written))
            })
        }
        _ => written == Some(value),
    })
}
