//! Memory that a state document of any content can make its reader and writer take.

#![allow(
    clippy::unwrap_used,
    clippy::string_slice,
    missing_docs,
    reason = "tests"
)]

use runtime_spec::State;
use test_utils::allocation::{CountingAllocator, allocated_by};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const LARGE: usize = 64 << 20;
const DEEP: usize = 100_000;

/// What reading takes beside the value: buffers, and what an error says.
const CONSTANT: usize = 64 << 10;

#[test]
fn large_document_takes_at_most_eight_times_its_size() {
    let head = r#""ociVersion":"1.2.0","status":"running","pid":1,"bundle":"/b""#;
    let long = "x".repeat(LARGE);
    let size = 1 << 20;
    for (what, text) in [
        ("id", format!(r#"{{{head},"id":"{long}"}}"#)),
        (
            "escapes",
            format!(r#"{{{head},"id":"{}"}}"#, r"\u00e9".repeat(size / 6)),
        ),
        (
            "annotation",
            format!(
                r#"{{{head},"id":"","annotations":{{"k":"{}"}}}}"#,
                &long[..size]
            ),
        ),
        (
            "unknown member",
            format!(r#"{{{head},"id":"","x":[{}1]}}"#, "1,".repeat(size / 2)),
        ),
        (
            "blanks",
            format!(r#"{{{}{head},"id":""}}"#, " ".repeat(size)),
        ),
    ] {
        let (state, read) = allocated_by(|| serde_json::from_str::<State>(&text).unwrap());
        assert!(read.peak <= 8 * text.len() + CONSTANT, "{what}: {read:?}");
        let (json, written) = allocated_by(|| state.to_json());
        assert_eq!((written.peak, written.calls), (json.len(), 1), "{what}");
    }
}

/// The smallest entries are those that cost most: a map of strings, which is the type that callers
/// know, has at least 49 bytes for each, and as it grows, the old one is there too.
#[test]
fn many_small_annotations_take_at_most_24_times_their_size() {
    for count in [14_000, 28_673] {
        let entries: Vec<_> = (0..count).map(|n| format!(r#""{n:x}":"""#)).collect();
        let text = format!(
            r#"{{"status":"running","pid":1,"annotations":{{{}}}}}"#,
            entries.join(",")
        );
        let (state, read) = allocated_by(|| serde_json::from_str::<State>(&text).unwrap());
        assert_eq!(state.annotations.len(), count);
        assert!(read.peak <= 24 * text.len(), "{read:?} for {}", text.len());
        let (json, written) = allocated_by(|| state.to_json());
        assert!(written.peak <= 8 * json.len(), "{written:?}");
    }
}

#[test]
fn refused_document_takes_no_more_than_a_good_one() {
    let size = 1 << 20;
    for (what, text) in [
        ("digits", format!(r#"{{"pid":{}}}"#, "1".repeat(LARGE))),
        (
            "status",
            format!(r#"{{"pid":1,"status":"{}"}}"#, "x".repeat(size)),
        ),
        ("cut off", format!(r#"{{"id":"{}"#, "x".repeat(size))),
        ("no object", "[".repeat(LARGE)),
    ] {
        let (error, read) = allocated_by(|| serde_json::from_str::<State>(&text).unwrap_err());
        assert!(read.peak <= 8 * text.len() + CONSTANT, "{what}: {read:?}");
        drop(error);
    }
}

/// An error of `serde` quotes a text that stands where something else belongs, whole.
#[test]
fn text_of_the_wrong_type_takes_at_most_24_times_its_size() {
    // Quoted, each has six bytes; and a buffer of them has just been doubled.
    let long = "\u{7f}".repeat((1 << 22) / 6 + 1);
    for member in ["pid", "status", "annotations"] {
        let text = format!(r#"{{"{member}":"{long}"}}"#);
        let (is_read, read) = allocated_by(|| serde_json::from_str::<State>(&text).is_ok());
        assert!(!is_read, "{member}");
        assert!(read.peak <= 24 * text.len(), "{member}: {read:?}");
    }
}

#[test]
fn deep_document_is_read_without_recursion_or_refused() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        for member in ["unknown", "annotations", "id", "status"] {
            let (open, close) = (open.repeat(DEEP), close.repeat(DEEP));
            let text = format!(r#"{{"status":"running","pid":1,"{member}":{open}1{close}}}"#);
            let (is_read, read) = allocated_by(|| serde_json::from_str::<State>(&text).is_ok());
            // What is not known is skipped.
            assert_eq!(is_read, member == "unknown", "{member}");
            assert!(read.peak <= 8 * text.len() + CONSTANT, "{member}: {read:?}");
        }
    }
}
