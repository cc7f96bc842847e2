//! Files that `toml` 0.5 could read can still be read: it is what configurations were written for.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs,
    reason = "tests"
)]

use kata_types::config::TomlConfig;
use proptest::prelude::*;

fn key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "a", "b", "c", "\"a\"", "'b'", "a.b", "a.b.c", "b.a", "a . b", "1", "-", "_", "a-b",
        "\"\"", "1.5", "'é'",
    ])
}

fn value() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "1",
        "+1",
        "-0",
        "0x1F",
        "0o7",
        "0b1",
        "0xdead_beef",
        "1_000",
        "1.5",
        "+1.5",
        "-1.5e3",
        "1e5",
        "1E+05",
        "1e-2",
        "6.02_3",
        "inf",
        "+nan",
        "-inf",
        "true",
        "false",
        "'x'",
        "\"x\"",
        "\"\\u00e9\\U0001F600\\b\\t\\n\\f\\r\\\"\\\\\"",
        "'''x'''",
        "'''\nx\ny'''",
        "\"\"\"x\\\n   y\"\"\"",
        "\"\"\"\r\nx\r\n\"\"\"",
        "\"\"\"a\"b\"\"c\"\"\"",
        "'''it's'''",
        "\"\"\"\"x\"\"\"\"",
        "1979-05-27",
        "1979-05-27T07:32:00Z",
        "1979-05-27 07:32:00",
        "1979-05-27t07:32:00.999z",
        "07:32:00",
        "07:32:00.5",
        "1979-05-27T00:32:00-07:00",
        "[]",
        "[1,2,]",
        "[ 1 , 2 ]",
        "[\n1,\n# c\n2\n]",
        "[[1],[2]]",
        "[{a=1},{a=2}]",
        "{}",
        "{a=1}",
        "{ a = 1, b = 2 }",
        "{a.b=1}",
        "{a.b=1,a.c=2}",
        "[ [ ], ]",
        "{a=[1]}",
        "{ }",
        "{\ta=1}",
        "\"\u{80}\"",
        "'\u{feff}'",
    ])
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (key(), value()).prop_map(|(key, value)| format!("{key} = {value}")),
        1 => (key(), value()).prop_map(|(key, value)| format!("{key}={value} # \u{7f}")),
        2 => key().prop_map(|key| format!("[{key}]")),
        1 => key().prop_map(|key| format!("[ {key} ] # x")),
        2 => key().prop_map(|key| format!("[[{key}]]")),
        1 => Just("   ".to_owned()),
        1 => Just("# é \t\u{7f}".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn what_toml_0_5_accepts_is_accepted(
        lines in prop::collection::vec(line(), 0..6),
        end in prop::sample::select(vec!["\n", "\r\n"]),
    ) {
        let text = lines.join(end);
        if toml05::from_str::<toml05::Value>(&text).is_ok() {
            let loaded = TomlConfig::load(&text).map(drop).map_err(|e| e.to_string());
            prop_assert_eq!(loaded, Ok(()), "{}", text);
        }
    }
}

#[test]
fn line_ends_in_values_are_line_feeds() {
    let text = "[agent.a]\r\npolicy = '''\r\nx\r\ny'''\r\n";
    let config = TomlConfig::load(text).unwrap();
    let old: toml05::Value = toml05::from_str(text).unwrap();
    assert_eq!(config.agent["a"].policy, "x\ny");
    assert_eq!(old["agent"]["a"]["policy"].as_str(), Some("x\ny"));
}
