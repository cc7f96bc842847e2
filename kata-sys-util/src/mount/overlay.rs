//! The options of overlay mounts
//! ([overlayfs documentation](https://docs.kernel.org/filesystems/overlayfs.html)), taken apart and
//! made shorter.
//!
//! The data of `mount(2)` must fit into a page, which limits an image to some 34 to 100 layers. A
//! list of lower directories gets shorter if the directory that they have in common becomes the
//! working directory of the mount.

use std::env;
use std::io;
use std::path::{Component, Path, PathBuf};

const LOWERDIR: &str = "lowerdir=";

/// Splits mount data into options. A backslash takes its meaning from a comma after it.
pub(super) fn split_options(data: &str) -> impl Iterator<Item = &str> {
    split_unescaped(data, ',')
}

/// Splits at a separator that no backslash escapes.
pub(super) fn split_unescaped(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut is_escaped = false;
    text.split(move |c| {
        let is_separator = c == separator && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_separator
    })
}

/// The text without its escapes.
pub(super) fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.extend(chars.next()),
            c => plain.push(c),
        }
    }
    plain
}

/// One lower directory of an overlay, not escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    /// Shows its files (`lowerdir+`).
    Lower(String),
    /// Only holds data that files of other layers refer to (`datadir+`), after `::`.
    Data(String),
}

/// The layers of a `lowerdir` value. `None` if it is malformed.
pub(super) fn layers(value: &str) -> Option<Vec<Layer>> {
    let mut layers = Vec::new();
    let mut entries = split_unescaped(value, ':');
    let mut is_data = false;
    while let Some(entry) = entries.next() {
        if entry.is_empty() && !layers.is_empty() {
            // `::`, and the data layer after it.
            is_data = true;
            layers.push(Layer::Data(layer_path(entries.next()?)?));
        } else if is_data {
            return None; // A layer that shows its files below one that does not.
        } else {
            layers.push(Layer::Lower(layer_path(entry)?));
        }
    }
    Some(layers)
}

fn layer_path(entry: &str) -> Option<String> {
    (!entry.is_empty()).then(|| unescape(entry))
}

/// The directory that all lower directories have in common, and the options relative to it; or no
/// directory and the options as they are, if there is nothing to gain.
///
/// Only the first `lowerdir` option counts.
pub(super) fn compact_lowerdirs(options: &[String]) -> (Option<PathBuf>, Vec<String>) {
    let compacted = options.iter().enumerate().find_map(|(index, option)| {
        let entries = option.strip_prefix(LOWERDIR).filter(|e| !e.is_empty())?;
        Some((index, compact(entries)))
    });
    let mut options = options.to_vec();
    match compacted {
        Some((index, Some((directory, lowerdir)))) => {
            if let Some(option) = options.get_mut(index) {
                *option = lowerdir;
            }
            (Some(directory), options)
        }
        _ => (None, options),
    }
}

fn compact(entries: &str) -> Option<(PathBuf, String)> {
    let entries: Vec<&Path> = split_unescaped(entries, ':').map(Path::new).collect();
    // Data-only layers, after `::`, have no short form: an empty entry has no parent.
    let common = common_directory(&entries)?;
    if entries.len() < 2 || common.as_os_str().is_empty() || common == Path::new("/") {
        return None;
    }
    let mut option = String::from(LOWERDIR);
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 {
            option.push(':');
        }
        let rest: PathBuf = entry.strip_prefix(&common).ok()?.components().collect();
        option.push_str(rest.to_str()?);
    }
    Some((PathBuf::from(unescape(common.to_str()?)), option))
}

/// The longest common beginning, by components, of the parents of all entries (M11).
fn common_directory(entries: &[&Path]) -> Option<PathBuf> {
    let mut parents = entries.iter().map(|entry| entry.parent());
    let mut common: Vec<Component<'_>> = parents.next()??.components().collect();
    for parent in parents {
        let same = common
            .iter()
            .zip(parent?.components())
            .take_while(|(a, b)| **a == *b)
            .count();
        common.truncate(same);
    }
    Some(common.iter().collect())
}

