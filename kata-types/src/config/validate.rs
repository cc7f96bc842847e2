//! Paths: allow-lists of shell patterns, and existence.

use std::io;
use std::path::Path;

use super::adjust::Adjuster;
use super::diagnostics::DiagnosticKind;
use super::dotted_key::shortened;
use super::glob::Glob;
use super::path;

/// Patterns of one list that are noted one by one when they cannot be read.
pub(crate) const MAX_BAD_PATTERNS: usize = 32;

/// Checks that one of `patterns` permits `path`.
///
/// A pattern is a shell pattern as in [glob(7)](https://man7.org/linux/man-pages/man7/glob.7.html)
/// that must match the whole path; `*` and `?` match `/` and leading dots, `**` is the same as
/// `*`. An empty list permits nothing, and a pattern that cannot be read matches nothing.
///
/// A path with a `..` component is permitted only by a pattern with exactly that text: `*` must
/// not lead out of an allowed directory. Symlinks below an allowed directory are permitted.
///
/// # Errors
///
/// `Path <path> is not permitted`, or `Invalid path <path>` for a path that is not UTF-8.
///
/// ```
/// use kata_types::config::validate_path_pattern;
///
/// let patterns = ["/opt/kata/bin/*".to_string()];
/// assert!(validate_path_pattern(&patterns, "/opt/kata/bin/qemu").is_ok());
/// assert!(validate_path_pattern(&patterns, "/opt/kata/bin/../../evil").is_err());
/// assert!(validate_path_pattern(&patterns, "/usr/bin/qemu").is_err());
/// ```
pub fn validate_path_pattern<P: AsRef<Path>>(patterns: &[String], path: P) -> io::Result<()> {
    let path = path.as_ref();
    let Some(text) = path.to_str() else {
        return Err(io::Error::other(format!("Invalid path {}", path.display())));
    };
    let has_parent = text.split('/').any(|component| component == "..");
    let permits = |pattern: &String| match Glob::parse(pattern) {
        Ok(_) if has_parent => pattern == text,
        Ok(glob) => glob.matches(text),
        Err(_) => false,
    };
    if patterns.iter().any(permits) {
        return Ok(());
    }
    Err(io::Error::other(format!("Path {text} is not permitted")))
}

/// Notes the patterns of an allow-list that cannot be read (D7).
pub(crate) fn note_bad_patterns(cx: &mut Adjuster<'_>, key: &str, patterns: &[String]) {
    let bad = |pattern: &String| Some((shortened(pattern), Glob::parse(pattern).err()?));
    let mut bad = patterns.iter().filter_map(bad);
    for (pattern, error) in bad.by_ref().take(MAX_BAD_PATTERNS) {
        let message = format!("pattern {pattern:?} is ignored: {error}");
        cx.note(key, DiagnosticKind::InvalidPattern, message, None);
    }
    let more = bad.count();
    if more > 0 {
        let message = format!("{more} more patterns are ignored");
        cx.note(key, DiagnosticKind::InvalidPattern, message, None);
    }
}

/// Checks that a path of an annotation is empty or exists.
pub(crate) fn check_configured_path(path: &str) -> io::Result<()> {
    if path.is_empty() {
        return Ok(());
    }
    path::check_exists(path).map_err(|e| io::Error::other(format!("path {path} is invalid: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::adjust::AdjustReport;
    use crate::config::host::Host;

    fn permitted(patterns: &[&str], path: &str) -> bool {
        let patterns: Vec<String> = patterns.iter().map(|p| (*p).to_owned()).collect();
        match validate_path_pattern(&patterns, path) {
            Ok(()) => true,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::Other);
                assert_eq!(error.to_string(), format!("Path {path} is not permitted"));
                false
            }
        }
    }

    #[test]
    fn one_pattern_must_match_the_whole_path() {
        for (patterns, path, expected) in [
            (&[] as &[&str], "/bin/ls", false),
            (&["/bin/ls"], "/bin/ls", true),
            (&["/bin"], "/bin/ls", false),
            (&["/*"], "/bin/ls", true),
            (&["/bin/*/ls"], "/bin/ls", false),
            (&["/usr/*", "/bin/*"], "/bin/ls", true),
            (&["./x"], "./x", true),
            (&["./*"], "./test_hypervisor_hook_path", true),
            (&[""], "", true),
            (&["[", "/bin/*"], "/bin/ls", true),
            (&["["], "[", false),
            (&["/a//b"], "/a/b", false),
        ] {
            assert_eq!(permitted(patterns, path), expected, "{patterns:?} {path:?}");
        }
    }

    #[test]
    fn parent_components_need_a_literal_pattern() {
        for (patterns, path, expected) in [
            (&["/opt/bin/*"] as &[&str], "/opt/bin/../../tmp/evil", false),
            (&["*"], "..", false),
            (&["*"], "../x", false),
            (&["*"], "/x/..", false),
            (&["*"], "/x/../", false),
            (&["/opt/../usr/x"], "/opt/../usr/x", true),
            (&["/opt/../usr/*"], "/opt/../usr/x", false),
            (&["/opt/../usr/*"], "/opt/../usr/*", true),
            (&["/opt/../["], "/opt/../[", false),
            // Only whole components count.
            (&["/opt/*"], "/opt/a..b", true),
            (&["/opt/*"], "/opt/..b", true),
            (&["/opt/*"], "/opt/...", true),
            (&["/opt/*"], "/opt/./x", true),
        ] {
            assert_eq!(permitted(patterns, path), expected, "{patterns:?} {path:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn paths_that_are_not_utf8_are_invalid() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;

        let path = OsStr::from_bytes(b"/a\xff");
        let error = validate_path_pattern(&["*".to_owned()], path).unwrap_err();
        assert_eq!(error.to_string(), "Invalid path /a\u{fffd}");
    }

    #[test]
    fn unreadable_patterns_are_noted() {
        let host = Host::with(1, 1);
        let mut report = AdjustReport::default();
        let patterns = ["/a/*".to_owned(), "/b[".to_owned(), "".to_owned()];
        note_bad_patterns(&mut Adjuster::new(&host, &mut report), "k", &patterns);
        assert_eq!(report.notes.len(), 1);
        assert_eq!(report.notes[0].key, "k");
        assert_eq!(
            report.notes[0].message,
            "pattern \"/b[\" is ignored: `[` without `]`"
        );

        let mut report = AdjustReport::default();
        let patterns: Vec<String> = (0..1000).map(|n| format!("{n}[")).collect();
        note_bad_patterns(&mut Adjuster::new(&host, &mut report), "k", &patterns);
        assert_eq!(report.notes.len(), 33);
        assert_eq!(report.notes[32].message, "968 more patterns are ignored");
    }

    proptest::proptest! {
        #[test]
        fn no_path_leaves_an_allowed_directory(path in "/opt/(\\.|\\.\\.|a|/){0,6}") {
            if validate_path_pattern(&["/opt/*".to_owned()], &path).is_ok() {
                let mut depth = 0i32;
                for component in path.split('/').filter(|c| !c.is_empty() && *c != ".") {
                    depth += if component == ".." { -1 } else { 1 };
                    proptest::prop_assert!(depth >= 1);
                }
            }
        }
    }
}
