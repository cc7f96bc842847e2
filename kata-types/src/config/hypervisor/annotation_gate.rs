//! Which hypervisor annotations a pod may use: `enable_annotations`, compiled.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use regex::{Regex, RegexBuilder};

use crate::annotations::{KATA_ANNO_CFG_HYPERVISOR_PREFIX, hypervisor_names};
use crate::config::adjust::Adjuster;
use crate::config::diagnostics::DiagnosticKind;
use crate::config::dotted_key::shortened;
use crate::config::validate::MAX_BAD_PATTERNS;

/// The compiled patterns of one `enable_annotations` list.
#[derive(Debug)]
pub(crate) struct AnnotationGate {
    source: Vec<String>,
    patterns: Vec<Pattern>,
    /// Index in `source`, and what is wrong.
    problems: Vec<(usize, String)>,
    /// Problems beyond those that are listed.
    unlisted: usize,
}

/// Regular expressions of one list that are used, and the memory of each in bytes: a few letters
/// such as `\w{99}` can ask for megabytes, and take seconds.
const MAX_REGEXES: usize = 128;
const MAX_REGEX_BYTES: usize = 256 << 10;

#[derive(Debug)]
enum Pattern {
    /// A pattern without operators matches itself; most are like that.
    Name(String),
    Regex(Regex),
}

impl Pattern {
    fn matches(&self, name: &str) -> bool {
        match self {
            Pattern::Name(own) => own == name,
            Pattern::Regex(regex) => regex.is_match(name),
        }
    }
}

/// Lists that were compiled last, newest first. A process knows one list per hypervisor section.
static RECENT: LazyLock<Mutex<Vec<Arc<AnnotationGate>>>> = LazyLock::new(Mutex::default);
const RECENT_CAPACITY: usize = 8;

impl AnnotationGate {
    /// The compiled form of `patterns`; compiled only once as long as the list does not change
    /// (D37).
    pub(crate) fn of(patterns: &[String]) -> Arc<Self> {
        let mut recent = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = recent.iter().position(|gate| gate.source == patterns) {
            let gate = recent.remove(found);
            recent.insert(0, Arc::clone(&gate));
            return gate;
        }
        let gate = Arc::new(AnnotationGate::compile(patterns));
        recent.truncate(RECENT_CAPACITY - 1);
        recent.insert(0, Arc::clone(&gate));
        gate
    }

    /// Whether the annotation with the full key `key` is enabled.
    pub(crate) fn is_enabled(&self, key: &str) -> bool {
        key.strip_prefix(KATA_ANNO_CFG_HYPERVISOR_PREFIX)
            .is_some_and(|name| self.patterns.iter().any(|pattern| pattern.matches(name)))
    }

    /// Notes patterns that cannot be read (D17) and patterns that enabled something only as long
    /// as parts of a name were enough (D6).
    pub(crate) fn note_problems(&self, cx: &mut Adjuster<'_>) {
        for (index, problem) in &self.problems {
            let pattern = self.source.get(*index).map_or("", String::as_str);
            cx.note(
                "enable_annotations",
                DiagnosticKind::InvalidPattern,
                format!("pattern {:?} {problem}", shortened(pattern)),
                None,
            );
        }
        if self.unlisted > 0 {
            cx.note(
                "enable_annotations",
                DiagnosticKind::InvalidPattern,
                format!("{} more patterns have problems", self.unlisted),
                None,
            );
        }
    }

    fn compile(source: &[String]) -> Self {
        let mut gate = AnnotationGate {
            source: source.to_vec(),
            patterns: Vec::new(),
            problems: Vec::new(),
            unlisted: 0,
        };
        let mut regexes = 0;
        for (index, text) in source.iter().enumerate() {
            regexes += usize::from(!is_literal(text));
            if !is_literal(text) && regexes > MAX_REGEXES {
                let reason = format!("is ignored: more than {MAX_REGEXES} regular expressions");
                gate.add_problem(index, reason);
                continue;
            }
            match compile_pattern(text) {
                Ok(pattern) => {
                    if let Some(part_of) = name_matched_only_in_part(text, &pattern) {
                        let hint = format!(
                            "enables no annotation: patterns match whole names, and this one \
                             matches only a part of {part_of:?}"
                        );
                        gate.add_problem(index, hint);
                    }
                    gate.patterns.push(pattern);
                }
                Err(error) => gate.add_problem(index, format!("is ignored: {error}")),
            }
        }
        gate
    }

