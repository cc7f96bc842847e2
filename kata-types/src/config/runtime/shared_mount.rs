//! Mounts that containers of a pod share.

use std::io;
use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

/// A directory of one container that another container of the pod sees too. Unknown keys are
/// errors.
///
/// ```
/// use kata_types::config::SharedMount;
///
/// let mount = SharedMount {
///     name: "logs".into(),
///     src_ctr: "app".into(),
///     src_path: "/var/log/app".into(),
///     dst_ctr: "sidecar".into(),
///     dst_path: "/logs".into(),
/// };
/// mount.validate()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Deserialize, Serialize, Clone, Default)]
#[serde(default = "SharedMount::default", deny_unknown_fields)]
pub struct SharedMount {
    /// Name of the shared mount.
    pub name: String,
    /// Name of the container that has the directory.
    pub src_ctr: String,
    /// Absolute path in that container.
    pub src_path: String,
    /// Name of the container that sees the directory too.
    pub dst_ctr: String,
    /// Absolute path in that container.
    pub dst_path: String,
}

impl SharedMount {
    /// Checks that nothing is empty, and that both paths are absolute, consist of letters, digits,
    /// `-`, `_`, `.` and `/` only, and have no `..` component.
    ///
    /// # Errors
    ///
    /// The first rule that does not hold.
    pub fn validate(&self) -> io::Result<()> {
        for (field, value) in [
            ("name", &self.name),
            ("src_ctr", &self.src_ctr),
            ("dst_ctr", &self.dst_ctr),
            ("src_path", &self.src_path),
            ("dst_path", &self.dst_path),
        ] {
            if value.is_empty() {
                return Err(io::Error::other(format!(
                    "shared_mount: field '{field}' couldn't be empty."
                )));
            }
        }
        let name = &self.name;
        for (field, path) in [("src_path", &self.src_path), ("dst_path", &self.dst_path)] {
            if !is_plain_absolute(path) {
                return Err(io::Error::other(format!(
                    "shared_mount '{name}': {field} is invalid. It must be an absolute path and \
                     can only contain letters, numbers, hyphens(-), underscores(_) and dots(.)."
                )));
            }
            if path.split('/').any(|component| component == "..") {
                return Err(io::Error::other(format!(
                    "shared_mount '{name}': {field} couldn't contain '..' directory."
                )));
            }
        }
        Ok(())
    }
}

/// The regular expression `^(/[-\w.]+)+/?$`.
fn is_plain_absolute(path: &str) -> bool {
    let Some(components) = path.strip_prefix('/') else {
        return false;
    };
    let components = components.strip_suffix('/').unwrap_or(components);
    components
        .split('/')
        .all(|component| !component.is_empty() && component.chars().all(is_plain))
}

fn is_plain(c: char) -> bool {
    matches!(c, '-' | '.') || is_word(c)
}

/// A word character as `\w` of the `regex` crate, which follows
/// [UTS #18](https://www.unicode.org/reports/tr18/).
fn is_word(c: char) -> bool {
    static WORD: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\w$").ok());

    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || c == '_';
    }
    let word = WORD.as_ref();
    word.is_some_and(|word| word.is_match(c.encode_utf8(&mut [0; 4])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount() -> SharedMount {
        SharedMount {
            name: "n".into(),
            src_ctr: "a".into(),
            src_path: "/s".into(),
            dst_ctr: "b".into(),
            dst_path: "/d".into(),
        }
    }

    fn error(mount: &SharedMount) -> String {
        mount.validate().unwrap_err().to_string()
    }

    type Field = (&'static str, fn(&mut SharedMount) -> &mut String);
    const FIELDS: [Field; 5] = [
        ("name", |m| &mut m.name),
        ("src_ctr", |m| &mut m.src_ctr),
        ("dst_ctr", |m| &mut m.dst_ctr),
        ("src_path", |m| &mut m.src_path),
        ("dst_path", |m| &mut m.dst_path),
    ];

    #[test]
    fn empty_fields_are_reported_in_order() {
        let mut mount = SharedMount::default();
        for (name, field) in FIELDS {
            assert_eq!(
                error(&mount),
                format!("shared_mount: field '{name}' couldn't be empty.")
            );
            *field(&mut mount) = "/x".into();
        }
        mount.validate().unwrap();
    }

    #[test]
    fn paths_are_absolute_and_plain() {
        for (name, field) in &FIELDS[3..] {
            for path in [
                "/",
                "//",
                "a",
                "./a",
                "/a//b",
                "/a//",
                "/a b",
                "/a*",
                "/a:b",
                "/a\n",
                "/a\\b",
                "/½",
                "/a\u{200b}",
            ] {
                let mut mount = mount();
                *field(&mut mount) = path.into();
                assert_eq!(
                    error(&mount),
                    format!(
                        "shared_mount 'n': {name} is invalid. It must be an absolute path and can \
                         only contain letters, numbers, hyphens(-), underscores(_) and dots(.)."
                    ),
                    "{path:?}"
                );
            }
            for path in [
                "/a",
                "/a/",
                "/a/b",
                "/.",
                "/_",
                "/-",
                "/._",
                "/a.b-c_d/9",
                "/größe",
                "/文",
                "/...",
                "/a..b",
                "/e\u{301}",
                "/a‿b",
            ] {
                let mut mount = mount();
                *field(&mut mount) = path.into();
                mount.validate().unwrap();
            }
        }
    }

    #[test]
    fn paths_have_no_parent_component() {
        for (name, field) in &FIELDS[3..] {
            for path in ["/..", "/../", "/a/../b", "/a/.."] {
                let mut mount = mount();
                *field(&mut mount) = path.into();
                assert_eq!(
                    error(&mount),
                    format!("shared_mount 'n': {name} couldn't contain '..' directory.")
                );
            }
        }
        // All of the source comes before the target.
        let both = SharedMount {
            src_path: "/..".into(),
            dst_path: "x".into(),
            ..mount()
        };
        assert!(error(&both).contains("src_path couldn't contain"));
    }

    #[test]
    fn missing_keys_are_empty_and_unknown_keys_are_errors() {
        let mount: SharedMount = serde_json::from_str(r#"{"name": "n"}"#).unwrap();
        assert_eq!((mount.name.as_str(), mount.src_ctr.as_str()), ("n", ""));
        let mount: SharedMount = toml::from_str("dst_path = \"/d\"").unwrap();
        assert_eq!(mount.dst_path, "/d");
        assert!(serde_json::from_str::<SharedMount>(r#"{"nmae": "n"}"#).is_err());
    }

    proptest::proptest! {
        #[test]
        fn like_the_regular_expression(path in "[/a.é\u{301}½ _-]{0,8}") {
            static REGEX: LazyLock<Regex> =
                LazyLock::new(|| Regex::new(r"^(/[-\w.]+)+/?$").unwrap());
            proptest::prop_assert_eq!(is_plain_absolute(&path), REGEX.is_match(&path));
        }
    }
}
