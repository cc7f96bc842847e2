//! A configuration file and its drop-ins: sections `=== NAME` of the input.
//!
//! * The files together mean what their merged tables mean in one file, where a slow model merges.
//! * Adjusting is idempotent, and validation, diagnostics and origins take every result.
//! * An adjusted configuration can be written, read and adjusted without a change.
#![no_main]

use std::fs;

use kata_libs_fuzz::{Scratch, newer_toml, sections};
use kata_types::config::{ConfigLoader, TomlConfig};
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

fuzz_target!(|data: &[u8]| {
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

    let Ok(mut loaded) = ConfigLoader::new(&file).read() else {
        return;
    };
    assert_eq!(loaded.files().count(), texts.len());
    let mut merged = Table::new();
    for text in &texts {
        match text.parse::<Table>() {
            Ok(table) => merge(&mut merged, table),
            // Above those with a sign, which a table cannot have.
            Err(error) if error.message().contains("integer") => return,
            Err(error) => panic!("the loader takes no other TOML: {error}"),
        }
    }
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
