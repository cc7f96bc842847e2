//! Several TOML files as one tree in which every key and value still knows where it came from.
//!
//! The files lie one behind the other in one space of byte offsets, as in a compiler's source map.
//! The spans of the parser's trees are moved into that space, so an offset is all that has to be kept
//! to name file, line and column later.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::dotted_key::shortened;
use super::keys::{Kind, Section};
use super::load_error::{LoadError, LoadProblem};
use super::toml_merge::merge;
use crate::toml_extract::{Decoded, Extract, LongStrings, fold_line_ends};
use crate::toml_nesting::{Limits, TooComplex, check_nesting};

/// What is parsed at all (D34). A full configuration file has four levels and some 1000 words.
const LIMITS: Limits = Limits {
    levels: 128,
    words: 1 << 18,
    tokens: 1 << 21,
};

/// One file that has been read.
pub(crate) struct SourceFile {
    /// Empty when the text did not come from a file.
    pub(crate) path: PathBuf,
    /// With line feeds only.
    pub(crate) text: String,
    /// Offset of its first byte.
    start: usize,
    /// What is parsed; nothing if there is too much.
    extract: Option<Extract>,
}

/// The files of a configuration: the base file, then the drop-ins in the order of their use.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    files: Vec<SourceFile>,
}

/// A position in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// Number of the file: 0 is the base file.
    pub(crate) file: usize,
    /// Counted from 1.
    pub(crate) line: usize,
    /// In characters, counted from 1.
    pub(crate) column: usize,
}

impl Sources {
    pub(crate) fn push(&mut self, path: PathBuf, mut text: String) {
        fold_line_ends(&mut text);
        let start = self.files.last().map_or(0, SourceFile::end);
        let extract = Extract::of(&text, LIMITS.words, LongStrings::StandIn);
        self.files.push(SourceFile {
            path,
            text,
            start,
            extract,
        });
    }

    /// Gives back what is not needed any more when the trees are gone.
    pub(crate) fn forget_extracts(&mut self) {
        for file in &mut self.files {
            file.extract = None;
        }
    }

    pub(crate) fn path(&self, file: usize) -> &Path {
        self.files
            .get(file)
            .map_or(Path::new(""), |file| &file.path)
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// Parses all files and merges them (§3.2.5): tables key by key, anything else as a whole.
    ///
    /// # Errors
    ///
    /// A file is not TOML, or nested too deep; of kind [`io::ErrorKind::InvalidData`].
    pub(crate) fn parse(&self) -> io::Result<DeTable<'_>> {
        let mut merged = DeTable::new();
        let mut words = 0;
        for file in &self.files {
            let table = file.parse(&mut words).map_err(|(offset, reason)| {
                LoadError::invalid_data(vec![match offset {
                    Some(at) => {
                        let place = self.locator().locate(file.start + at);
                        LoadProblem::at(self, place, "", reason)
                    }
                    None => LoadProblem::in_file(&file.path, "", reason),
                }])
            })?;
            if file.start == 0 {
                merged = table;
            } else {
                merge(&mut merged, table, Some(Kind::Table(Section::Root)));
            }
        }
        Ok(merged)
    }

    pub(crate) fn locator(&self) -> Locator<'_> {
        Locator {
            sources: self,
            file: 0,
            at: 0,
            line: 1,
            column: 1,
        }
    }

    /// The file that an offset lies in, and its number.
    fn file_at(&self, offset: usize) -> Option<(usize, &SourceFile)> {
        let number = self.files.partition_point(|file| file.end() <= offset);
        let number = number.min(self.files.len().checked_sub(1)?);
        self.files.get(number).map(|file| (number, file))
    }
}

/// Shows the size only: the text may contain secrets.
impl fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceFile")
            .field("path", &self.path)
            .field("bytes", &self.text.len())
            .finish_non_exhaustive()
    }
}

