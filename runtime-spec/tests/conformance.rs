//! The documents against the OCI runtime specification: ours obey its rules for a state, and those
//! of other runtimes are understood.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::collections::HashMap;

use proptest::prelude::*;
use runtime_spec::{ContainerState, State};
use serde_json::Value;

/// What a document breaks of the rules for a state in OCI 1.2, section *State* and its schema.
fn broken_rules(document: &str) -> Vec<&'static str> {
    let Ok(Value::Object(members)) = serde_json::from_str(document) else {
        return vec!["the state is an object"];
    };
    let text = |member: &str| members.get(member).and_then(Value::as_str);
    let status = text("status").unwrap_or_default();
    let pid = members.get("pid");
    let rules = [
        (
            "ociVersion is there and a semantic version",
            text("ociVersion").is_some_and(is_semantic_version),
        ),
        ("id is there and a string", text("id").is_some()),
        ("bundle is there and a string", text("bundle").is_some()),
        (
            "status is there and one of OCI's",
            ["creating", "created", "running", "stopped"].contains(&status),
        ),
        (
            "pid is not negative",
            pid.is_none_or(|pid| pid.as_u64().is_some()),
        ),
        (
            "pid is there if created or running",
            pid.is_some() || !["created", "running"].contains(&status),
        ),
        (
            "annotations are strings under keys that are not empty",
            members.get("annotations").is_none_or(|annotations| {
                annotations.as_object().is_some_and(|annotations| {
                    annotations
                        .iter()
                        .all(|(key, value)| !key.is_empty() && value.is_string())
                })
            }),
        ),
    ];
    rules
        .into_iter()
        .filter(|(_, kept)| !kept)
        .map(|(rule, _)| rule)
        .collect()
}

/// `MAJOR.MINOR.PATCH`, with an optional pre-release and build (<https://semver.org>, 2.0.0).
fn is_semantic_version(text: &str) -> bool {
    let (text, build) = text
        .split_once('+')
        .map_or((text, None), |(t, b)| (t, Some(b)));
    let (core, release) = text
        .split_once('-')
        .map_or((text, None), |(c, r)| (c, Some(r)));
    let number = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_digit())
            && (part == "0" || !part.starts_with('0'))
    };
    let word = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    core.split('.').count() == 3
        && core.split('.').all(number)
        && release.is_none_or(|release| {
            release.split('.').all(|part| {
                word(part) && (number(part) || !part.bytes().all(|b| b.is_ascii_digit()))
            })
        })
        && build.is_none_or(|build| build.split('.').all(word))
}

fn created() -> State {
    State {
        version: "1.2.0".to_owned(),
        id: "web".to_owned(),
        status: ContainerState::Created,
        pid: 4422,
        bundle: "/run/bundles/web".to_owned(),
        annotations: HashMap::from([("com.example.key".to_owned(), "value".to_owned())]),
    }
}

#[test]
fn checker_finds_each_broken_rule() {
    assert_eq!(broken_rules(&created().to_json()), [""; 0]);
    assert_eq!(broken_rules("[]"), ["the state is an object"]);
    let cases: [(&str, &str, &str); 9] = [
        (
            "ociVersion",
            "null",
            "ociVersion is there and a semantic version",
        ),
        (
            "ociVersion",
            r#""1.2""#,
            "ociVersion is there and a semantic version",
        ),
        (
            "ociVersion",
            r#""01.2.0-rc.1""#,
            "ociVersion is there and a semantic version",
        ),
        ("id", "7", "id is there and a string"),
        ("bundle", "null", "bundle is there and a string"),
        ("status", r#""paused""#, "status is there and one of OCI's"),
        ("pid", "-1", "pid is not negative"),
        (
            "annotations",
            r#"{"":"a"}"#,
            "annotations are strings under keys that are not empty",
        ),
        (
            "annotations",
            r#"{"a":1}"#,
            "annotations are strings under keys that are not empty",
        ),
    ];
    for (member, value, rule) in cases {
        let mut document = serde_json::to_value(created()).unwrap();
        let slot = document.get_mut(member).unwrap();
        *slot = serde_json::from_str(value).unwrap();
        assert_eq!(broken_rules(&document.to_string()), [rule]);
    }
    for version in ["1.0.2", "1.0.2-dev", "1.2.0-rc.1+dev.5", "0.0.0-0a"] {
        assert!(is_semantic_version(version), "{version}");
    }
}

#[test]
fn state_that_does_not_validate_breaks_the_rule_it_names() {
    let changes: [fn(&mut State); 3] = [
        |state| state.version.clear(),
        |state| state.id.clear(),
        |state| state.bundle.clear(),
    ];
    for change in changes {
        let mut state = created();
        change(&mut state);
        let member = state.validate().unwrap_err().member();
        let broken = broken_rules(&state.to_json());
        assert!(
            matches!(*broken, [rule] if rule.starts_with(member)),
            "{broken:?}"
        );
    }
}

proptest! {
    #[test]
    fn valid_state_is_written_by_the_rules(
        version in r"(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})(-(dev|rc\.[1-9]))?(\+[a-z0-9]{1,8})?",
        id in any::<String>(),
        status in prop::sample::select(vec![
            ContainerState::Creating,
            ContainerState::Created,
            ContainerState::Running,
            ContainerState::Stopped,
        ]),
        pid in 0..=i32::MAX,
        bundle in any::<String>(),
        annotations in prop::collection::hash_map("\\PC{1,20}", any::<String>(), 0..5),
    ) {
        let state = State { version, id, status, pid, bundle, annotations };
        prop_assume!(state.validate().is_ok());
        prop_assert_eq!(broken_rules(&state.to_json()), [""; 0]);
    }
}

/// In the shape in which runc gives the state to a hook: compact, members in OCI's order.
const RUNC_HOOK: &str = r#"{"ociVersion":"1.2.0","id":"3f1c8e","status":"creating","pid":20491,"bundle":"/run/containerd/io.containerd.runtime.v2.task/k8s.io/3f1c8e","annotations":{"io.kubernetes.cri.container-type":"container","io.kubernetes.cri.sandbox-id":"b77d02"}}"#;

/// In the shape of `runc state`: indented, with members of its own.
const RUNC_STATE: &str = r#"{
  "ociVersion": "1.0.2-dev",
  "id": "web",
  "pid": 0,
  "status": "stopped",
  "bundle": "/srv/web",
  "rootfs": "/srv/web/rootfs",
  "created": "2024-03-08T09:26:53.589793238Z",
  "annotations": {
    "org.systemd.property.TimeoutStopUSec": "uint64 5000000"
  },
  "owner": ""
}"#;

