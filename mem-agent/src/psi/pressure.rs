//! Stall times of a cgroup, and the text they come from.

use std::ffi::OsString;

use anyhow::{Context, Result, anyhow};

use crate::text::{excerpt, parse_number};

/// Stall times of a cgroup, its children included, and those of each child.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Of the cgroup with all in it.
    pub total: Totals,
    /// Of its children, sorted by name. Empty where they do not matter.
    pub children: Vec<(OsString, Totals)>,
}

/// Accumulated time in µs for which some task was stalled (`some … total=`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// From `memory.pressure`.
    pub memory: u64,
    /// From `io.pressure`.
    pub io: u64,
}

impl Pressure {
    /// What the cgroup itself has stalled since `earlier`, in µs (P3, D23): its increase without
    /// that of the children that were there both times, per file, and no less than 0.
    pub fn own_since(&self, earlier: &Self) -> u64 {
        let whole = self.total.since(earlier.total);
        let mut of_children = Totals::default();
        for (name, now) in &self.children {
            let Ok(index) = earlier.children.binary_search_by(|(old, _)| old.cmp(name)) else {
                continue;
            };
            if let Some((_, before)) = earlier.children.get(index) {
                of_children = of_children.plus(now.since(*before));
            }
        }
        let own = whole.since(of_children);
        own.memory.saturating_add(own.io)
    }
}

impl Totals {
    fn since(self, earlier: Self) -> Self {
        Self {
            memory: self.memory.saturating_sub(earlier.memory),
            io: self.io.saturating_sub(earlier.io),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            memory: self.memory.saturating_add(other.memory),
            io: self.io.saturating_add(other.io),
        }
    }
}

/// The `total` of the first line, in µs (P2): `some avg10=0.00 … total=4242`.
///
/// # Errors
///
/// The line does not begin with `some`, or has no number as its `total`.
pub(crate) fn parse_total(text: &[u8]) -> Result<u64> {
    let text = text.trim_ascii_start();
    if text.is_empty() {
        return Err(anyhow!("File is empty"));
    }
    let line = text.split(|b| *b == b'\n').next().unwrap_or_default();
    let mut words = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    if words.next() != Some(b"some") {
        return Err(format_is_not_right(line));
    }
    let value = words
        .find_map(|word| word.strip_prefix(b"total="))
        .ok_or_else(|| format_is_not_right(line))?;
    parse_number(value).with_context(|| format!("parse total={:?} failed", excerpt(value)))
}

fn format_is_not_right(line: &[u8]) -> anyhow::Error {
    anyhow!(
        "format is not right: expected \"some … total=N\", got {:?}",
        excerpt(line)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] = b"some avg10=0.00 avg60=0.12 avg300=1.00 total=900000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";

    #[test]
    fn total_of_the_first_line_counts() {
        let good: [(&str, &[u8], u64); 5] = [
            ("as the kernel prints it", LINE, 900_000),
            ("blank space before", b" \n some total=3", 3),
            ("an extra key", b"some total=5 avg900=1.00", 5),
            (
                "no newline",
                b"some avg10=0.00 total=18446744073709551615",
                u64::MAX,
            ),
            ("other lines are ignored", b"some total=1\ntotal=x\n", 1),
        ];
        for (name, text, total) in good {
            assert_eq!(parse_total(text).unwrap(), total, "{name}");
        }
    }

    #[test]
    fn what_is_no_pressure_is_refused_with_the_reason() {
        let bad: [(&str, &[u8], &str); 7] = [
            ("empty", b"", "File is empty"),
            ("blank", b" \n", "File is empty"),
            ("full first", b"full total=1", "format is not right"),
            ("no total", b"some avg10=0.00", "format is not right"),
            ("no value", b"some total=", "parse total=\"\" failed"),
            (
                "not a number",
                b"some total=1x",
                "parse total=\"1x\" failed",
            ),
            ("too large", b"some total=18446744073709551616", "failed"),
        ];
        for (name, text, message) in bad {
            let error = parse_total(text).unwrap_err().to_string();
            assert!(error.contains(message), "{name}: {error}");
        }
    }

    fn pressure(memory: u64, io: u64, children: &[(&str, u64, u64)]) -> Pressure {
        let child = |&(name, memory, io): &(&str, u64, u64)| (name.into(), Totals { memory, io });
        Pressure {
            total: Totals { memory, io },
            children: children.iter().map(child).collect(),
        }
    }

    #[test]
    fn pressure_of_a_parent_is_without_that_of_its_children() {
        let before = pressure(
            900_000,
            410_000,
            &[("odd name", 150_000, 90_000), ("web", 200_000, 60_000)],
        );
        let cases = [
            (
                "its own",
                pressure(
                    930_000,
                    430_000,
                    &[("odd name", 150_000, 90_000), ("web", 200_000, 60_000)],
                ),
                50_000,
            ),
            (
                "a child's",
                pressure(
                    930_000,
                    430_000,
                    &[("odd name", 150_000, 90_000), ("web", 230_000, 80_000)],
                ),
                0,
            ),
            (
                "more in the children than in all",
                pressure(
                    930_000,
                    410_000,
                    &[("odd name", 150_000, 90_000), ("web", 290_000, 60_000)],
                ),
                0,
            ),
            (
                "a child that vanished has no history",
                pressure(900_000, 410_000, &[("web", 200_000, 60_000)]),
                0,
            ),
            (
                "a child that appeared counts as the parent's",
                pressure(
                    910_000,
                    410_000,
                    &[
                        ("new", 10_000, 0),
                        ("odd name", 150_000, 90_000),
                        ("web", 200_000, 60_000),
                    ],
                ),
                10_000,
            ),
            (
                "one file does not make up for the other",
                pressure(
                    930_000,
                    410_000,
                    &[("odd name", 150_000, 90_000), ("web", 200_000, 90_000)],
                ),
                30_000,
            ),
        ];
        for (name, after, own) in cases {
            assert_eq!(after.own_since(&before), own, "{name}");
        }
    }
}
