//! What the kernel says about the CPUs
//! ([`/proc/cpuinfo`](https://man7.org/linux/man-pages/man5/proc_cpuinfo.5.html)).

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::open::{LONGEST, open, read, too_long};

/// The file that describes all CPUs.
pub const PROC_CPUINFO: &str = "/proc/cpuinfo";

/// What the description of a CPU, but for the first one, begins with.
#[cfg(target_arch = "x86_64")]
pub const CPUINFO_DELIMITER: &str = "\nprocessor";

/// The key of the line with the CPU's flags.
#[cfg(target_arch = "x86_64")]
pub const CPUINFO_FLAGS_TAG: &str = "flags";

/// What the line with the facilities of an s390x machine begins with.
const FACILITIES: &str = "facilities";

/// How much of the file is read at a time: the description of a CPU takes about 1.5 KiB.
const BLOCK: usize = 4096;

const EMPTY_CPU_INFO: &str = "cpu_info string is empty";

/// The description of the first CPU: the text of `cpu_info_file` before the first occurrence of
/// `substring`, as it is; all of it if there is none.
///
/// The file is read in blocks of 4 KiB up to that place, so that the cost does not depend on the
/// number of CPUs. An empty `substring` gives an empty text.
///
/// # Errors
///
/// The [`std::io::Error`] itself if the file cannot be read or what is before `substring` is not
/// UTF-8; `cpu_info string is empty` if the file is empty.
///
/// ```
/// use kata_sys_util::cpu::{PROC_CPUINFO, get_single_cpu_info};
///
/// // All architectures leave an empty line after a CPU.
/// let info = get_single_cpu_info(PROC_CPUINFO, "\n\n")?;
/// assert!(info.contains("processor"));
/// # anyhow::Ok(())
/// ```
pub fn get_single_cpu_info(cpu_info_file: &str, substring: &str) -> Result<String> {
    let text = read_until(open(Path::new(cpu_info_file))?, substring.as_bytes())?;
    ensure!(text.is_some(), EMPTY_CPU_INFO);
    let text = String::from_utf8(text.unwrap_or_default());
    // The error of std for this does not tell the content.
    Ok(text.map_err(|_| io::Error::new(ErrorKind::InvalidData, "cpu info is not UTF-8"))?)
}

/// The flags of a CPU as they are written: the text after the last `:` of the first line whose key
/// is `cpu_flags_tag`. Empty if there is no such line.
///
/// The key is what is before the first `:`; white space around it and around the tag does not count,
/// and a tag of nothing else matches no line. The text begins with the space that follows the `:`.
///
/// # Errors
///
/// `cpu_info string is empty` or `cpu flags delimiter string is empty`, if an argument is.
///
/// ```
/// use kata_sys_util::cpu::get_cpu_flags;
///
/// let info = "cpu family\t: 25\nflags\t\t: fpu vme\n";
/// assert_eq!(get_cpu_flags(info, "flags")?, " fpu vme");
/// assert_eq!(get_cpu_flags(info, "cpu")?, "");
/// # anyhow::Ok(())
/// ```
pub fn get_cpu_flags(cpu_info: &str, cpu_flags_tag: &str) -> Result<String> {
    find_flags(cpu_info, cpu_flags_tag).map(str::to_owned)
}

/// The flags of a CPU in their order: the words of [`get_cpu_flags`]. Flags of one letter take 25 times
/// their text in memory.
///
/// # Errors
///
/// As [`get_cpu_flags`].
///
/// ```
/// use kata_sys_util::cpu::get_cpu_flags_vec;
///
/// assert_eq!(get_cpu_flags_vec("flags:fpu  vme\n", "flags")?, ["fpu", "vme"]);
/// # anyhow::Ok(())
/// ```
pub fn get_cpu_flags_vec(cpu_info: &str, cpu_flags_tag: &str) -> Result<Vec<String>> {
    let flags = find_flags(cpu_info, cpu_flags_tag)?;
    Ok(flags.split_whitespace().map(str::to_owned).collect())
}