/// In the shape of `crun state`: indented by four, with its cgroup details.
const CRUN_STATE: &str = r#"{
    "ociVersion": "1.0.0",
    "id": "web",
    "pid": 8713,
    "status": "running",
    "bundle": "/srv/web",
    "rootfs": "/srv/web/rootfs",
    "created": "2024-03-08T09:26:53.589793Z",
    "systemd-scope": "crun-web.scope",
    "owner": "root",
    "annotations": {
        "run.oci.handler": "krun",
        "run.oci.systemd.subgroup": "\u002fcontainer"
    }
}"#;

/// In the shape of a youki state file: optional members are null, its own are in camel case.
const YOUKI_STATE: &str = r#"{
  "ociVersion": "v1.0.2",
  "id": "web",
  "status": "paused",
  "pid": 31337,
  "bundle": "/srv/web",
  "annotations": null,
  "created": "2024-03-08T09:26:53.589793238Z",
  "creator": 0,
  "useSystemd": true,
  "cleanUpIntelRdtSubdirectory": null
}"#;

#[test]
fn states_of_other_runtimes_are_understood() {
    let state =
        |version: &str, id: &str, status, pid, bundle: &str, annotations: &[(&str, &str)]| State {
            version: version.to_owned(),
            id: id.to_owned(),
            status,
            pid,
            bundle: bundle.to_owned(),
            annotations: annotations
                .iter()
                .map(|(key, value)| (key.to_string(), value.to_string()))
                .collect(),
        };
    let cases = [
        (
            RUNC_HOOK,
            state(
                "1.2.0",
                "3f1c8e",
                ContainerState::Creating,
                20491,
                "/run/containerd/io.containerd.runtime.v2.task/k8s.io/3f1c8e",
                &[
                    ("io.kubernetes.cri.container-type", "container"),
                    ("io.kubernetes.cri.sandbox-id", "b77d02"),
                ],
            ),
        ),
        (
            RUNC_STATE,
            state(
                "1.0.2-dev",
                "web",
                ContainerState::Stopped,
                0,
                "/srv/web",
                &[("org.systemd.property.TimeoutStopUSec", "uint64 5000000")],
            ),
        ),
        (
            CRUN_STATE,
            state(
                "1.0.0",
                "web",
                ContainerState::Running,
                8713,
                "/srv/web",
                &[
                    ("run.oci.handler", "krun"),
                    ("run.oci.systemd.subgroup", "/container"),
                ],
            ),
        ),
        (
            YOUKI_STATE,
            state(
                "v1.0.2",
                "web",
                ContainerState::Paused,
                31337,
                "/srv/web",
                &[],
            ),
        ),
    ];
    for (document, expected) in cases {
        let parsed: State = serde_json::from_str(document).unwrap();
        assert_eq!(parsed, expected);
        assert_eq!(parsed.validate(), Ok(()));
    }
    // Read back and written again, a compact document in OCI's order is the same to the byte.
    let parsed: State = serde_json::from_str(RUNC_HOOK).unwrap();
    assert_eq!(parsed.to_json(), RUNC_HOOK);
}