/// Makes relative upper and work directories absolute, so that they stay the same in another
/// working directory.
pub(super) fn make_absolute(options: &mut [String]) -> io::Result<()> {
    for option in options {
        for key in ["upperdir=", "workdir="] {
            match option.strip_prefix(key) {
                Some(path) if !path.is_empty() && !path.starts_with('/') => {
                    let dir = env::current_dir()?;
                    let dir = dir.to_str().ok_or(io::ErrorKind::InvalidInput)?;
                    *option = format!("{key}{}/{path}", escape(dir));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn escape(path: &str) -> String {
    let mut escaped = String::with_capacity(path.len());
    for c in path.chars() {
        if matches!(c, '\\' | ',' | ':') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn compacted(lowerdir: &str) -> Option<(String, String)> {
        let option = format!("lowerdir={lowerdir}");
        let (directory, options) = compact_lowerdirs(std::slice::from_ref(&option));
        assert_eq!(options.len(), 1);
        match directory {
            Some(directory) => {
                let rest = options[0].strip_prefix("lowerdir=").unwrap();
                Some((directory.to_str().unwrap().to_owned(), rest.to_owned()))
            }
            None => {
                assert_eq!(options[0], option, "changed without a directory");
                None
            }
        }
    }

    #[test]
    fn common_directory_is_taken_out_once_at_the_beginning() {
        let cases = [
            ("/p/q/l:/p/q/l/m", "/p/q", "l:l/m"),
            ("/p/q/l/m:/p/q/l", "/p/q", "l/m:l"),
            ("/p//q/./l:/p/q/m/", "/p/q", "l:m"),
            ("r/s/1:r/s/2", "r/s", "1:2"),
            ("/a/1:/a/x/a/2", "/a", "1:x/a/2"),
            ("/a//b/1:/a/b/2", "/a/b", "1:2"),
            (r"/a\:b/1:/a\:b/2", "/a:b", "1:2"),
            (r"/a\\/1:/a\\/2", r"/a\", "1:2"),
            (r"/a/x\:y:/a/z\,w", "/a", r"x\:y:z\,w"),
            ("/u/a:/u/ab", "/u", "a:ab"),
            ("/p/../q/1:/p/../q/2", "/p/../q", "1:2"),
        ];
        for (lowerdir, directory, rest) in cases {
            assert_eq!(
                compacted(lowerdir),
                Some((directory.to_owned(), rest.to_owned())),
                "{lowerdir}"
            );
        }
    }

    #[test]
    fn nothing_in_common_is_nothing_to_gain() {
        for lowerdir in [
            "",
            "/p/q/l",
            ":",
            "/:/a",
            "/top",
            "/u:/ux",
            "/u/1:/ux/2",
            "a/x:b/y",
            "a:b",
            "/a/1:b/2",
            "/a/1::/a/2",
            ":/a/1:/a/2",
            "/a/1:/a/2:",
            "/a/1:/",
        ] {
            assert_eq!(compacted(lowerdir), None, "{lowerdir}");
        }
    }

    #[test]
    fn only_the_first_lowerdir_option_changes() {
        let options = [
            "userxattr",
            "lowerdir=",
            "lowerdir=/a/1:/a/2",
            "upperdir=/a/u",
            "lowerdir=/b/1:/b/2",
        ];
        let options = options.map(str::to_owned);
        let (directory, compacted) = compact_lowerdirs(&options);
        assert_eq!(directory, Some(PathBuf::from("/a")));
        assert_eq!(
            compacted,
            [
                "userxattr",
                "lowerdir=",
                "lowerdir=1:2",
                "upperdir=/a/u",
                "lowerdir=/b/1:/b/2"
            ]
        );
        assert_eq!(compact_lowerdirs(&[]), (None, vec![]));
    }

    #[test]
    fn layers_are_not_escaped_and_know_their_kind() {
        let lower = |p: &str| Layer::Lower(p.to_owned());
        let data = |p: &str| Layer::Data(p.to_owned());
        assert_eq!(layers("/a:/b"), Some(vec![lower("/a"), lower("/b")]));
        assert_eq!(
            layers(r"/a\:b:c\\d\,e"),
            Some(vec![lower("/a:b"), lower(r"c\d,e")])
        );
        assert_eq!(
            layers("/a::/d::/e"),
            Some(vec![lower("/a"), data("/d"), data("/e")])
        );
        for value in ["", ":", ":/a", "/a:", "/a::", "/a:::/b", "/a::/d:/b"] {
            assert_eq!(layers(value), None, "{value}");
        }
    }

    #[test]
    fn options_are_split_at_plain_commas() {
        let options: Vec<_> = split_options(r"lowerdir=/a\,b:/c,ro\\,x=1").collect();
        assert_eq!(options, [r"lowerdir=/a\,b:/c", r"ro\\", "x=1"]);
    }

    #[test]
    fn relative_upper_and_work_directories_become_absolute() {
        let mut options = [
            "upperdir=u",
            "workdir=w/x",
            "workdir=/w",
            "lowerdir=l",
            "upperdir=",
        ]
        .map(str::to_owned);
        make_absolute(&mut options).unwrap();
        let here = env::current_dir().unwrap();
        let here = here.display();
        assert_eq!(
            options,
            [
                format!("upperdir={here}/u"),
                format!("workdir={here}/w/x"),
                "workdir=/w".to_owned(),
                "lowerdir=l".to_owned(),
                "upperdir=".to_owned(),
            ]
        );
        assert_eq!(escape(r"/a:b,c\d"), r"/a\:b\,c\\d");
    }

    proptest! {
        #[test]
        fn compacted_entries_name_the_same_directories(
            entries in proptest::collection::vec("/?([ab]{1,2}/{1,2}(\\./)?){0,4}[ab]{0,2}", 0..5)
        ) {
            let lowerdir = entries.join(":");
            if let Some((directory, rest)) = compacted(&lowerdir) {
                let normal = |p: &Path| p.components().collect::<PathBuf>();
                let rest: Vec<_> = rest.split(':').collect();
                prop_assert_eq!(rest.len(), entries.len());
                for (entry, rest) in entries.iter().zip(rest) {
                    prop_assert!(!rest.is_empty() && !rest.starts_with('/'));
                    prop_assert_eq!(normal(&Path::new(&directory).join(rest)), normal(Path::new(entry)));
                }
            }
        }

        #[test]
        fn escaping_is_undone(path in "[ab:,\\\\/]{0,12}") {
            let escaped = escape(&path);
            prop_assert_eq!(unescape(&escaped), path.clone());
            prop_assert_eq!(split_unescaped(&escaped, ':').count(), 1);
            prop_assert_eq!(split_options(&escaped).count(), 1);
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in "[a/:,\\\\ü.]{0,16}") {
            let _ = layers(&text);
            let _ = compacted(&text);
        }
    }
}
