//! The text of initdata documents is that of `toml` 0.5 with sorted keys: other components wrote and
//! measured it with that crate.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

use std::collections::{BTreeMap, HashMap};

use kata_types::initdata::{InitData, parse_initdata};
use proptest::prelude::*;
use serde::Serialize;

#[derive(Serialize)]
struct Sorted<'a> {
    version: &'a str,
    algorithm: &'a str,
    data: BTreeMap<&'a str, &'a str>,
}

fn sorted(document: &InitData) -> Sorted<'_> {
    Sorted {
        version: document.version(),
        algorithm: document.algorithm(),
        data: document
            .data()
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect(),
    }
}

/// Texts in which quotes, backslashes, line ends and control characters are frequent.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a'\"\\\\\n]{0,12}",
        "[ab\t\r\n'\u{0}\u{8}\u{c}\u{1f}\u{7f}\u{80}é😀\u{feff}]{0,12}",
        "[a-z0-9_.-]{0,8}",
    ]
}

fn document() -> impl Strategy<Value = InitData> {
    (
        text(),
        text(),
        proptest::collection::vec((text(), text()), 0..5),
    )
        .prop_map(|(version, algorithm, data)| {
            let mut document = InitData::new(algorithm, version);
            for (key, value) in data {
                document.insert_data(key, value);
            }
            document
        })
}

fn check_equal(parsed: &InitData, document: &InitData) -> Result<(), TestCaseError> {
    prop_assert_eq!(parsed.version(), document.version());
    prop_assert_eq!(parsed.algorithm(), document.algorithm());
    prop_assert_eq!(parsed.data(), document.data());
    Ok(())
}

proptest! {
    #[test]
    fn pretty_text_is_that_of_toml_0_5(document in document()) {
        let expected = toml05::to_string_pretty(&sorted(&document)).unwrap();
        prop_assert_eq!(document.to_string().unwrap(), expected);
    }

    #[test]
    fn compact_text_is_that_of_toml_0_5(document in document()) {
        let expected = toml05::to_vec(&sorted(&document)).unwrap();
        prop_assert_eq!(document.to_vec().unwrap(), expected);
    }

    #[test]
    fn old_and_new_parsers_read_the_same_document(document in document()) {
        for text in [
            document.to_string().unwrap(),
            String::from_utf8(document.to_vec().unwrap()).unwrap(),
        ] {
            check_equal(&toml05::from_slice(text.as_bytes()).unwrap(), &document)?;
            check_equal(&toml::from_str(&text).unwrap(), &document)?;
        }
    }

    #[test]
    fn valid_documents_parse_to_themselves(
        data in proptest::collection::hash_map(text(), text(), 0..5),
        algorithm in prop_oneof![Just("sha256"), Just("sha384"), Just("sha512")],
    ) {
        let mut document = InitData::new(algorithm, "0.1.0");
        for (key, value) in &data {
            document.insert_data(key, value);
        }
        check_equal(&parse_initdata(&document.to_string().unwrap()).unwrap(), &document)?;
    }

    #[test]
    fn whatever_toml_0_5_accepts_is_accepted(
        text in "(version|algorithm|\"data\"|data|x|\\[data\\]|\\[x\\]|\\[\\[y\\]\\]|\\.|=| |\n|'|\"|'''|\"\"\"|0\\.1\\.0|sha256|1|1_0|0x1f|1\\.5e3|inf|true|1979-05-27|07:32:00|\\[|\\]|\\{|\\}|,|#|\r\n|\u{7f}|\\\\|\\\\n){0,24}",
    ) {
        // With the document's own fields in front, so that many texts are valid.
        for head in ["", "version = '0.1.0'\nalgorithm = 'sha256'\ndata.k = 'v'\n"] {
            let text = format!("{head}{text}");
            // It does not check the dates of keys that the struct lacks.
            if toml05::from_str::<toml05::Value>(&text).is_err() {
                continue;
            }
            let Ok(expected) = toml05::from_str::<InitData>(&text) else { continue };
            if expected.validate().is_ok() {
                let parsed = parse_initdata(&text);
                prop_assert!(parsed.is_ok(), "{:?}", parsed);
                check_equal(&parsed.unwrap(), &expected)?;
            }
        }
    }
}

#[test]
fn line_ends_in_values_are_line_feeds() {
    let head = "version = '0.1.0'\r\nalgorithm = 'sha256'\r\n[data]\r\n";
    for (value, expected) in [
        ("'''\r\na\r\nb\r\n'''", "a\nb\n"),
        ("\"\"\"a\r\nb\\r\r\n\\\r\n  c\"\"\"", "a\nb\r\nc"),
    ] {
        let text = format!("{head}k = {value}\r\n");
        let document = parse_initdata(&text).unwrap();
        assert_eq!(document.get_coco_data("k").unwrap(), expected);
        let old: InitData = toml05::from_str(&text).unwrap();
        assert_eq!(document.data(), old.data());
    }
    let stray = format!("{head}k = '''a\r\r\nb'''\r\n");
    assert!(parse_initdata(&stray).is_err());
}

#[test]
fn insertion_order_makes_no_difference() {
    let keys: Vec<String> = (0..100).map(|n| format!("k{n}")).collect();
    let mut texts = std::collections::HashSet::new();
    for keys in [keys.clone(), keys.into_iter().rev().collect()] {
        let mut document = InitData::new("sha256", "0.1.0");
        for key in keys {
            document.insert_data(key, "v");
        }
        texts.insert(document.to_string().unwrap());
        texts.insert(document.clone().to_string().unwrap());
    }
    assert_eq!(texts.len(), 1);
    let _: &HashMap<String, String> = InitData::new("", "").data();
}