    fn add_problem(&mut self, index: usize, problem: String) {
        if self.problems.len() < MAX_BAD_PATTERNS {
            self.problems.push((index, problem));
        } else {
            self.unlisted += 1;
        }
    }
}

/// Compiles a pattern so that it matches whole names only (D6).
fn compile_pattern(text: &str) -> Result<Pattern, String> {
    if is_literal(text) {
        return Ok(Pattern::Name(text.to_owned()));
    }
    // Alone first: `a)|(b` must not slip out of the group below.
    regex(text)
        .and_then(|_| {
            regex(&format!("^(?:{text})$")).or_else(|error| {
                // A comment at the end, `(?x) path # why`, takes the group's end for a part of it;
                // after a comment a line feed means nothing.
                regex(&format!("^(?:{text}\n)$")).map_err(|_| error)
            })
        })
        .map(Pattern::Regex)
        .map_err(|error| one_line(&error))
}

fn regex(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text)
        .size_limit(MAX_REGEX_BYTES)
        .dfa_size_limit(MAX_REGEX_BYTES)
        .build()
}

/// Whether a regular expression has no operators.
fn is_literal(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// The last line of an error of `regex`, which says what is wrong; those before draw the pattern.
fn one_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

/// A known name that the pattern matches in part, if there is none that it matches as a whole.
fn name_matched_only_in_part(text: &str, whole: &Pattern) -> Option<&'static str> {
    if hypervisor_names().any(|name| whole.matches(name)) {
        return None;
    }
    if is_literal(text) {
        return hypervisor_names().find(|name| name.contains(text));
    }
    let part = regex(text).ok()?;
    hypervisor_names().find(|name| part.is_match(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::adjust::AdjustReport;
    use crate::config::host::Host;

    fn gate(patterns: &[&str]) -> AnnotationGate {
        let source: Vec<String> = patterns.iter().map(|p| (*p).to_owned()).collect();
        AnnotationGate::compile(&source)
    }

    fn enabled(patterns: &[&str], name: &str) -> bool {
        gate(patterns).is_enabled(&format!("io.katacontainers.config.hypervisor.{name}"))
    }

    fn notes(patterns: &[&str]) -> Vec<String> {
        let host = Host::with(1, 1);
        let mut report = AdjustReport::default();
        gate(patterns).note_problems(&mut Adjuster::new(&host, &mut report));
        report
            .notes
            .into_iter()
            .map(|note| {
                assert_eq!(note.kind, DiagnosticKind::InvalidPattern);
                assert_eq!(note.key, "enable_annotations");
                note.message
            })
            .collect()
    }

    #[test]
    fn whole_names_are_matched() {
        for (patterns, name, expected) in [
            (&["path"] as &[&str], "path", true),
            (&["path"], "jailer_path", false),
            (&["path"], "path_hash", false),
            (&["kernel"], "kernel_params", false),
            (&["kernel.*"], "kernel_params", true),
            (&["kernel.*"], "kernel", true),
            (&[".*"], "anything", true),
            (&[".*"], "", true),
            (&[""], "", true),
            (&[""], "path", false),
            (&["a|b"], "a", true),
            (&["a|b"], "b", true),
            (&["a|b"], "ab", false),
            (&["a|b"], "xb", false),
            (&["^path$"], "path", true),
            (&["(?i)PATH"], "path", true),
            (&["prefetch_files.list"], "prefetch_files.list", true),
            (&["p.th"], "path", true),
            (&["x", "p.th", "y"], "path", true),
            (&["x", "y"], "path", false),
            (&["Path"], "path", false),
            (&["path"], "path\n", false),
            (&[".*"], "path\n", false),
            (&[r"\w+"], "größe", true),
            (&[], "path", false),
        ] {
            assert_eq!(enabled(patterns, name), expected, "{patterns:?} {name:?}");
        }
    }

    #[test]
    fn only_the_hypervisor_prefix_counts() {
        for key in [
            "path",
            "",
            "io.katacontainers.config.agent.path",
            "io.katacontainers.config.hypervisor",
            "x.io.katacontainers.config.hypervisor.path",
        ] {
            assert!(!gate(&[".*", "path"]).is_enabled(key), "{key}");
        }
    }

    #[test]
    fn invalid_patterns_are_noted_and_the_others_work() {
        // The last two would be valid inside the group that anchors them.
        let patterns = ["(", "kernel", "*", "a{2,1}", "x)|(?:.*", ")|("];
        assert!(enabled(&patterns, "kernel"));
        assert!(!enabled(&patterns, "path"));
        let notes = notes(&patterns);
        assert_eq!(notes.len(), 5, "{notes:?}");
        assert_eq!(notes[0], r#"pattern "(" is ignored: unclosed group"#);
    }

    #[test]
    fn a_pattern_may_end_with_a_comment() {
        for (pattern, name) in [
            ("(?x) path # c", "path"),
            ("(?x) default_vcpus # sizing", "default_vcpus"),
            ("(?x) path # a) b", "path"),
            ("(?x) path # a\n | kernel # b", "kernel"),
            ("(?x: path # c\n)", "path"),
        ] {
            assert!(enabled(&[pattern], name), "{pattern:?}");
            assert!(!enabled(&[pattern], &format!("{name}_x")), "{pattern:?}");
            assert!(!enabled(&[pattern], &format!("x_{name}")), "{pattern:?}");
            assert!(!enabled(&[pattern], &format!("{name}\n")), "{pattern:?}");
            assert_eq!(notes(&[pattern]), [] as [&str; 0], "{pattern:?}");
        }
    }

    #[test]
    fn patterns_that_only_matched_parts_are_noted() {
        assert_eq!(
            notes(&[
                "virtio_fs",
                "kernel",
                "enable_iommu",
                ".*",
                "kern",
                "nothing",
                "r.otles"
            ]),
            [
                r#"pattern "virtio_fs" enables no annotation: patterns match whole names, and this one matches only a part of "virtio_fs_daemon""#,
                r#"pattern "kern" enables no annotation: patterns match whole names, and this one matches only a part of "kernel""#,
                r#"pattern "r.otles" enables no annotation: patterns match whole names, and this one matches only a part of "rootless""#,
            ]
        );
    }

    #[test]
    fn expensive_patterns_are_ignored() {
        let notes_of = |pattern: &str| notes(&[pattern]);
        assert_eq!(notes_of(r"\w{2}_\w{2}.*"), [] as [&str; 0]);
        for pattern in [r"\w{99}", "(a{99}){99}", ".{9999}"] {
            let found = notes_of(pattern);
            assert_eq!(found.len(), 1, "{pattern}");
            assert!(found[0].contains("is ignored: "), "{found:?}");
        }

        let source: Vec<String> = (0..200).map(|n| format!("name.{n}")).collect();
        let patterns: Vec<&str> = source.iter().map(String::as_str).collect();
        assert!(enabled(&patterns, "name_127"));
        assert!(!enabled(&patterns, "name_128"));
        let found = notes(&patterns);
        assert_eq!(
            found.first().unwrap(),
            "pattern \"name.128\" is ignored: more than 128 regular expressions"
        );
        // As many as are listed, and one for the others.
        assert_eq!(found.len(), 33);
        assert_eq!(found.last().unwrap(), "40 more patterns have problems");
        // Plain names cost nothing.
        let source: Vec<String> = (0..1000).map(|n| format!("name_{n}")).collect();
        let patterns: Vec<&str> = source.iter().map(String::as_str).collect();
        assert!(enabled(&patterns, "name_999"));
    }

    #[test]
    fn a_list_is_compiled_once() {
        let list = vec!["unique_of_this_test.*".to_owned()];
        let first = AnnotationGate::of(&list);
        assert!(Arc::ptr_eq(&first, &AnnotationGate::of(&list)));
        assert!(AnnotationGate::of(&["other".to_owned()]).source != list);
    }

    #[test]
    fn known_names_are_literal() {
        assert!(hypervisor_names().all(|name| is_literal(&name.replace('.', "_"))));
    }

    proptest::proptest! {
        #[test]
        fn no_pattern_panics(pattern in "\\PC{0,12}", name in "\\PC{0,12}") {
            gate(&[&pattern]).is_enabled(&name);
            enabled(&[&pattern], &name);
        }
    }
}
