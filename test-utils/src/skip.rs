//! What a guard does when the machine lacks what a test needs: one line on standard output, or a
//! panic in strict mode.

use std::env;
use std::ffi::OsStr;
use std::fmt::{self, Display};
use std::thread;

/// The variable that turns skips into failures.
const STRICT: &str = "KATA_TEST_STRICT";

/// What a test needs, by the word that stands for it in `KATA_TEST_STRICT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Root,
    NonRoot,
    Kvm,
    Capability,
    Guest,
    Faults,
}

const NEEDS: [Need; 6] = [
    Need::Root,
    Need::NonRoot,
    Need::Kvm,
    Need::Capability,
    Need::Guest,
    Need::Faults,
];

impl Need {
    fn word(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::NonRoot => "nonroot",
            Self::Kvm => "kvm",
            Self::Capability => "cap",
            Self::Guest => "guest",
            Self::Faults => "faults",
        }
    }
}

/// Prints `what` as skipped, or panics if strict mode forbids it (A7.1).
#[track_caller]
#[expect(clippy::panic, reason = "failing the test is what strict mode is for")]
#[expect(
    clippy::print_stdout,
    reason = "the skip line is for the test's output, and only `println!` is captured with it"
)]
pub(crate) fn announce(need: Need, what: fmt::Arguments<'_>) {
    match is_forbidden(env::var_os(STRICT).as_deref(), need) {
        Ok(false) => println!("INFO: skipping {what}{CurrentTest}"),
        Ok(true) => panic!(
            "{STRICT} contains `{}`: must not skip {what}{CurrentTest}",
            need.word(),
        ),
        Err(unknown) => panic!(
            "{STRICT} contains `{unknown}`: expected a comma-separated list of {}",
            NEEDS.map(Need::word).join(", "),
        ),
    }
}

/// Whether `list`, the value of the variable, forbids to skip for lack of `need`. An unknown word
/// is an error: ignored, it would bring back the silent skip that the variable is to prevent.
fn is_forbidden(list: Option<&OsStr>, need: Need) -> Result<bool, String> {
    let list = list.map(OsStr::to_string_lossy).unwrap_or_default();
    let mut forbidden = false;
    for word in list.split(',').map(str::trim).filter(|w| !w.is_empty()) {
        match NEEDS.into_iter().find(|known| known.word() == word) {
            Some(listed) => forbidden |= listed == need,
            None => return Err(word.to_owned()),
        }
    }
    Ok(forbidden)
}

/// The test's name, which libtest gives to the thread; nothing on the main thread, where some
/// releases of libtest run tests with `--test-threads=1`.
pub(crate) struct CurrentTest;

impl Display for CurrentTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match thread::current().name() {
            None | Some("main") => Ok(()),
            Some(name) => write!(f, " (test {name})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn forbidden(list: &str) -> Vec<&'static str> {
        NEEDS
            .into_iter()
            .filter(|need| is_forbidden(Some(OsStr::new(list)), *need).unwrap())
            .map(Need::word)
            .collect()
    }

    #[test]
    fn without_the_variable_every_need_may_be_skipped() {
        for need in NEEDS {
            assert_eq!(is_forbidden(None, need), Ok(false), "{need:?}");
        }
    }

    #[test]
    fn only_listed_needs_are_forbidden_to_skip() {
        let cases: [(&str, &[&str]); 10] = [
            ("", &[]),
            (",", &[]),
            ("root", &["root"]),
            ("nonroot", &["nonroot"]),
            ("cap", &["cap"]),
            ("guest,cap", &["cap", "guest"]),
            ("faults", &["faults"]),
            ("root,kvm", &["root", "kvm"]),
            (" kvm , nonroot,", &["nonroot", "kvm"]),
            ("cap,kvm,nonroot,root", &["root", "nonroot", "kvm", "cap"]),
        ];
        for (list, expected) in cases {
            assert_eq!(forbidden(list), expected, "{list:?}");
        }
    }

    #[test]
    fn unknown_word_is_an_error_for_every_need() {
        for list in ["Root", "all", "kvm,rot", "root kvm", "cap,*"] {
            for need in NEEDS {
                assert!(is_forbidden(Some(OsStr::new(list)), need).is_err());
            }
        }
        assert_eq!(
            is_forbidden(Some(OsStr::new("root,rot")), Need::Root),
            Err("rot".to_owned())
        );
    }

    #[test]
    fn value_that_is_not_utf8_is_an_unknown_word() {
        let list = OsStr::from_bytes(b"root\xff");
        assert!(is_forbidden(Some(list), Need::Root).is_err());
    }

    #[test]
    fn test_name_is_the_name_of_the_thread() {
        let named = |name: &str| {
            thread::Builder::new()
                .name(name.to_owned())
                .spawn(|| CurrentTest.to_string())
                .unwrap()
                .join()
                .unwrap()
        };
        assert_eq!(named("mount::tests::binds"), " (test mount::tests::binds)");
        assert_eq!(named("main"), "");
        assert_eq!(
            thread::spawn(|| CurrentTest.to_string()).join().unwrap(),
            ""
        );
    }
}
