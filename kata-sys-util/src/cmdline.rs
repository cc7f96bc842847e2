//! The kernel command line
//! ([`proc_cmdline(5)`](https://man7.org/linux/man-pages/man5/proc_cmdline.5.html)).

use std::io;
use std::path::Path;

use anyhow::Result;

use crate::open::read;

/// Whether a parameter is on the kernel command line in the file `kernel_cmdline_path`, which is
/// `/proc/cmdline` on a real system.
///
/// The words of the file are compared, and one that matches is enough: neither does a later word
/// take an earlier one back, nor are the words after ` -- `, which are for init, left out.
///
/// * With no `search_values`: a word equals `search_param` as a whole, whatever the case of ASCII
///   letters. `quiet` does not match `quiet=1`.
/// * Else: a word is `search_param`, exactly in this case, then `=`, then one of `search_values`,
///   whatever the case of ASCII letters. The value of `a=b=c` is `b=c`.
///
/// Bytes that are not UTF-8 match nothing.
///
/// # Errors
///
/// The [`std::io::Error`] if the file cannot be read, with its path.
///
/// ```
/// use kata_sys_util::check_kernel_cmd_line;
/// # let file = tempfile::NamedTempFile::new()?;
/// # let path = file.path().to_str().unwrap();
///
/// std::fs::write(path, "quiet root=/dev/vda prot_virt=On\n")?;
/// assert!(check_kernel_cmd_line(path, "quiet", &[])?);
/// assert!(check_kernel_cmd_line(path, "prot_virt", &["1", "on", "y", "yes"])?);
/// assert!(!check_kernel_cmd_line(path, "root", &["/dev/vdb"])?);
/// # anyhow::Ok(())
/// ```
pub fn check_kernel_cmd_line(
    kernel_cmdline_path: &str,
    search_param: &str,
    search_values: &[&str],
) -> Result<bool> {
    has_parameter(Path::new(kernel_cmdline_path), search_param, search_values)
}

/// As [`check_kernel_cmd_line`], with a path of any bytes.
pub(crate) fn has_parameter(
    path: &Path,
    search_param: &str,
    search_values: &[&str],
) -> Result<bool> {
    let text =
        read(path).map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
    let text = String::from_utf8_lossy(&text);
    let mut words = text.split_whitespace();
    if search_values.is_empty() {
        return Ok(words.any(|word| word.eq_ignore_ascii_case(search_param)));
    }
    let mut parameters = words.filter_map(|word| word.split_once('='));
    let is_wanted = |value: &str| search_values.iter().any(|v| v.eq_ignore_ascii_case(value));
    Ok(parameters.any(|(key, value)| key == search_param && is_wanted(value)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn check(text: &[u8], param: &str, values: &[&str]) -> bool {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        check_kernel_cmd_line(file.path().to_str().unwrap(), param, values).unwrap()
    }

    #[test]
    fn without_values_a_whole_word_is_searched_in_any_case() {
        for (text, param, expected) in [
            ("foo", "foo", true),
            ("a FOO b", "foo", true),
            ("a\tfoo\u{2003}b", "foo", true),
            ("a\nb foo\n", "Foo", true),
            ("foo=1", "foo", false),
            ("foo=1", "foo=1", true),
            ("foobar", "foo", false),
            ("barfoo", "foo", false),
            ("É", "é", false),
            ("", "foo", false),
            ("foo", "", false),
            (" \n", "", false),
        ] {
            assert_eq!(
                check(text.as_bytes(), param, &[]),
                expected,
                "{text:?} {param:?}"
            );
        }
    }

    #[test]
    fn with_values_the_key_is_exact_and_the_value_in_any_case() {
        for (text, param, values, expected) in [
            ("foo=1", "foo", &["1"][..], true),
            ("foo=YES", "foo", &["on", "yes"], true),
            ("foo=yes", "foo", &["YES"], true),
            ("Foo=1", "foo", &["1"], false),
            ("foo=1", "Foo", &["1"], false),
            ("foo", "foo", &["1"], false),
            ("foo", "foo", &[""], false),
            ("foo=", "foo", &[""], true),
            ("foo=", "foo", &["1"], false),
            ("foo=11", "foo", &["1"], false),
            ("a=b=c", "a", &["b=c"], true),
            ("a=b=c", "a", &["b"], false),
            ("a=b=c", "a=b", &["c"], false),
            ("=1", "", &["1"], true),
            ("foo=0 bar foo=1", "foo", &["1"], true),
            ("xfoo=1", "foo", &["1"], false),
        ] {
            assert_eq!(
                check(text.as_bytes(), param, values),
                expected,
                "{text:?} {values:?}"
            );
        }
    }

    #[test]
    fn any_word_counts_even_if_taken_back_or_meant_for_init() {
        assert!(check(b"prot_virt=1 prot_virt=0", "prot_virt", &["1"]));
        assert!(check(b"quiet -- debug", "debug", &[]));
    }

    #[test]
    fn bytes_that_are_not_utf8_do_not_hide_other_words() {
        assert!(check(b"a=\xff\xfe foo=1", "foo", &["1"]));
        assert!(!check(b"foo=\xff", "foo", &["1"]));
    }

    #[test]
    fn unreadable_file_is_an_error_with_its_path() {
        let error = check_kernel_cmd_line("/no/such/file", "a", &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/no/such/file: No such file or directory (os error 2)"
        );
        let error = error.downcast::<io::Error>().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(check_kernel_cmd_line("", "a", &[]).is_err());
        assert!(check_kernel_cmd_line("/", "a", &[]).is_err());
    }

    #[test]
    fn real_command_line_can_be_read() {
        assert!(!check_kernel_cmd_line("/proc/cmdline", "no-such-parameter", &[]).unwrap());
    }
}
