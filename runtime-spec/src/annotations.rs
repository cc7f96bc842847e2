//! Annotations in a fixed order (V2): a `HashMap` iterates differently in every process.

use std::collections::HashMap;

use serde::{Deserialize, Deserializer, Serializer};

/// Up to so many annotations are sorted on the stack (1 KiB on 64-bit machines).
const ON_STACK: usize = 32;

/// Calls `visit` with the annotations sorted by key, in byte order. Nothing is cloned.
pub(crate) fn sorted<R>(
    annotations: &HashMap<String, String>,
    visit: impl FnOnce(&[(&str, &str)]) -> R,
) -> R {
    if annotations.is_empty() {
        return visit(&[]);
    }
    let by_key = |a: &(&str, &str), b: &(&str, &str)| a.0.cmp(b.0);
    let mut stack = [("", ""); ON_STACK];
    match stack.get_mut(..annotations.len()) {
        Some(entries) => {
            for (entry, (key, value)) in entries.iter_mut().zip(annotations) {
                *entry = (key, value);
            }
            entries.sort_unstable_by(by_key);
            visit(entries)
        }
        None => {
            let mut entries: Vec<(&str, &str)> = annotations
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .collect();
            entries.sort_unstable_by(by_key);
            visit(&entries)
        }
    }
}

pub(crate) fn serialize<S: Serializer>(
    annotations: &HashMap<String, String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    sorted(annotations, |entries| {
        serializer.collect_map(entries.iter().copied())
    })
}

/// V3: encoders of other languages write `null` for a map that was never made.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<HashMap<String, String>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_annotations_is_sorted_by_key() {
        for count in [0, 1, 2, ON_STACK - 1, ON_STACK, ON_STACK + 1, 1000] {
            let annotations: HashMap<String, String> = (0..count)
                .map(|i| (format!("{:04}", i * 7919 % 10_000), i.to_string()))
                .collect();
            assert_eq!(annotations.len(), count);
            sorted(&annotations, |entries| {
                assert_eq!(entries.len(), count);
                assert!(entries.is_sorted_by(|a, b| a.0 < b.0));
                for (key, value) in entries {
                    assert_eq!(annotations.get(*key).unwrap(), value);
                }
            });
        }
    }

    #[test]
    fn order_is_that_of_bytes() {
        let annotations = ["é", "z", "Z", "", "a.b", "a/b", "a"]
            .map(|key| (key.to_owned(), String::new()))
            .into();
        sorted(&annotations, |entries| {
            let keys: Vec<_> = entries.iter().map(|entry| entry.0).collect();
            assert_eq!(keys, ["", "Z", "a", "a.b", "a/b", "z", "é"]);
        });
    }
}
