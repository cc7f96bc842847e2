//! What `parse_mount_options` takes, and what it tells the log.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

use std::fmt;
use std::sync::{Arc, Mutex};

use kata_sys_util::mount::parse_mount_options;
use nix::mount::MsFlags;
use slog::{Drain, KV, Level, Logger, OwnedKVList, Record, Serializer};

/// A logger that keeps messages with the values of their keys, one text for each.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(Level, String)>>>);

impl Drain for Log {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &Record<'_>, _: &OwnedKVList) -> Result<(), slog::Never> {
        let mut line = Line(record.msg().to_string());
        record.kv().serialize(record, &mut line).unwrap();
        self.0.lock().unwrap().push((record.level(), line.0));
        Ok(())
    }
}

struct Line(String);

impl Serializer for Line {
    fn emit_arguments(&mut self, key: slog::Key, value: &fmt::Arguments<'_>) -> slog::Result {
        self.0.push_str(&format!("; {key}={value}"));
        Ok(())
    }
}

#[test]
fn log_has_no_option_but_the_key_of_one_that_is_dropped() {
    let log = Log::default();
    slog_scope::scope(&Logger::root(log.clone(), slog::o!()), || {
        let options = [
            "ro",
            "lowerdir=/a:/b",
            "password=secret",
            "",
            "nofail",
            "comment=secret",
            "x-systemd.mount-timeout=secret",
        ];
        let (flags, data) = parse_mount_options(&options).unwrap();
        assert_eq!(flags, MsFlags::MS_RDONLY);
        assert_eq!(data, "lowerdir=/a:/b,password=secret");
    });
    let expected = ["nofail", "comment", "x-systemd.mount-timeout"];
    let expected = expected.map(|key| {
        let text = format!("mount option has no meaning here; option={key}");
        (Level::Debug, text)
    });
    // Builds that optimise leave the level out.
    let lines = log.0.lock().unwrap();
    assert!(lines.is_empty() || *lines == expected, "{lines:?}");
}

#[test]
fn lists_of_any_kind_of_text_are_taken() {
    let owned = vec!["ro".to_owned(), "size=1m".to_owned()];
    let expected = (MsFlags::MS_RDONLY, "size=1m".to_owned());
    assert_eq!(parse_mount_options(&owned).unwrap(), expected);
    assert_eq!(parse_mount_options(owned.as_slice()).unwrap(), expected);
    let borrowed: Vec<&str> = owned.iter().map(String::as_str).collect();
    assert_eq!(parse_mount_options(&borrowed).unwrap(), expected);
    let references: Vec<&String> = owned.iter().collect();
    assert_eq!(parse_mount_options(&references).unwrap(), expected);
}
