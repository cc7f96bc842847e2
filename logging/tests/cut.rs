//! Records that would be too long (clarification of D2), as JSON lines.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs,
    reason = "tests"
)]

mod support;

use slog::{KV, Key, Record, Serializer, info, o};
use support::{logged, text};

#[test]
fn a_huge_record_is_cut() {
    let received = logged(|logger| {
        let huge = "ä\n".repeat(1 << 20);
        info!(logger, "{huge}"; "k" => "v", "truncated" => "by user");
        info!(logger, "m"; "huge" => &huge, "k" => "v");
        info!(logger, "m"; "k" => "v", "huge" => &huge);
        info!(logger, "{}", "x".repeat(1 << 19));
    });
    let records = received.records();
    for (index, line) in received.text().split_inclusive('\n').enumerate() {
        assert!(line.len() <= 1 << 20, "{}", line.len());
        assert!(
            index == 3 || line.len() > (1 << 20) - (1 << 15),
            "{}",
            line.len()
        );
    }
    let msg = text(&records[0], "msg");
    assert!(msg.ends_with('…') && msg.starts_with("ä\nä"));
    assert_eq!(text(&records[0], "k"), "v");
    for record in &records[..3] {
        assert_eq!(text(record, "truncated"), "true");
        assert_eq!(text(record, "name"), "n");
    }
    assert!(text(&records[1], "huge").ends_with('…'));
    assert!(text(&records[2], "huge").ends_with('…'));
    assert!(!records[3].contains_key("truncated"));
}

#[test]
fn a_huge_value_leaves_room_for_the_keys_behind_it() {
    let huge = "x".repeat(2 << 20);
    let received = logged(|logger| {
        let logger = logger.new(o!("component" => "agent", "subsystem" => "agent"));
        info!(logger, "m"; "k" => "v", "dump" => &huge);
        info!(logger, "{huge}"; "k" => "v", "dump" => &huge);
        info!(logger, "m"; "k" => "v", "a" => &huge, "b" => &huge, "c" => &huge, "dump" => &huge);
    });
    for (record, line) in received.records().iter().zip(received.lines()) {
        assert!(line.len() < 1 << 20, "{}", line.len());
        for (key, value) in [("component", "agent"), ("subsystem", "agent"), ("k", "v")] {
            assert_eq!(text(record, key), value);
        }
        assert!(text(record, "dump").ends_with("xxx…"));
        assert_eq!(text(record, "truncated"), "true");
    }
    assert!(text(&received.records()[0], "dump").len() > 1_000_000);
    assert!(text(&received.records()[2], "a").ends_with("xxx…"));
}

/// However long, and there is nothing that is not escaped.
#[test]
fn a_huge_value_is_cut_but_never_dropped() {
    let huge = "\u{1}".repeat(1 << 20);
    for length in 0..12 {
        let received = logged(|logger| {
            info!(logger, "{}", "m".repeat(length); "huge" => &huge);
        });
        assert!(
            text(&received.record(), "huge").ends_with("\u{1}…"),
            "{length}"
        );
    }
}

/// Keys for which there is no room at all, the newest first.
#[test]
fn a_key_without_room_does_not_show_what_it_overrides() {
    struct Many(String);
    impl KV for Many {
        fn serialize(&self, _: &Record<'_>, serializer: &mut dyn Serializer) -> slog::Result {
            // One that is too long itself costs the others nothing.
            serializer.emit_str(Key::from(self.0.clone()), "huge")?;
            for n in 0..60 {
                serializer.emit_str(Key::from(format!("k{n}")), &self.0)?;
            }
            Ok(())
        }
    }
    let received = logged(|logger| {
        let logger = logger.new(o!("subsystem" => "agent"));
        info!(logger, "m"; "after" => "all", slog::o!(Many("x".repeat(2 << 20))));
    });
    let (record, line) = (received.record(), received.text());
    assert!(line.len() <= 1 << 20, "{}", line.len());
    assert!(text(&record, "k0").ends_with("xxx…"));
    assert_eq!(text(&record, "name"), "n");
    for key in ["k59", "after", "subsystem"] {
        assert_eq!(record.get(key), None);
    }
    assert_eq!(text(&record, "truncated"), "true");
}
