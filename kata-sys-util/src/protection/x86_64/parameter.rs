//! A boolean parameter of a kernel module.

use std::io;
use std::path::Path;

use super::super::small_file::{is_missing, read_small_file};

/// What a parameter is.
#[derive(Debug)]
pub(super) enum Parameter {
    /// There is no such file: the module is not loaded, or does not have the parameter.
    Missing,
    /// There is a file that cannot be read.
    Unreadable(io::Error),
    /// The text of the file.
    Text(String),
}

impl Parameter {
    pub(super) fn read(path: &Path) -> Self {
        match read_small_file(path) {
            Ok(text) => Self::Text(text),
            Err(error) if is_missing(&error) => Self::Missing,
            Err(error) => Self::Unreadable(error),
        }
    }

    /// X6: whether `kvm_amd` has it on; `1` is what older kernels have for `Y`.
    pub(super) fn is_on(&self) -> bool {
        matches!(self, Self::Text(text) if matches!(text.trim(), "Y" | "1"))
    }

    /// X5: whether `kvm_intel` has it on; callers compare the first byte likewise.
    pub(super) fn begins_with_y(&self) -> bool {
        matches!(self, Self::Text(text) if text.starts_with('Y'))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parameter_is_on_by_its_text() {
        for (text, is_on, begins_with_y) in [
            ("Y", true, true),
            ("Y\n", true, true),
            (" Y \n", true, false),
            ("1\n", true, false),
            ("Yes\n", false, true),
            ("y\n", false, false),
            ("N\n", false, false),
            ("0\n", false, false),
            ("10\n", false, false),
            ("\n", false, false),
            ("", false, false),
        ] {
            let parameter = Parameter::Text(text.to_owned());
            assert_eq!(parameter.is_on(), is_on, "{text:?}");
            assert_eq!(parameter.begins_with_y(), begins_with_y, "{text:?}");
        }
    }

    #[test]
    fn parameter_without_a_file_is_off() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "Y").unwrap();
        for path in [dir.path().join("none"), file.join("below")] {
            let parameter = Parameter::read(&path);
            assert!(matches!(parameter, Parameter::Missing), "{parameter:?}");
            assert!(!parameter.is_on() && !parameter.begins_with_y());
        }
        // A directory can be opened, but not read.
        let parameter = Parameter::read(dir.path());
        assert!(matches!(parameter, Parameter::Unreadable(_)));
        assert!(!parameter.is_on() && !parameter.begins_with_y());
    }

    #[test]
    fn no_more_than_a_page_is_read() {
        let parameter = Parameter::read(Path::new("/dev/zero"));
        assert!(matches!(&parameter, Parameter::Text(text) if text.len() == 4096));
    }

    proptest! {
        #[test]
        fn text_is_on_only_if_it_is_one_of_two_letters(
            text in "([Y1yn0 \t\n]|[\x00-\x7f]){0,4}",
        ) {
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), &text).unwrap();
            let parameter = Parameter::read(file.path());
            prop_assert_eq!(parameter.is_on(), ["Y", "1"].contains(&text.trim()));
            prop_assert_eq!(parameter.begins_with_y(), text.starts_with('Y'));
        }
    }
}
