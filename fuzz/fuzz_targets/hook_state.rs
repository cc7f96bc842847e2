//! The state document that hooks get.
//!
//! * What is read is written and read again without a change, also by `serde_json`.
//! * The text is the same as a general serialiser's, and does not depend on the order of a map.
//! * `validate` finds exactly the required members that are empty.
#![no_main]

use libfuzzer_sys::fuzz_target;
use runtime_spec::State;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
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
