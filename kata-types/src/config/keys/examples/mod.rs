//! The documented examples in `examples/config/`, written from the table of keys.
//!
//! What is set in them is in [`files`]; everything else shows its default, commented out. After a change,
//! `UPDATE_EXAMPLES=1 cargo test -p kata-types --lib examples` writes the files anew.

mod files;

use std::fmt::Write;
use std::path::PathBuf;

use self::files::EXAMPLES;
use super::*;
use crate::config::json_schema;

/// One configuration file.
struct Example {
    /// Name of the file, without `configuration-` and `.toml`.
    name: &'static str,
    hypervisor: &'static str,
    /// What it is for.
    about: &'static str,
    /// Keys of `[hypervisor.<name>]` that are set.
    hypervisor_keys: &'static [(&'static str, &'static str)],
    /// Keys of `[agent.kata]` that are set.
    agent_keys: &'static [(&'static str, &'static str)],
    /// Keys of `[runtime]` that are set, beside the names.
    runtime_keys: &'static [(&'static str, &'static str)],
}

impl Example {
    fn file(&self) -> PathBuf {
        directory().join(format!("configuration-{}.toml", self.name))
    }

    fn render(&self) -> String {
        let hypervisor = format!("hypervisor.{}", self.hypervisor);
        let mut text = String::new();
        paragraph(&mut text, self.about);
        text.push_str("#\n");
        paragraph(
            &mut text,
            "Every key of the runtime is here. A key behind `#` without a space shows its default: \
             it makes no difference whether the `#` is there. Keys that are indented have no value \
             unless they are set. Changes are best made in files of the directory config.d beside \
             this one: they may hold any part of it, and the last one wins.",
        );

        self.table(
            &mut text,
            Section::Hypervisor,
            &hypervisor,
            self.hypervisor_keys,
        );
        self.table(
            &mut text,
            Section::Factory,
            &format!("{hypervisor}.factory"),
            &[],
        );
        absent(
            &mut text,
            Section::RootlessUser,
            &format!("[{hypervisor}.rootless_user]"),
        );
        self.table(&mut text, Section::Agent, "agent.kata", self.agent_keys);
        self.table(&mut text, Section::MemAgent, "agent.kata.mem_agent", &[]);
        let name = format!("\"{}\"", self.hypervisor);
        let mut runtime: Vec<(&str, &str)> = vec![
            ("name", "\"virt_container\""),
            ("hypervisor_name", &name),
            ("agent_name", "\"kata\""),
        ];
        runtime.extend(self.runtime_keys);
        self.table(&mut text, Section::Runtime, "runtime", &runtime);
        absent(&mut text, Section::SharedMount, "[[runtime.shared_mounts]]");
        text
    }

    /// Writes a table: keys that are set, and the others with their defaults.
    fn table(&self, text: &mut String, section: Section, header: &str, set: &[(&str, &str)]) {
        let _ = write!(text, "\n[{header}]\n");
        for group in section.groups() {
            let _ = write!(text, "\n### {}\n", group.title);
            for spec in group.keys {
                if matches!(spec.kind, Kind::Table(_) | Kind::Tables(_)) {
                    continue; // below
                }
                let default = self.default(spec);
                text.push('\n');
                paragraph(text, &explanation(spec, default));
                let line = match set.iter().find(|(name, _)| *name == spec.name) {
                    Some((name, value)) => format!("{name} = {value}\n"),
                    None if default.is_empty() => sample(spec),
                    None => format!("#{} = {default}\n", spec.name),
                };
                text.push_str(&line);
            }
        }
        for (name, _) in set {
            let known = section.keys().any(|spec| spec.name == *name);
            assert!(known, "{}: no key {name} in {section:?}", self.name);
        }
    }

    /// What an absent key amounts to with this hypervisor.
    fn default(&self, spec: &KeySpec) -> &'static str {
        let of = |wanted: &str| {
            spec.adjusted
                .iter()
                .find(|(hypervisor, _)| *hypervisor == wanted)
        };
        of(self.hypervisor)
            .or(of(ANY))
            .map_or(spec.default, |(_, value)| value)
    }
}

/// Writes a table that is not there by default.
fn absent(text: &mut String, section: Section, header: &str) {
    for group in section.groups() {
        text.push('\n');
        paragraph(text, &format!("{}. Unset.", group.title));
        let _ = writeln!(text, "#   {header}");
        for spec in group.keys {
            paragraph(text, &explanation(spec, spec.default));
            let _ = writeln!(text, "#   {} = {}", spec.name, spec.default);
        }
    }
}

/// The comment above a key.
fn explanation(spec: &KeySpec, default: &str) -> String {
    let mut text = spec.help.to_owned();
    if !spec.values.is_empty() {
        let _ = write!(text, " One of: {}.", spec.values.join(", "));
    }
    if !spec.aliases.is_empty() {
        let _ = write!(text, " Also accepted as {}.", spec.aliases.join(", "));
    }
    if spec.has_no_effect() {
        let _ = write!(text, " {}.", spec.without_effect("Has no effect yet"));
    }
    if !spec.unit.is_empty() {
        let _ = write!(text, " Unit: {}.", spec.unit);
    }
    match default {
        "" => text.push_str(" Unset by default."),
        default => {
            let _ = write!(text, " Default: {default}.");
        }
    }
    text
}

/// A line that shows how to set a key that has no default.
fn sample(spec: &KeySpec) -> String {
    let value = match spec.kind {
        Kind::Bool => "false".to_owned(),
        Kind::Text => format!("\"{}\"", spec.values.first().unwrap_or(&"")),
        kind => {
            assert!(kind.integer_range().is_some(), "{kind:?}");
            "0".to_owned()
        }
    };
    format!("#   {} = {value}\n", spec.name)
}

/// Writes a comment, at most 100 characters wide.
fn paragraph(text: &mut String, words: &str) {
    let mut width = 0;
    for word in words.split(' ') {
        if width == 0 || width + 1 + word.len() > 100 {
            text.push_str(if width == 0 { "#" } else { "\n#" });
            width = 1;
        }
        text.push(' ');
        text.push_str(word);
        width += 1 + word.len();
    }
    text.push('\n');
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/config")
}

/// Compares a file with what it should be, or makes it so.
fn is_current(file: PathBuf, expected: &str) {
    if std::env::var_os("UPDATE_EXAMPLES").is_some() {
        std::fs::create_dir_all(directory()).unwrap();
        std::fs::write(file, expected).unwrap();
        return;
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == expected,
        "{} is not current: run `UPDATE_EXAMPLES=1 cargo test -p kata-types --lib examples`",
        file.display()
    );
}

#[test]
fn example_files_are_current() {
    for example in EXAMPLES {
        is_current(example.file(), &example.render());
    }
}

#[test]
fn the_json_schema_is_current() {
    let mut schema = serde_json::to_string_pretty(&json_schema()).unwrap();
    schema.push('\n');
    is_current(directory().join("configuration.schema.json"), &schema);
}

#[test]
fn examples_have_every_key() {
    for example in EXAMPLES {
        let text = example.render();
        for section in Section::ALL
            .into_iter()
            .filter(|section| *section != Section::Root)
        {
            for spec in section.keys() {
                let shown = [
                    format!("\n{} = ", spec.name),
                    format!("\n#{} = ", spec.name),
                ];
                let unset = format!("\n#   {} = ", spec.name);
                let is_table = matches!(spec.kind, Kind::Table(_) | Kind::Tables(_));
                assert!(
                    is_table || shown.iter().chain([&unset]).any(|line| text.contains(line)),
                    "{}: {}",
                    example.name,
                    spec.name
                );
            }
        }
    }
}
