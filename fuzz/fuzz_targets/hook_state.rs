//! The state document that hooks get.
//!
//! * What has a known status, and no member of a wrong kind, is accepted; what has not is refused.
//! * What is read is written and read again without a change, also by `serde_json`.
//! * The text is the same as a general serialiser's, and does not depend on the order of a map.
//! * `validate` finds exactly the required members that are empty.
#![no_main]

use libfuzzer_sys::fuzz_target;
use runtime_spec::State;
use serde_json::Value;

/// Whether a document is one: `None` if it is up to the reader.
fn is_state(document: &Value) -> Option<bool> {
    let members = document.as_object()?;
    let is_text = |name: &str| members.get(name).is_none_or(Value::is_string);
    let known = ["creating", "created", "running", "stopped", "paused"];
    let has_status = match members.get("status") {
        Some(Value::String(status)) => known.contains(&&**status),
        // serde has another form for enumerations.
        Some(Value::Object(_)) => return None,
        _ => false,
    };
    let has_pid = members.get("pid").is_none_or(|pid| {
        let pid = pid.as_i64();
        pid.is_some_and(|pid| i32::try_from(pid).is_ok())
    });
    let has_annotations = match members.get("annotations") {
        Some(Value::Object(annotations)) => annotations.values().all(Value::is_string),
        Some(other) => other.is_null(),
        None => true,
    };
    let has_texts = ["ociVersion", "id", "bundle"].into_iter().all(is_text);
    Some(has_status && has_pid && has_annotations && has_texts)
}

fuzz_target!(|data: &[u8]| {
    if let Ok(document) = serde_json::from_slice::<Value>(data)
        && let Some(is_state) = is_state(&document)
    {
        let read = serde_json::from_value::<State>(document);
        assert_eq!(read.is_ok(), is_state, "{read:?}");
    }
    let Ok(state) = serde_json::from_slice::<State>(data) else {
        return;
    };
    let json = state.to_json();
    assert_eq!(json, serde_json::to_string(&state).expect("written"));
    let again: State = serde_json::from_str(&json).expect("read again");
    assert_eq!(again, state);
    assert_eq!(again.to_json(), json);

    let value: Value = serde_json::from_str(&json).expect("JSON");
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    assert_eq!(text("ociVersion"), state.version);
    assert_eq!(text("id"), state.id);
    assert_eq!(text("bundle"), state.bundle);
    assert_eq!(text("status"), state.status.to_string());
    assert_eq!(value["pid"], i64::from(state.pid));
    let annotations = value.get("annotations").and_then(Value::as_object);
    assert_eq!(
        annotations.map_or(0, |map| map.len()),
        state.annotations.len()
    );

    let missing = ["ociVersion", "id", "bundle"]
        .into_iter()
        .find(|name| text(name).is_empty());
    assert_eq!(state.validate().err().map(|error| error.member()), missing);
});
