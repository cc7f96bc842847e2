//! A configuration file and its drop-ins: sections `=== NAME` of the input. One that begins with `{`
//! is JSON, as a runtime hands a configuration on.
//!
//! * What is well-formed, and has nothing but known keys with values of their kind, is read.
//! * The files together mean what their merged tables mean in one file, where a slow model merges.
//! * Adjusting is idempotent, and validation, diagnostics and origins take every result.
//! * An adjusted configuration can be written, read and adjusted without a change.
#![no_main]

use std::fs;

use kata_libs_fuzz::config_shape::must_be_accepted;
use kata_libs_fuzz::{Scratch, newer_toml, sections};
use kata_types::config::{ConfigLoader, Hypervisor, TomlConfig};
use libfuzzer_sys::fuzz_target;
use toml::{Table, Value};

fn text(config: &TomlConfig) -> String {
    serde_json::to_string(config).expect("every configuration has a JSON form")
}

/// Tables are merged, everything else is replaced.
fn merge(base: &mut Table, more: Table) {
    for (key, value) in more {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(more)) => merge(base, more),
            (_, value) => drop(base.insert(key, value)),
        }
    }
}

/// The tables of all texts, if those are well-formed.
fn merged(texts: &[String]) -> Result<Table, toml::de::Error> {
    let mut merged = Table::new();
    for text in texts {
        merge(&mut merged, text.parse()?);
    }
    Ok(merged)
}

fn check_json(data: &[u8]) {
    if let Ok(hypervisor) = serde_json::from_slice::<Hypervisor>(data) {
        let json = serde_json::to_string(&hypervisor).expect("written");
        let again: Hypervisor = serde_json::from_str(&json).expect("read again");
        assert_eq!(serde_json::to_string(&again).expect("written"), json);
    }
    let Ok(mut config) = serde_json::from_slice::<TomlConfig>(data) else {
        return;
    };
    let json = text(&config);
    let again: TomlConfig = serde_json::from_str(&json).expect("read again");
    assert_eq!(text(&again), json);
    let _ = config.validate();
    assert_eq!(text(&config), json, "validation changes something");
    if config.adjust_config().is_ok() {
        let adjusted = text(&config);
        config.adjust_config().expect("it was adjusted before");
        assert_eq!(text(&config), adjusted, "adjusting again changes something");
        let _ = (config.validate(), config.get_agent_kernel_params());
    }
}

fuzz_target!(|data: &[u8]| {
    if data.starts_with(b"{") {
        return check_json(data);
    }
    let input = String::from_utf8_lossy(data);
    let scratch = Scratch::new();
    let file = scratch.path().join("configuration.toml");
    let drop_ins = scratch.path().join("config.d");
    fs::create_dir(&drop_ins).expect("a new directory");
    let mut texts = Vec::new();
    for (number, (_, text)) in sections(&input).into_iter().take(10).enumerate() {
        match number {
            0 => fs::write(&file, text),
            _ => fs::write(drop_ins.join(format!("{number}.toml")), text),
        }
        .expect("a new file");
        texts.push(newer_toml(text));
    }

    let merged = merged(&texts);
    let mut loaded = match ConfigLoader::new(&file).read() {
        Ok(loaded) => loaded,
        Err(error) => {
            let is_good = merged.is_ok_and(|table| must_be_accepted(&table));
            return assert!(!is_good, "{error}");
        }
    };
    assert_eq!(loaded.files().count(), texts.len());
    let merged = match merged {
        Ok(merged) => merged,
        // Above those with a sign, which a table cannot have.
        Err(error) if error.message().contains("integer") => return,
        Err(error) => panic!("the loader takes no other TOML: {error}"),
    };
    let merged = TomlConfig::load(&merged.to_string());

    let adjusted = loaded.adjust();
    for diagnostic in loaded.diagnostics() {
        assert!(!diagnostic.to_string().is_empty());
    }
    let _ = loaded.origins().render();
    if let Err(error) = adjusted {
        assert!(merged.is_err(), "{error}");
        return;
    }
    let adjusted = text(&loaded.config);
    assert_eq!(text(&merged.expect("the same in one file")), adjusted);

    loaded.adjust().expect("it was adjusted before");
    assert_eq!(
        text(&loaded.config),
        adjusted,
        "adjusting again changes something"
    );
    let _ = loaded.validate();
    assert_eq!(
        text(&loaded.config),
        adjusted,
        "validation changes something"
    );
    let _ = loaded.config.get_agent_kernel_params();

    let written = toml::to_string(&loaded.config).expect("every configuration has a TOML form");
    let read = TomlConfig::load(&written).expect("read again");
    assert_eq!(
        text(&read),
        adjusted,
        "writing and reading changes something"
    );
});
