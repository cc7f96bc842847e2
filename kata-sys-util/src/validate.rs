//! Checks of identifiers and environment entries that come from outside.
//!
//! OCI only asks that the id of a container be unique on its host
//! ([*State*](https://github.com/opencontainers/runtime-spec/blob/main/runtime.md#state));
//! [`verify_id`] has the stricter rule of containerd, because ids become names of files. Environment
//! entries are `process.env` of a spec
//! ([*Process*](https://github.com/opencontainers/runtime-spec/blob/main/config.md#process)), of the
//! form that [`environ(7)`](https://man7.org/linux/man-pages/man7/environ.7.html) describes.

/// A text that is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not an identifier; see [`verify_id`].
    #[error("invalid container ID {0}")]
    InvalidContainerID(String),
}

/// Checks the identifier of a container, sandbox or process, or a containerd namespace.
///
/// An identifier has at least two characters, all of them ASCII letters, digits, `_`, `.` or `-`,
/// and begins with a letter or digit: `^[A-Za-z0-9][A-Za-z0-9_.-]+$`. So it is safe as the name of
/// a file or directory, and is never an option of a command.
///
/// # Errors
///
/// [`Error::InvalidContainerID`] with the identifier as it is.
///
/// ```
/// use kata_sys_util::validate::verify_id;
///
/// assert!(verify_id("web-1.example_com").is_ok());
/// for id in ["", "w", "..", ".web", "-web", "web/../db", "wéb"] {
///     let error = verify_id(id).unwrap_err();
///     assert_eq!(error.to_string(), format!("invalid container ID {id}"));
/// }
/// ```
pub fn verify_id(id: &str) -> Result<(), Error> {
    let is_valid = match id.as_bytes() {
        [first, rest @ ..] => {
            first.is_ascii_alphanumeric()
                && !rest.is_empty()
                && rest
                    .iter()
                    .all(|c| c.is_ascii_alphanumeric() || b"_.-".contains(c))
        }
        [] => false,
    };
    if is_valid {
        Ok(())
    } else {
        Err(Error::InvalidContainerID(id.to_owned()))
    }
}

/// Splits an environment entry `KEY=VALUE` at its first `=`, and trims white space from both
/// parts.
///
/// `None` for what no environment can have: an entry without `=`, with a key that is empty or
/// blank, or with a NUL character. The value may be empty, and may contain `=`. A key and a value
/// that come back are safe for [`std::env::set_var`].
///
/// ```
/// use kata_sys_util::validate::valid_env;
///
/// assert_eq!(valid_env("PATH=/usr/bin:/bin"), Some(("PATH", "/usr/bin:/bin")));
/// assert_eq!(valid_env(" OPTS = a=b "), Some(("OPTS", "a=b")));
/// assert_eq!(valid_env("EMPTY="), Some(("EMPTY", "")));
/// for entry in ["PATH", "=value", " =value", "KEY=a\0b"] {
///     assert_eq!(valid_env(entry), None);
/// }
/// ```
pub fn valid_env(e: &str) -> Option<(&str, &str)> {
    let (key, value) = e.split_once('=')?;
    let (key, value) = (key.trim(), value.trim());
    let is_valid = !key.is_empty() && !e.contains('\0');
    is_valid.then_some((key, value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_are_two_or_more_safe_ascii_characters() {
        for id in [
            "aa",
            "a.",
            "a..",
            "a-",
            "a_",
            "0-",
            "hello..world",
            "Z9._-",
            "aA1-_.",
        ] {
            assert!(verify_id(id).is_ok(), "{id:?}");
        }
    }

    #[test]
    fn other_ids_are_refused_with_the_id_in_the_error() {
        for id in [
            "", "a", ".", "..", "-", "_", "/", " ", ".a", "-a", "_a", " a", "a/", "/a", "a/b",
            "a b", "a\n", "a\0", "a\u{7f}", "é", "aé", "٣٤", "ａｂ", "a:", "a@b", "a\\b",
        ] {
            let Err(error) = verify_id(id) else {
                panic!("{id:?} is accepted");
            };
            assert_eq!(error.to_string(), format!("invalid container ID {id}"));
            let Error::InvalidContainerID(inner) = error;
            assert_eq!(inner, id);
        }
    }

    #[test]
    fn entries_are_split_at_the_first_equals_sign_and_trimmed() {
        for (entry, key, value) in [
            ("a=b", "a", "b"),
            ("a=b=c", "a", "b=c"),
            ("a==", "a", "="),
            ("a=", "a", ""),
            ("a= ", "a", ""),
            (" a =b", "a", "b"),
            ("a= b ", "a", "b"),
            ("\u{a0}a\u{3000}=\tb\n", "a", "b"),
            ("a b=c d", "a b", "c d"),
        ] {
            assert_eq!(valid_env(entry), Some((key, value)), "{entry:?}");
        }
    }

    #[test]
    fn entries_that_no_environment_can_have_are_refused() {
        for entry in [
            "",
            "a",
            " ",
            "=",
            "=b",
            " =b",
            "\t\u{a0}=b",
            "a\0=b",
            "a=b\0",
            "\0=b",
            "a=\0",
        ] {
            assert_eq!(valid_env(entry), None, "{entry:?}");
        }
    }

    proptest! {
        #[test]
        fn accepted_ids_match_the_pattern_byte_by_byte(id in "[ -~é]{0,6}|\\PC{0,4}") {
            let is_safe = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
            let expected = id.chars().count() >= 2
                && id.chars().all(is_safe)
                && id.starts_with(|c: char| c.is_ascii_alphanumeric());
            prop_assert_eq!(verify_id(&id).is_ok(), expected);
        }

        #[test]
        fn accepted_entries_are_parts_of_the_input(entry in any::<String>()) {
            if let Some((key, value)) = valid_env(&entry) {
                prop_assert!(!key.is_empty() && !key.contains(['=', '\0']) && !value.contains('\0'));
                prop_assert!(entry.trim_start().starts_with(key));
                prop_assert!(entry.trim_end().ends_with(value));
            }
        }
    }
}
