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
items are left out.

What they change is the already adjusted configuration, not its files, and then it is adjusted once more.
A value that the files give and the first adjustment replaced is lost:

- after `disable_block_device_use = true`, an annotation with `false` gives the driver `virtio-blk-pci`, not
  `block_device_driver` of the files;
- after `enable_vhost_user_store = false`, an annotation with `true` gives the path `/var/run/vhost-user`, not
  `vhost_user_store_path` of the files;
- with virtio-fs, a `virtio_fs_cache_size` that is not 0 turns DAX on, and an annotation with 0 then gives
  1024;
- after `default_vcpus = 8` with `default_maxvcpus = 4`, an annotation `default_max_vcpus` with 16 leaves 4
  vCPUs.
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
        let row = row(key.key);
        let mut meaning = meaning(key);
        let spec = row.and_then(|row| row.section().find(row.config_key));
        if let Some(spec) = spec.filter(|spec| spec.has_no_effect()) {
            let _ = write!(meaning, " {}.", spec.without_effect("Has no effect yet"));
        }
        let (sets, accepts) = match row {
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
    fn keys_without_effect_are_marked() {
        let page = markdown_reference();
        let mut marked = 0;
        for row in table::GATED.iter().chain(table::UNGATED) {
            let spec = row.section().find(row.config_key).unwrap();
            let name = row
                .key
                .rsplit_once("hypervisor.")
                .map_or(row.key, |(_, name)| name);
            let name = name
                .strip_prefix(KATA_ANNO_CFG_AGENT_PREFIX)
                .unwrap_or(name);
            let name = name
                .strip_prefix(KATA_ANNO_CFG_RUNTIME_PREFIX)
                .unwrap_or(name);
            let start = format!("| `{name}` |");
            let line = page.lines().find(|line| line.starts_with(&start)).unwrap();
            assert_eq!(
                line.contains("Has no effect yet"),
                spec.has_no_effect(),
                "{line}"
            );
            marked += usize::from(spec.has_no_effect());
        }
        assert!(marked > 9, "{marked}");
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
