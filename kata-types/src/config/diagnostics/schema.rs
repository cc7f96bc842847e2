//! A JSON Schema of the configuration file, for editors that complete and check TOML.

use serde_json::{Map, Value, json};

use crate::config::keys::{ANY, KeySpec, Kind, Section, Since};

/// [JSON Schema](https://json-schema.org/draft/2020-12) of a configuration file: all keys, their
/// types, defaults and explanations.
///
/// Editors with TOML support use it when the first line of a configuration file is
/// `#:schema PATH`, or when their settings say so. It is in the repository as
/// `kata-types/examples/config/configuration.schema.json`.
///
/// ```
/// let schema = kata_types::config::json_schema();
/// let vcpus = &schema["$defs"]["hypervisor"]["properties"]["default_vcpus"];
/// assert_eq!(vcpus["type"], "number");
/// ```
pub fn json_schema() -> Value {
    let mut schema = section(Section::Root);
    if let Value::Object(schema) = &mut schema {
        let definitions = [
            Section::Hypervisor,
            Section::Factory,
            Section::RootlessUser,
            Section::Agent,
            Section::MemAgent,
            Section::Runtime,
            Section::SharedMount,
        ];
        let definitions = definitions.map(|of| (name(of).to_owned(), section(of)));
        schema.insert(
            "$defs".to_owned(),
            Value::Object(definitions.into_iter().collect()),
        );
        schema.insert(
            "$schema".to_owned(),
            json!("https://json-schema.org/draft/2020-12/schema"),
        );
        schema.insert("title".to_owned(), json!("Kata Containers configuration"));
    }
    schema
}

fn name(section: Section) -> &'static str {
    match section {
        Section::Root => "configuration",
        Section::Hypervisor => "hypervisor",
        Section::Factory => "factory",
        Section::RootlessUser => "rootless_user",
        Section::Agent => "agent",
        Section::MemAgent => "mem_agent",
        Section::Runtime => "runtime",
        Section::SharedMount => "shared_mount",
    }
}

fn section(section: Section) -> Value {
    let mut properties = Map::new();
    for spec in section.keys() {
        let property = property(section, spec);
        for alias in spec.aliases {
            let mut alias_property = property.clone();
            if let Value::Object(alias_property) = &mut alias_property {
                alias_property.insert("deprecated".to_owned(), json!(true));
            }
            properties.insert((*alias).to_owned(), alias_property);
        }
        properties.insert(spec.name.to_owned(), property);
    }
    json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": !section.is_strict(),
    })
}

fn property(section: Section, spec: &KeySpec) -> Value {
    let mut property = match spec.kind {
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::F32 => json!({ "type": "number" }),
        Kind::Text | Kind::Secret | Kind::Blob | Kind::RuntimeLogLevel | Kind::HugePage => {
            json!({ "type": "string" })
        }
        Kind::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::U32s => json!({
            "type": "array",
            "items": { "type": "integer", "minimum": 0, "maximum": u32::MAX },
        }),
        Kind::Table(of) => reference(of),
        Kind::Tables(of) => json!({ "type": "array", "items": reference(of) }),
        Kind::Named(of) => json!({ "type": "object", "additionalProperties": reference(of) }),
        Kind::U8 | Kind::U32 | Kind::U64 | Kind::Usize | Kind::I32 | Kind::I64 => {
            let mut integer = json!({ "type": "integer" });
            if let (Value::Object(integer), Some((least, most))) =
                (&mut integer, spec.kind.integer_range())
            {
                integer.insert(
                    "minimum".to_owned(),
                    json!(i64::try_from(least).unwrap_or(0)),
                );
                integer.insert(
                    "maximum".to_owned(),
                    json!(u64::try_from(most).unwrap_or(0)),
                );
            }
            integer
        }
    };
    if let Value::Object(property) = &mut property {
        property.insert("description".to_owned(), json!(description(section, spec)));
        if let Some(default) = default(spec) {
            property.insert("default".to_owned(), default);
        }
        if !spec.values.is_empty() {
            // Examples, not an enumeration: the empty text is allowed too, and pods may set others.
            property.insert("examples".to_owned(), json!(spec.values));
        }
        if spec.has_no_effect() {
            property.insert("deprecated".to_owned(), json!(true));
        }
    }
    property
}

fn reference(section: Section) -> Value {
    json!({ "$ref": format!("#/$defs/{}", name(section)) })
}

fn description(section: Section, spec: &KeySpec) -> String {
    let mut text = spec.help.to_owned();
    if !spec.unit.is_empty() {
        text.push_str(&format!(" Unit: {}.", spec.unit));
    }
    if let Some((_, value)) = spec
        .adjusted
        .iter()
        .find(|(hypervisor, _)| *hypervisor == ANY)
    {
        text.push_str(&format!(" If empty: {value}."));
    }
    if spec.has_no_effect() {
        let sentence = spec.without_effect("Accepted, but nothing acts on it");
        text.push_str(&format!(" {sentence}."));
    } else {
        text.push_str(&format!(" Used by: {}.", section.readers(spec)));
    }
    if spec.since == Since::Later {
        text.push_str(" Older runtimes do not know it.");
    }
    text
}

/// The default as JSON; the text in the table is TOML.
fn default(spec: &KeySpec) -> Option<Value> {
    let document: toml::Table = format!("value = {}", spec.default).parse().ok()?;
    serde_json::to_value(document.get("value")?).ok()
}