impl SourceFile {
    /// Offset of the next file: the end of this one, at which errors are reported too, is its own.
    fn end(&self) -> usize {
        self.start + self.text.len() + 1
    }

    /// The tree of this file; or the place in it and the reason of an error. `words` is the number of
    /// words in the files so far.
    fn parse(&self, words: &mut usize) -> Result<DeTable<'_>, (Option<usize>, String)> {
        let too_large = || {
            let words = LIMITS.words;
            (None, TooComplex::Large { words }.to_string())
        };
        let extract = self.extract.as_ref().ok_or_else(too_large)?;
        *words += check_nesting(extract.text(), LIMITS).map_err(|e| match e {
            TooComplex::Deep { offset, .. } => (Some(extract.original(offset)), e.to_string()),
            TooComplex::Large { .. } => (None, e.to_string()),
        })?;
        if *words > LIMITS.words {
            return Err(too_large());
        }
        let table = DeTable::parse(extract.text()).map_err(|e| {
            let place = e.span().map(|span| extract.original(span.start));
            (place, e.message().to_owned())
        })?;
        let strings = extract
            .decode_strings(&self.text)
            .map_err(|(offset, reason)| (Some(offset), reason))?;
        let mut relocation = Relocation {
            extract,
            start: self.start,
            strings,
            too_wide: None,
        };
        let table = relocation.table(table.into_inner());
        match relocation.too_wide {
            Some((place, number)) => {
                let reason = format!("integer `{number}` does not fit into 64 bits");
                Err((Some(place), reason))
            }
            None => Ok(table),
        }
    }
}

/// Moves the tree of an extract to where the text of the file lies.
struct Relocation<'i> {
    extract: &'i Extract,
    start: usize,
    /// Those that the extract leaves out.
    strings: Vec<Decoded<'i>>,
    /// An integer that is none in TOML, after its offset in the file. Nobody would read that of an
    /// unknown key.
    too_wide: Option<(usize, String)>,
}

