//! Lists and maps in documents of a pod, of a limited number of items.
//!
//! An empty item has three bytes in JSON, and takes dozens of bytes in memory, twice that in a vector
//! that has just grown: without a limit, a document could take a hundred times its size.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The most items of a list in an annotation; real ones have a few dozen.
pub(crate) const MAX_ITEMS: usize = 4096;

/// The most items of other lists and maps, which may be those of a file.
pub(crate) const MAX_ENTRIES: usize = 1 << 16;

/// The `options` of a mount or volume.
pub(crate) fn options<'de, D: Deserializer<'de>>(document: D) -> Result<Vec<String>, D::Error> {
    let (name, most, item) = ("options", MAX_ENTRIES, PhantomData);
    document.deserialize_seq(List { name, most, item })
}

/// The `metadata` of a volume.
pub(crate) fn metadata<'de, D: Deserializer<'de>>(
    document: D,
) -> Result<HashMap<String, String>, D::Error> {
    let name = "metadata";
    document.deserialize_map(Map { name })
}

/// The `annotations` of a pod.
pub(crate) fn annotations<'de, D: Deserializer<'de>>(
    document: D,
) -> Result<HashMap<String, String>, D::Error> {
    let name = "annotations";
    document.deserialize_map(Map { name })
}

/// A list in an annotation; an error tells this name of it.
pub(crate) fn list<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    document: D,
    name: &'static str,
) -> Result<Vec<T>, D::Error> {
    let (most, item) = (MAX_ITEMS, PhantomData);
    document.deserialize_seq(List { name, most, item })
}

struct List<T> {
    name: &'static str,
    most: usize,
    item: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            if list.len() == self.most {
                return Err(too_many(self.name, self.most));
            }
            list.push(item);
        }
        Ok(list)
    }
}

struct Map {
    name: &'static str,
}

impl<'de> Visitor<'de> for Map {
    type Value = HashMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut map = HashMap::new();
        while let Some((key, value)) = entries.next_entry()? {
            map.insert(key, value);
            if map.len() > MAX_ENTRIES {
                return Err(too_many(self.name, MAX_ENTRIES));
            }
        }
        Ok(map)
    }
}

/// The rest is not even counted.
fn too_many<E: Error>(name: &str, most: usize) -> E {
    E::custom(format_args!("more than {most} items in `{name}`"))
}

#[cfg(test)]
mod tests {
    use serde_json::Deserializer;

    use super::*;

    fn read_list(json: &str) -> Result<Vec<String>, serde_json::Error> {
        options(&mut Deserializer::from_str(json))
    }

    fn read_map(json: &str) -> Result<HashMap<String, String>, serde_json::Error> {
        metadata(&mut Deserializer::from_str(json))
    }

    #[test]
    fn lists_and_maps_are_those_of_serde() {
        for json in [
            "[]",
            r#"["a","","a"]"#,
            "null",
            "{}",
            "3",
            "[3]",
            r#"["a",]"#,
            "[",
            "",
        ] {
            let plain = serde_json::from_str::<Vec<String>>(json);
            let (bounded, plain) = (read_list(json), plain.map_err(|error| error.to_string()));
            assert_eq!(bounded.map_err(|error| error.to_string()), plain, "{json}");
        }
        for json in [
            "{}",
            r#"{"a":"b","":"","a":"c"}"#,
            "null",
            "[]",
            r#"{"a":3}"#,
            r#"{"a":null}"#,
            r#"{"a"}"#,
            "{",
        ] {
            let plain = serde_json::from_str::<HashMap<String, String>>(json);
            let (bounded, plain) = (read_map(json), plain.map_err(|error| error.to_string()));
            assert_eq!(bounded.map_err(|error| error.to_string()), plain, "{json}");
        }
    }

    #[test]
    fn one_item_too_many_is_an_error_that_names_the_list() {
        let list = |count| serde_json::to_string(&vec![""; count]).unwrap();
        assert_eq!(read_list(&list(MAX_ENTRIES)).unwrap().len(), MAX_ENTRIES);
        let error = read_list(&list(MAX_ENTRIES + 1)).unwrap_err().to_string();
        let start = "more than 65536 items in `options` at line 1";
        assert!(error.starts_with(start), "{error}");

        let map = |count| {
            let entries: HashMap<String, &str> = (0..count).map(|n| (n.to_string(), "")).collect();
            serde_json::to_string(&entries).unwrap()
        };
        assert_eq!(read_map(&map(MAX_ENTRIES)).unwrap().len(), MAX_ENTRIES);
        let error = read_map(&map(MAX_ENTRIES + 1)).unwrap_err().to_string();
        assert!(
            error.starts_with("more than 65536 items in `metadata`"),
            "{error}"
        );
        // The same entry again is not one more.
        let again = format!("{{{}\"a\":\"\"}}", "\"a\":\"\",".repeat(MAX_ENTRIES));
        assert_eq!(read_map(&again).unwrap().len(), 1);
    }
}
