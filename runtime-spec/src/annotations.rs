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

/// V3: encoders of other languages write `null` for a map that was never made. Formats that do not
/// describe themselves tell an optional map from a map, and [`serialize`] writes a map.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<HashMap<String, String>, D::Error> {
    if !deserializer.is_human_readable() {
        return HashMap::deserialize(deserializer);
    }
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use serde::de::Error as _;
    use serde::de::Visitor;
    use serde::de::value::{Error, MapDeserializer};

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

    /// A deserializer of a format that is not human-readable, as those are that describe nothing.
    struct Binary<D>(D);

    impl<'de, D: Deserializer<'de>> Deserializer<'de> for Binary<D> {
        type Error = D::Error;

        fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.deserialize_any(visitor)
        }

        fn deserialize_option<V: Visitor<'de>>(self, _: V) -> Result<V::Value, D::Error> {
            Err(D::Error::custom("a map is no option"))
        }

        fn is_human_readable(&self) -> bool {
            false
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
            unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
        }
    }

    #[test]
    fn formats_that_do_not_describe_themselves_read_the_map_that_they_write() {
        let entries = [("a", "b"), ("c", "d")];
        let map = MapDeserializer::<_, Error>::new(entries.into_iter());
        let annotations = deserialize(Binary(map)).unwrap();
        let expected = entries.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(annotations, HashMap::from(expected));
    }
}