impl<'i> Relocation<'i> {
    fn table(&mut self, table: DeTable<'i>) -> DeTable<'i> {
        let mut moved = DeTable::new();
        for (key, value) in table {
            moved.insert(self.spanned(key), self.value(value));
        }
        moved
    }

    fn value(&mut self, value: Spanned<DeValue<'i>>) -> Spanned<DeValue<'i>> {
        let at = value.span().start;
        let mut value = self.spanned(value);
        match value.get_mut() {
            DeValue::String(text) => {
                let found = self.strings.binary_search_by_key(&at, |(at, _)| *at);
                if let Some((_, string)) = found.ok().and_then(|at| self.strings.get_mut(at)) {
                    *text = std::mem::take(string);
                }
            }
            DeValue::Array(items) => {
                for item in items.iter_mut() {
                    let taken =
                        std::mem::replace(item, Spanned::new(0..0, DeValue::Boolean(false)));
                    *item = self.value(taken);
                }
            }
            DeValue::Table(table) => *table = self.table(std::mem::take(table)),
            DeValue::Integer(number) if self.too_wide.is_none() && !fits_64_bits(number) => {
                let place = self.extract.original(at);
                self.too_wide = Some((place, shortened(&number.to_string())));
            }
            _ => {}
        }
        value
    }

    fn spanned<T>(&self, value: Spanned<T>) -> Spanned<T> {
        let place = |offset| self.start + self.extract.original(offset);
        let span = value.span();
        Spanned::new(place(span.start)..place(span.end), value.into_inner())
    }
}

/// With or without sign: TOML asks for those with it, and some keys want the largest without.
fn fits_64_bits(number: &DeInteger<'_>) -> bool {
    let (digits, radix) = (number.as_str(), number.radix());
    i64::from_str_radix(digits, radix).is_ok() || u64::from_str_radix(digits, radix).is_ok()
}

/// Turns offsets into positions; cheap for ascending ones, as it goes on from the last.
#[derive(Debug)]
pub(crate) struct Locator<'s> {
    sources: &'s Sources,
    file: usize,
    /// Bytes of the file that have been passed.
    at: usize,
    line: usize,
    column: usize,
}

impl Locator<'_> {
    pub(crate) fn locate(&mut self, offset: usize) -> Position {
        if let Some((number, file)) = self.sources.file_at(offset) {
            let target = offset.saturating_sub(file.start);
            if number != self.file || target < self.at {
                (self.file, self.at, self.line, self.column) = (number, 0, 1, 1);
            }
            let passed = file
                .text
                .as_bytes()
                .get(self.at..target.min(file.text.len()));
            for byte in passed.unwrap_or_default() {
                if *byte == b'\n' {
                    self.line += 1;
                    self.column = 1;
                } else if byte & 0xC0 != 0x80 {
                    self.column += 1; // not a continuation byte of UTF-8
                }
            }
            self.at = self.at.max(target.min(file.text.len()));
        }
        Position {
            file: self.file,
            line: self.line,
            column: self.column,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use proptest::prelude::*;

    fn sources(texts: &[&str]) -> Sources {
        let mut sources = Sources::default();
        for (number, text) in texts.iter().enumerate() {
            sources.push(format!("f{number}").into(), (*text).to_owned());
        }
        sources
    }

    fn plain(table: DeTable<'_>) -> toml::Table {
        use serde::Deserialize;
        toml::Table::deserialize(toml::de::Deserializer::from(Spanned::new(0..0, table))).unwrap()
    }

    #[test]
    fn offsets_name_the_file_whose_value_is_used() {
        let sources = sources(&["a = 1\n[t]\n'ä' = 'é'", "[t]\n\n  x = [\n 1 ]", "a = 2"]);
        let tree = sources.parse().unwrap();
        let at = |key: &Spanned<Cow<'_, str>>, value: &Spanned<DeValue<'_>>| {
            let mut locator = sources.locator();
            let key = locator.locate(key.span().start);
            let value = locator.locate(value.span().start);
            (
                (key.file, key.line, key.column),
                (value.file, value.line, value.column),
            )
        };
        let (key, value) = tree.get_key_value("a").unwrap();
        assert_eq!(at(key, value), ((2, 1, 1), (2, 1, 5)));
        let table = tree.get("t").unwrap().get_ref().as_table().unwrap();
        let (key, value) = table.get_key_value("ä").unwrap();
        assert_eq!(at(key, value), ((0, 3, 1), (0, 3, 7)));
        let (key, value) = table.get_key_value("x").unwrap();
        assert_eq!(at(key, value), ((1, 3, 3), (1, 3, 7)));
        let first = value.get_ref().get(0).unwrap();
        assert_eq!(at(key, first).1, (1, 4, 2));
    }

    #[test]
    fn syntax_errors_name_file_line_and_column() {
        let deep = format!("a = 1\nb = {}", "[".repeat(200));
        let long = format!("a = 1 # x\n\nbb = \"{}\\q\"", "é".repeat(1023));
        for (text, expected) in [
            ("a = \n", "f1:1:5: "),
            ("a = 1\na = 2\n", "f1:2:1: duplicate key"),
            ("[t\n", "f1:1:3: "),
            ("a = 1\n'é' = é", "f1:2:7: "),
            ("# é\n\n\ta = 1 # é\n\n  # x\n  b == 1", "f1:6:6: "),
            (long.as_str(), "f1:3:1031: "),
            (
                deep.as_str(),
                "f1:2:133: tables and arrays are nested deeper than 128 levels",
            ),
        ] {
            let error = sources(&["x = 1", text]).parse().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(error.to_string().starts_with(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn integers_have_64_bits() {
        let widest = "min = -9223372036854775808\nmax = 18_446_744_073_709_551_615\n\
            hex = 0xFFFF_FFFF_FFFF_FFFF\nplus = +9223372036854775807";
        assert!(sources(&[widest]).parse().is_ok());
        let wider = "99999999999999999999999999999999999991";
        for (text, expected) in [
            (format!("x = {wider}"), "f1:1:5: integer `999999999"),
            (
                "[t]\n# é\nx.y = [1, -9223372036854775809]".to_owned(),
                "f1:3:11: integer `-9223372036854775809` does not fit into 64 bits",
            ),
            (
                "x = { y = 0x1_0000_0000_0000_0000 }".to_owned(),
                "f1:1:11: integer `0x1",
            ),
        ] {
            let error = sources(&["x = 1", &text]).parse().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(error.to_string().starts_with(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn long_strings_come_back() {
        let long = "é".repeat(1 << 16);
        let base = format!("a.b = '{long}' # x\nc = [\"\\t{long}\"]\nd = \"\"\"\n\\t{long}\"\"\"");
        let over = format!("# x\n\na.e = \"{long}\"\na.f = ''");
        let sources = sources(&[&base, &over]);
        let tree = plain(sources.parse().unwrap());
        assert_eq!(tree["a"]["b"].as_str(), Some(long.as_str()));
        assert_eq!(tree["c"][0].as_str(), Some(format!("\t{long}").as_str()));
        assert_eq!(tree["d"].as_str(), Some(format!("\t{long}").as_str()));
        assert_eq!(tree["a"]["e"].as_str(), Some(long.as_str()));
        assert_eq!(tree["a"]["f"].as_str(), Some(""));
    }

    #[test]
    fn a_byte_order_mark_is_skipped_at_the_start_only() {
        let right = sources(&["\u{feff}a = 1\r\n"]);
        assert_eq!(plain(right.parse().unwrap()), "a = 1".parse().unwrap());
        for (text, expected) in [
            ("\u{feff}\u{feff}", "f1:1:3: key with no value"),
            ("\u{feff}# x\n\n\u{feff}a = 1", "f1:3:1: "),
            ("\n\u{feff}", "f1:2:2: key with no value"),
        ] {
            let error = sources(&["x = 1", text]).parse().unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn line_ends_in_strings_are_line_feeds() {
        let long = "x\r\n".repeat(1000);
        let text =
            format!("a = '''\r\n1\r\n'''\r\nb = \"\"\"\r\n1\\r\r\n\"\"\"\r\nc = '''{long}'''");
        let tree = plain(sources(&[&text]).parse().unwrap());
        assert_eq!(tree["a"].as_str(), Some("1\n"));
        assert_eq!(tree["b"].as_str(), Some("1\r\n"));
        assert_eq!(tree["c"].as_str(), Some("x\n".repeat(1000).as_str()));
    }

    #[test]
    fn a_delete_character_is_tolerated_in_comments_only() {
        for (text, accepted) in [
            ("\u{feff}# \u{7f}\na = 1 # \u{7f}é\u{7f}", true),
            ("a = '\u{7f}'", false),
            ("a = 1 \u{7f}", false),
            ("a = '#' \u{7f}", false),
        ] {
            assert_eq!(sources(&[text]).parse().is_ok(), accepted, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn positions_are_those_of_a_naive_count(
            texts in prop::collection::vec("[ab\né]{0,20}", 1..4),
            picks in prop::collection::vec(any::<prop::sample::Index>(), 1..8),
        ) {
            let sources = sources(&texts.iter().map(String::as_str).collect::<Vec<_>>());
            let end = sources.files.last().map_or(0, SourceFile::end);
            let mut locator = sources.locator();
            for pick in picks {
                let offset = pick.index(end);
                let (number, file) = sources.file_at(offset).unwrap();
                let before = &file.text.as_bytes()[..offset - file.start];
                let line = before.iter().filter(|b| **b == b'\n').count() + 1;
                let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
                let column = before[line_start..].iter().filter(|b| **b & 0xC0 != 0x80).count() + 1;
                let expected = Position { file: number, line, column };
                prop_assert_eq!(locator.locate(offset), expected);
            }
        }
    }
}