/// Whether `flag` is among the flags, exactly as it is written.
///
/// # Errors
///
/// `parameter specifying flag to look for is empty`.
///
/// ```
/// use kata_sys_util::cpu::contains_cpu_flag;
///
/// let flags = ["sse".to_owned(), "sse2".to_owned()];
/// assert!(contains_cpu_flag(&flags, "sse2")?);
/// assert!(!contains_cpu_flag(&flags, "SSE2")?);
/// # anyhow::Ok(())
/// ```
pub fn contains_cpu_flag(flags_vec: &[String], flag: &str) -> Result<bool> {
    ensure!(
        !flag.is_empty(),
        "parameter specifying flag to look for is empty"
    );
    Ok(flags_vec.iter().any(|known| known == flag))
}

/// The facilities of this s390x machine: a key for each one that it has, with the value `true`.
///
/// # Errors
///
/// As [`retrieve_cpu_facilities_from`].
#[cfg(target_arch = "s390x")]
pub fn retrieve_cpu_facilities() -> Result<HashMap<i32, bool>> {
    retrieve_cpu_facilities_from(Path::new(PROC_CPUINFO))
}

/// The facilities of an s390x machine, from a file like its `/proc/cpuinfo`: a key for each one
/// that it has, with the value `true`. None if the file has no line with facilities.
///
/// # Errors
///
/// The file cannot be read, or the line has a word that is no number.
///
/// ```
/// use kata_sys_util::cpu::retrieve_cpu_facilities_from;
/// # let file = tempfile::NamedTempFile::new()?;
/// # let path = file.path();
///
/// std::fs::write(path, "vendor_id       : IBM/S390\nfacilities      : 0 1 158\n")?;
/// let facilities = retrieve_cpu_facilities_from(path)?;
/// assert!(facilities.contains_key(&158) && !facilities.contains_key(&2));
/// # anyhow::Ok(())
/// ```
pub fn retrieve_cpu_facilities_from(path: &Path) -> Result<HashMap<i32, bool>> {
    let text = read(path).with_context(|| format!("read {path:?}"))?;
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.lines().map(str::trim_start);
    let Some(line) = lines.find(|line| line.starts_with(FACILITIES)) else {
        return Ok(HashMap::new());
    };
    let (_, numbers) = line.split_once(':').unwrap_or_default();
    let facility = |word: &str| {
        let number = word.parse();
        let number = number.with_context(|| format!("{path:?}: not a facility number: {word:?}"));
        number.map(|number| (number, true))
    };
    numbers.split_whitespace().map(facility).collect()
}

