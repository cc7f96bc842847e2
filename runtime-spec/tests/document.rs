//! The JSON form of a state: what is written, what is read, and that nothing is lost between.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::collections::HashMap;

use proptest::prelude::*;
use runtime_spec::{ContainerState, State};

fn state(status: ContainerState) -> State {
    State {
        version: String::new(),
        id: String::new(),
        status,
        pid: 0,
        bundle: String::new(),
        annotations: HashMap::new(),
    }
}

fn map<const N: usize>(entries: [(&str, &str); N]) -> HashMap<String, String> {
    entries
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

fn full() -> State {
    State {
        version: "1.0.2".to_owned(),
        id: "x".to_owned(),
        pid: -1,
        bundle: "/b".to_owned(),
        annotations: map([("b", "1")]),
        ..state(ContainerState::Paused)
    }
}

fn parse(json: &str) -> Result<State, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

#[test]
fn written_form_is_fixed() {
    let cases = [
        (
            state(ContainerState::Stopped),
            r#"{"status":"stopped","pid":0}"#,
        ),
        (
            full(),
            r#"{"ociVersion":"1.0.2","id":"x","status":"paused","pid":-1,"bundle":"/b","annotations":{"b":"1"}}"#,
        ),
        (
            State {
                id: "a\"\n".to_owned(),
                ..state(ContainerState::Creating)
            },
            r#"{"id":"a\"\n","status":"creating","pid":0}"#,
        ),
        (
            State {
                pid: i32::MIN,
                bundle: "/ü".to_owned(),
                ..state(ContainerState::Created)
            },
            r#"{"status":"created","pid":-2147483648,"bundle":"/ü"}"#,
        ),
        (
            State {
                annotations: map([("b", ""), ("", "e"), ("a", "\u{7f}")]),
                ..state(ContainerState::Running)
            },
            "{\"status\":\"running\",\"pid\":0,\"annotations\":{\"\":\"e\",\"a\":\"\u{7f}\",\"b\":\"\"}}",
        ),
    ];
    for (state, json) in cases {
        assert_eq!(serde_json::to_string(&state).unwrap(), json);
        assert_eq!(state.to_json(), json);
        assert_eq!(parse(json).unwrap(), state);
    }
}

#[test]
fn status_alone_is_enough() {
    assert_eq!(
        parse(r#"{"status":"running"}"#).unwrap(),
        state(ContainerState::Running)
    );
}

#[test]
fn null_annotations_are_none() {
    let parsed = parse(r#"{"status":"running","annotations":null}"#).unwrap();
    assert_eq!(parsed, state(ContainerState::Running));
}

#[test]
fn unknown_members_are_ignored() {
    let parsed = parse(r#"{"version":"1","status":"stopped","Pid":7,"owner":{"a":[null]}}"#);
    assert_eq!(parsed.unwrap(), state(ContainerState::Stopped));
}

#[test]
fn derived_forms_of_serde_are_read() {
    let sequence = r#"["1.0.2","x","paused",-1,"/b",{"b":"1"}]"#;
    assert_eq!(parse(sequence).unwrap(), full());
    let status_as_map = r#"{"status":{"stopped":null}}"#;
    assert_eq!(
        parse(status_as_map).unwrap(),
        state(ContainerState::Stopped)
    );
}

#[test]
fn wrong_documents_are_errors_that_say_why() {
    let cases = [
        ("", "EOF"),
        ("{}", "missing field `status`"),
        ("null", "invalid type: null"),
        (r#"{"status":"running"} x"#, "trailing characters"),
        (
            r#"{"status":"Running"}"#,
            "unknown variant `Running`, expected one of `creating`, `created`, `running`, `stopped`, `paused`",
        ),
        (r#"{"status":null}"#, "expected"),
        (
            r#"{"status":"running","status":"running"}"#,
            "duplicate field `status`",
        ),
        (
            r#"{"status":"running","pid":1,"pid":1}"#,
            "duplicate field `pid`",
        ),
        (
            r#"{"status":"running","id":"a","id":"a"}"#,
            "duplicate field `id`",
        ),
        (
            r#"{"status":"running","bundle":"","bundle":""}"#,
            "duplicate field `bundle`",
        ),
        (
            r#"{"ociVersion":"1","status":"running","ociVersion":"1"}"#,
            "duplicate field `ociVersion`",
        ),
        (
            r#"{"status":"running","annotations":null,"annotations":{}}"#,
            "duplicate field `annotations`",
        ),
        (
            r#"{"status":"running","pid":null}"#,
            "invalid type: null, expected i32",
        ),
        (
            r#"{"status":"running","id":null}"#,
            "invalid type: null, expected a string",
        ),
        (
            r#"{"status":"running","bundle":null}"#,
            "invalid type: null, expected a string",
        ),
        (
            r#"{"status":"running","ociVersion":null}"#,
            "invalid type: null, expected a string",
        ),
        (
            r#"{"status":"running","annotations":{"a":null}}"#,
            "invalid type: null, expected a string",
        ),
        (
            r#"{"status":"running","annotations":{"a":1}}"#,
            "invalid type: integer `1`, expected a string",
        ),
        (r#"{"status":"running","annotations":[]}"#, "expected a map"),
        (
            r#"{"status":"running","pid":2147483648}"#,
            "invalid value: integer `2147483648`, expected i32",
        ),
        (
            r#"{"status":"running","pid":-2147483649}"#,
            "invalid value: integer `-2147483649`, expected i32",
        ),
        (r#"{"status":"running","pid":1.0}"#, "expected i32"),
        (r#"{"status":"running","pid":"1"}"#, "expected i32"),
        (r#"{"status":"running","id":1}"#, "expected a string"),
    ];
    for (json, why) in cases {
        let error = parse(json).expect_err(json);
        assert!(error.contains(why), "{json}: {error}");
    }
}

#[test]
fn equality_goes_by_fields_and_not_by_order() {
    let base = full();
    let changes: [fn(&mut State); 6] = [
        |state| state.version.push('0'),
        |state| state.id.push('0'),
        |state| state.status = ContainerState::Running,
        |state| state.pid = 0,
        |state| state.bundle.push('0'),
        |state| state.annotations.clear(),
    ];
    for change in changes {
        let mut changed = base.clone();
        change(&mut changed);
        assert_ne!(changed, base);
    }
    let forwards = map([("a", "1"), ("b", "2"), ("c", "3")]);
    let backwards = map([("c", "3"), ("b", "2"), ("a", "1")]);
    assert_eq!(
        State {
            annotations: forwards,
            ..full()
        },
        State {
            annotations: backwards,
            ..full()
        }
    );
}

#[test]
fn required_members_are_checked_in_order() {
    let mut state = state(ContainerState::Creating);
    let fill: [fn(&mut State); 3] = [
        |state| state.version = "1.1.0".to_owned(),
        |state| state.id = "web".to_owned(),
        |state| state.bundle = "/b".to_owned(),
    ];
    for (member, fill) in ["ociVersion", "id", "bundle"].into_iter().zip(fill) {
        let error: Box<dyn std::error::Error> = Box::new(state.validate().unwrap_err());
        assert!(
            error.to_string().contains(&format!("`{member}`")),
            "{error}"
        );
        assert_eq!(state.validate().unwrap_err().member(), member);
        fill(&mut state);
    }
    assert_eq!(state.validate(), Ok(()));
}

fn any_status() -> impl Strategy<Value = ContainerState> {
    prop::sample::select(vec![
        ContainerState::Creating,
        ContainerState::Created,
        ContainerState::Running,
        ContainerState::Stopped,
        ContainerState::Paused,
    ])
}

/// Any Unicode text, with many of the characters that JSON escapes.
fn any_text() -> impl Strategy<Value = String> {
    let character = prop_oneof![any::<char>(), prop::char::range('\0', '\u{7f}')];
    prop::collection::vec(character, 0..10).prop_map(String::from_iter)
}

fn any_state() -> impl Strategy<Value = State> {
    (
        any_text(),
        any_text(),
        any_status(),
        any::<i32>(),
        any_text(),
        prop::collection::hash_map(any_text(), any_text(), 0..10),
    )
        .prop_map(|(version, id, status, pid, bundle, annotations)| State {
            version,
            id,
            status,
            pid,
            bundle,
            annotations,
        })
}

proptest! {
    #[test]
    fn what_is_written_reads_as_the_same(state in any_state()) {
        let json = serde_json::to_string(&state).unwrap();
        prop_assert_eq!(&serde_json::from_str::<State>(&json).unwrap(), &state);
        let pretty = serde_json::to_vec_pretty(&state).unwrap();
        prop_assert_eq!(&serde_json::from_slice::<State>(&pretty).unwrap(), &state);
        let value = serde_json::to_value(&state).unwrap();
        prop_assert_eq!(&serde_json::from_value::<State>(value).unwrap(), &state);
    }

    #[test]
    fn to_json_writes_what_serde_json_does(state in any_state()) {
        let json = state.to_json();
        prop_assert_eq!(&json, &serde_json::to_string(&state).unwrap());
        prop_assert_eq!(json.len(), json.capacity());
    }

    #[test]
    fn equal_states_are_written_equal(state in any_state()) {
        // Every `HashMap` has its own random order.
        let mut entries: Vec<_> = state.annotations.clone().into_iter().collect();
        entries.sort();
        entries.reverse();
        let other = State { annotations: entries.into_iter().collect(), ..state.clone() };
        prop_assert_eq!(serde_json::to_string(&other).unwrap(), state.to_json());
        prop_assert_eq!(other.to_json(), state.to_json());
    }

    #[test]
    fn no_input_makes_the_parser_panic(text in r#"(\{("(status|pid|id|annotations)":("running"|-?[0-9]{1,12}|null|\{\}|\PC{0,9}),?)*\}?)|\PC*"#) {
        if let Ok(state) = serde_json::from_str::<State>(&text) {
            prop_assert_eq!(serde_json::from_str::<State>(&state.to_json()).unwrap(), state);
        }
    }
}
