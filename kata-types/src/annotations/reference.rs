//! The reference of annotations, written from the table that the code uses.

use std::fmt::Write;

use super::keys::{AGENT_KEYS, HYPERVISOR_KEYS, Key, RUNTIME_KEYS};
use super::setting::Setting;
use super::table::{self, NOT_APPLIED, Row};
use super::{
    KATA_ANNO_CFG_AGENT_PREFIX, KATA_ANNO_CFG_HYPERVISOR_PREFIX, KATA_ANNO_CFG_RUNTIME_PREFIX,
};

const HEAD: &str = "\
# Annotations

Annotations of a pod that change the configuration of its sandbox. This page is generated from the table
that `update_config_by_annotation` uses.

All annotations are read and checked before any of them is applied; on an error the configuration stays as
it was. Unless a row says otherwise, a value replaces the configured one. Numbers and booleans may have
blanks around them; booleans are `true` or `false`. Items of lists may have blanks around them, and empty
items are left out. Afterwards the configuration is adjusted to the host as if the values had come
from its files.
";

/// All annotations that change the configuration, as a page of Markdown: what each sets, what it
/// accepts, and when it is honoured. `docs/annotations.md` is this text.
///
/// ```
/// let page = kata_types::annotations::markdown_reference();
/// assert!(page.contains("| `default_vcpus` |"));
/// ```
pub fn markdown_reference() -> String {
    let mut page = HEAD.to_string();
    section(
        &mut page,
        "Hypervisor",
        KATA_ANNO_CFG_HYPERVISOR_PREFIX,
        "`[hypervisor.<name>]`, the section in use",
        "Honoured only when the operator lists the name in `enable_annotations` of that section: each \
         entry is a regular expression that must match the whole name. Others are ignored with a \
         warning.",
        HYPERVISOR_KEYS,
    );
    section(
        &mut page,
        "Agent",
        KATA_ANNO_CFG_AGENT_PREFIX,
        "`[agent.<name>]`, the section in use",
        "Always honoured.",
        AGENT_KEYS,
    );
    section(
        &mut page,
        "Runtime",
        KATA_ANNO_CFG_RUNTIME_PREFIX,
        "`[runtime]`, and where noted the agent section",
        "Always honoured, except where noted.",
        RUNTIME_KEYS,
    );
    page
}

fn section(page: &mut String, title: &str, prefix: &str, target: &str, gate: &str, keys: &[Key]) {
    let _ = write!(
        page,
        "\n## {title}: `{prefix}…`\n\nSets keys of {target}. {gate}\n\n\
         | annotation | sets | accepts | meaning |\n|---|---|---|---|\n"
    );
    let mut keys: Vec<&Key> = keys.iter().collect();
    keys.sort_unstable_by_key(|key| key.key);
    for key in keys {
        let name = key.key.strip_prefix(prefix).unwrap_or(key.key);
        let meaning = meaning(key);
        let (sets, accepts) = match row(key.key) {
            Some(row) => (target_of(row), row.setting.accepts()),
            None => ("—".to_string(), unapplied(key.key).to_string()),
        };
        let _ = writeln!(page, "| `{name}` | {sets} | {accepts} | {meaning} |");
    }
}

fn row(key: &str) -> Option<&'static Row> {
    table::gated(key).or_else(|| table::ungated(key))
}

fn target_of(row: &Row) -> String {
    match row.setting {
        Setting::Forbidden => "—".to_string(),
        // The one runtime annotation that belongs to the agent's section.
        Setting::Seconds(_) => format!("`{}` of the agent", row.config_key),
        _ => format!("`{}`", row.config_key),
    }
}

fn unapplied(key: &str) -> &'static str {
    if NOT_APPLIED.contains(&key) {
        "not applied; an error when enabled"
    } else {
        "unknown"
    }
}

/// The documentation of the constant, on one line and without links into this crate.
fn meaning(key: &Key) -> String {
    let words: Vec<&str> = key.documentation.split_whitespace().collect();
    let mut text = words.join(" ");
    // `[`X`](path)` and `[`X`]` become `X`.
    while let Some((before, rest)) = text.split_once("[`") {
        let Some((name, after)) = rest.split_once("`]") else {
            break;
        };
        let after = after
            .strip_prefix('(')
            .and_then(|link| link.split_once(')'))
            .map_or(after, |(_, after)| after);
        text = format!("{before}`{name}`{after}");
    }
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/annotations.md");

    #[test]
    fn file_is_current() {
        let page = markdown_reference();
        if std::env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1") {
            std::fs::write(FILE, &page).unwrap();
        }
        let file = std::fs::read_to_string(FILE).unwrap_or_default();
        assert!(
            file == page,
            "docs/annotations.md is out of date: run `UPDATE_DOCS=1 cargo test -p kata-types \
             file_is_current`"
        );
    }

    #[test]
    fn every_row_is_complete() {
        let page = markdown_reference();
        assert!(!page.contains("unknown |"));
        assert!(!page.contains("]("), "link into the crate");
        let rows = page.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(
            rows,
            HYPERVISOR_KEYS.len() + AGENT_KEYS.len() + RUNTIME_KEYS.len()
        );
        for line in page.lines().filter(|line| line.starts_with("| `")) {
            assert_eq!(line.matches(" | ").count(), 3, "{line}");
        }
    }
}