/// What is before `delimiter`, or `None` if there is nothing to read at all.
pub(crate) fn read_until<R: Read>(mut reader: R, delimiter: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut text = Vec::new();
    let mut block = [0; BLOCK];
    loop {
        let count = match reader.read(&mut block) {
            Ok(0) if text.is_empty() => return Ok(None),
            Ok(0) => return Ok(Some(text)),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        // The delimiter may begin in the block before.
        let searched = text.len().saturating_sub(delimiter.len().saturating_sub(1));
        text.extend_from_slice(block.get(..count).unwrap_or_default());
        if text.len() as u64 > LONGEST {
            return Err(too_long(LONGEST));
        }
        let rest = text.get(searched..).unwrap_or_default();
        if let Some(position) = find(rest, delimiter) {
            text.truncate(searched.saturating_add(position));
            return Ok(Some(text));
        }
    }
}

fn find(text: &[u8], pattern: &[u8]) -> Option<usize> {
    let Some((first, after_first)) = pattern.split_first() else {
        return Some(0);
    };
    let starts = text.iter().enumerate().filter(|(_, byte)| *byte == first);
    let mut starts = starts.map(|(start, _)| start);
    starts.find(|start| {
        let after = text.get(start.saturating_add(1)..);
        after.is_some_and(|after| after.starts_with(after_first))
    })
}

fn find_flags<'a>(cpu_info: &'a str, tag: &str) -> Result<&'a str> {
    ensure!(!cpu_info.is_empty(), EMPTY_CPU_INFO);
    if tag.is_empty() {
        bail!("cpu flags delimiter string is empty");
    }
    // kata-ctl has a tab at the end of the one for s390x.
    let tag = tag.trim();
    let mut values = cpu_info.lines().filter_map(|line| {
        let (key, _) = line.split_once(':')?;
        let (_, value) = line.rsplit_once(':')?;
        (!tag.is_empty() && key.trim() == tag).then_some(value)
    });
    Ok(values.next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    const TWO_CPUS: &str =
        "processor\t: 0\nflags\t\t: fpu vme\n\nprocessor\t: 1\nflags\t\t: fpu\n\n";

    fn single(text: &[u8], delimiter: &str) -> Result<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        get_single_cpu_info(file.path().to_str().unwrap(), delimiter)
    }

    /// Counts what is read.
    struct Counting<'a>(&'a [u8], usize);

    impl Read for Counting<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.read(buffer)?;
            self.1 += count;
            Ok(count)
        }
    }

    #[test]
    fn first_cpu_is_the_text_before_the_delimiter() {
        for (delimiter, expected) in [
            ("\nprocessor", "processor\t: 0\nflags\t\t: fpu vme\n"),
            ("\n\n", "processor\t: 0\nflags\t\t: fpu vme"),
            ("vme", "processor\t: 0\nflags\t\t: fpu "),
            ("processor", ""),
            ("", ""),
            ("absent", TWO_CPUS),
        ] {
            assert_eq!(
                single(TWO_CPUS.as_bytes(), delimiter).unwrap(),
                expected,
                "{delimiter:?}"
            );
        }
    }

    #[test]
    fn unreadable_file_is_the_bare_error_of_the_system() {
        let missing = "No such file or directory (os error 2)";
        for path in ["", "/no/such/file"] {
            let error = get_single_cpu_info(path, "x").unwrap_err();
            assert_eq!(error.to_string(), missing);
            assert_eq!(format!("{error:#}"), missing);
            assert!(error.is::<io::Error>());
        }
        let error = get_single_cpu_info("/", "x").unwrap_err();
        assert_eq!(error.to_string(), "Is a directory (os error 21)");
    }

    #[test]
    fn empty_file_is_an_error_whatever_the_delimiter() {
        for delimiter in ["", "x"] {
            let error = single(b"", delimiter).unwrap_err();
            assert_eq!(error.to_string(), "cpu_info string is empty");
        }
    }

    #[test]
    fn only_the_part_before_the_delimiter_must_be_utf8() {
        assert_eq!(single(b"a\n\n\xff", "\n\n").unwrap(), "a");
        let error = single(b"\xff\n\n", "\n\n").unwrap_err();
        let error = error.downcast::<io::Error>().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn one_block_is_read_for_the_first_of_many_cpus() {
        let text = format!("processor\t: 0\n{}\n\n", "flags\t\t: fpu\n".repeat(100)).repeat(400);
        let mut reader = Counting(text.as_bytes(), 0);
        let first = read_until(&mut reader, b"\n\n").unwrap().unwrap();
        assert!(first.len() < BLOCK);
        assert_eq!(reader.1, BLOCK);
    }

    #[test]
    fn delimiter_is_found_across_blocks() {
        for before in BLOCK - 12..BLOCK + 3 {
            let text = [
                "x".repeat(before),
                "\nprocessor".to_owned(),
                "y".repeat(BLOCK),
            ]
            .concat();
            assert_eq!(
                single(text.as_bytes(), "\nprocessor").unwrap().len(),
                before
            );
        }
    }

    #[test]
    fn flags_are_the_text_after_the_last_colon_of_the_first_line_with_that_key() {
        for (info, tag, expected) in [
            ("flags : a b", "flags", " a b"),
            ("flags:a b \nflags: c", "flags", "a b "),
            ("\tflags\t: a: b", "flags", " b"),
            ("cpu family : 6\ncpu : 1", "cpu", " 1"),
            ("flagsx : a", "flags", ""),
            ("xflags : a", "flags", ""),
            ("flags a b", "flags", ""),
            ("flags", "flags", ""),
            ("Flags : a", "flags", ""),
            ("features : a", "flags", ""),
            (
                "features\t: esan3 zarch sie\n",
                "features\t",
                " esan3 zarch sie",
            ),
            ("flags : a", " \tflags ", " a"),
            ("cpu family\t: 6", "cpu\t", ""),
            (" : a\n: b\n\t\t: c", " ", ""),
            (": a", "\t\n", ""),
        ] {
            assert_eq!(get_cpu_flags(info, tag).unwrap(), expected, "{info:?}");
        }
    }

    #[test]
    fn flags_as_a_list_are_trimmed_and_not_empty() {
        for (info, expected) in [
            ("flags : a b", vec!["a", "b"]),
            ("flags:fpu vme", vec!["fpu", "vme"]),
            ("flags :  a \t b  ", vec!["a", "b"]),
            ("flags :", vec![]),
            ("other : a", vec![]),
        ] {
            assert_eq!(
                get_cpu_flags_vec(info, "flags").unwrap(),
                expected,
                "{info:?}"
            );
        }
    }

    #[test]
    fn empty_arguments_are_errors_and_the_text_is_tested_first() {
        for (info, tag, expected) in [
            ("", "", EMPTY_CPU_INFO),
            ("", "flags", EMPTY_CPU_INFO),
            ("flags : a", "", "cpu flags delimiter string is empty"),
        ] {
            assert_eq!(get_cpu_flags(info, tag).unwrap_err().to_string(), expected);
            assert_eq!(
                get_cpu_flags_vec(info, tag).unwrap_err().to_string(),
                expected
            );
        }
    }

    #[test]
    fn flag_is_searched_exactly() {
        let flags = ["a", "bc"].map(str::to_owned);
        for (flag, expected) in [
            ("a", true),
            ("bc", true),
            ("b", false),
            ("A", false),
            (" a", false),
        ] {
            assert_eq!(
                contains_cpu_flag(&flags, flag).unwrap(),
                expected,
                "{flag:?}"
            );
        }
        assert!(!contains_cpu_flag(&[], "a").unwrap());
        let error = contains_cpu_flag(&flags, "").unwrap_err();
        assert_eq!(
            error.to_string(),
            "parameter specifying flag to look for is empty"
        );
    }

    #[test]
    fn facilities_are_the_numbers_of_their_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let facilities = |text: &str| {
            fs::write(file.path(), text).unwrap();
            let facilities = retrieve_cpu_facilities_from(file.path())?;
            assert!(facilities.values().all(|present| *present));
            let mut numbers: Vec<i32> = facilities.into_keys().collect();
            numbers.sort_unstable();
            anyhow::Ok(numbers)
        };
        for (text, expected) in [
            ("facilities : 1 2", vec![1, 2]),
            ("facilities: 1 2\n", vec![1, 2]),
            (
                "a : 7\nfacilities      : 0 158  3\nfacilities : 9\n",
                vec![0, 3, 158],
            ),
            ("  facilities : 5", vec![5]),
            ("facilities :", vec![]),
            ("facilities", vec![]),
            ("a : 1", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(facilities(text).unwrap(), expected, "{text:?}");
        }
        for text in [
            "facilities : 1 x",
            "facilities : 1,2",
            "facilities : 99999999999",
        ] {
            assert!(facilities(text).is_err(), "{text:?}");
        }
        assert!(retrieve_cpu_facilities_from(Path::new("/no/such/file")).is_err());
    }

    proptest! {
        #[test]
        fn reading_in_blocks_finds_what_str_finds(
            text in "[ab\n]{1,20}",
            repeat in 1_usize..900,
            delimiter in "[ab\n]{0,5}",
        ) {
            let text = text.repeat(repeat);
            let expected = text.find(&delimiter).unwrap_or(text.len());
            let found = read_until(text.as_bytes(), delimiter.as_bytes()).unwrap().unwrap();
            prop_assert_eq!(found.len(), expected);
        }
    }
}
