//! Which tables a configuration must accept: those in which everything is known, and of the kind
//! that it has by default.

use std::sync::LazyLock;

use kata_types::config::{Agent, Hypervisor, TomlConfig};
use serde_json::Value;
use toml::Table;

/// Keys whose texts or lists are not what they look like.
const OTHERS: [&str; 2] = ["hugepage_type", "shared_mounts"];

/// The section of a name that is made up.
const ANY: &str = "any";

static SHAPE: LazyLock<Value> = LazyLock::new(|| {
    let mut config = TomlConfig::default();
    let hypervisor = Hypervisor::default();
    config.hypervisor.insert(ANY.to_owned(), hypervisor);
    config.agent.insert(ANY.to_owned(), Agent::default());
    serde_json::to_value(config).expect("every configuration has a JSON form")
});

/// Whether a reader has no reason to refuse the table.
pub fn must_be_accepted(table: &Table) -> bool {
    table.iter().all(|(section, value)| match section.as_str() {
        "hypervisor" | "agent" => {
            let shape = &SHAPE[section][ANY];
            let sections = value.as_table();
            sections.is_some_and(|sections| sections.values().all(|value| fits(shape, value)))
        }
        "runtime" => fits(&SHAPE["runtime"], value),
        _ => false,
    })
}

fn fits(shape: &Value, value: &toml::Value) -> bool {
    match (shape, value) {
        (Value::Object(shape), toml::Value::Table(table)) => table.iter().all(|(key, value)| {
            let shape = shape.get(key);
            !OTHERS.contains(&&**key) && shape.is_some_and(|shape| fits(shape, value))
        }),
        (Value::Bool(_), toml::Value::Boolean(_)) => true,
        (Value::String(_), toml::Value::String(_)) => true,
        // Every kind of number has these.
        (Value::Number(_), toml::Value::Integer(number)) => (0..=127).contains(number),
        (Value::Array(_), toml::Value::Array(items)) => items.iter().all(toml::Value::is_str),
        _ => false,
    }
}
