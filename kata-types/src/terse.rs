//! Reading documents with errors that do not quote their texts.
//!
//! `serde` quotes a text that stands where something else belongs, whole: that can take eighteen times
//! the memory of a document of one long text, and it can be a password.

use std::fmt::{self, Display};

use serde::de::{
    DeserializeSeed, Deserializer, Error, Expected, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};

use crate::excerpt::Excerpt;

/// Wraps what reads, to tell errors about texts without them. For self-describing formats, and for
/// values without enumerations other than by name.
pub(crate) struct Terse<T>(pub(crate) T);

/// As `serde_json::from_slice`.
pub(crate) fn from_json<'de, T: Deserialize<'de>>(json: &'de [u8]) -> serde_json::Result<T> {
    let mut document = serde_json::Deserializer::from_slice(json);
    let value = T::deserialize(Terse(&mut document))?;
    document.end()?;
    Ok(value)
}

/// What is wrong with a text.
#[derive(Debug)]
struct TextError(String);

impl Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TextError {}

impl Error for TextError {
    fn custom<T: Display>(message: T) -> Self {
        Self(Excerpt(&message.to_string()).to_string())
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let unexpected = match unexpected {
            Unexpected::Str(_) => Unexpected::Other("string"),
            other => other,
        };
        Self::custom(format_args!(
            "invalid type: {unexpected}, expected {expected}"
        ))
    }
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Terse<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(Terse(visitor))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_option(Terse(visitor))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_newtype_struct(name, Terse(visitor))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_ignored_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct enum identifier
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Terse<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<V::Value, E> {
        self.0.visit_str::<TextError>(text).map_err(E::custom)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<V::Value, E> {
        let value = self.0.visit_borrowed_str::<TextError>(text);
        value.map_err(E::custom)
    }

    fn visit_string<E: Error>(self, text: String) -> Result<V::Value, E> {
        self.0.visit_string::<TextError>(text).map_err(E::custom)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<V::Value, E> {
        self.0.visit_bool(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<V::Value, E> {
        self.0.visit_i64(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<V::Value, E> {
        self.0.visit_u64(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<V::Value, E> {
        self.0.visit_f64(value)
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Terse(value))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Terse(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Terse(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Terse(entries))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Terse<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Terse(value))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Terse<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Terse(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Terse<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(Terse(seed))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Terse(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Document {
        text: String,
        option: Option<u8>,
        #[serde(default)]
        list: Vec<(bool, f64)>,
        #[serde(default)]
        map: BTreeMap<String, Wrapped>,
        #[serde(default)]
        unit: (),
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Wrapped(i32);

    #[test]
    fn documents_are_those_of_serde() {
        let good = json!({
            "text": "a", "option": 1, "list": [[true, 0.5]], "map": {"k": -1}, "unit": null
        });
        let mut documents = vec![good.clone()];
        let values = [
            json!(null),
            json!(true),
            json!(7),
            json!(-7),
            json!(300),
            json!(1.5),
            json!("é\n"),
            json!([]),
            json!([1]),
            json!([[1, 2]]),
            json!({}),
            json!({"k": "v"}),
        ];
        for member in ["text", "option", "list", "map", "unit", "unknown"] {
            for value in &values {
                let mut document = good.clone();
                document[member] = value.clone();
                documents.push(document);
            }
        }
        documents.extend(values);
        for document in documents {
            let json = document.to_string();
            let plain = serde_json::from_str::<Document>(&json);
            let terse = from_json::<Document>(json.as_bytes());
            match (plain, terse) {
                (Ok(plain), Ok(terse)) => assert_eq!(plain, terse, "{json}"),
                (Err(plain), Err(terse)) => {
                    let [plain, terse] = [plain, terse].map(|error| {
                        let text = error.to_string();
                        // Where a list begins, or where the first item of it is.
                        text.split(" at line").next().map(str::to_owned).unwrap()
                    });
                    let plain = plain.replace(r#"string "é\n""#, "string");
                    assert_eq!(terse, plain.replace(r#"string "v""#, "string"), "{json}");
                }
                results => panic!("{json}: {results:?}"),
            }
        }
        let trailing = br#"{"text":"","option":null} x"#;
        assert!(from_json::<Document>(trailing).is_err());
        assert!(from_json::<Document>(b"{\"text\":\"\xff\"}").is_err());
    }

    #[test]
    fn errors_are_short_and_tell_where() {
        let secret = "secret".repeat(100_000);
        for (json, expected) in [
            (
                format!("{{\n\"list\":\"{secret}\"}}"),
                "invalid type: string, expected a sequence at line 2 column 600009",
            ),
            (
                format!(r#"{{"map":{{"k":"{secret}"}}}}"#),
                "invalid type: string, expected i32 at line 1 column 600014",
            ),
        ] {
            let error = from_json::<Document>(json.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        let json = format!(r#"{{"{secret}":1}}"#);
        let error = from_json::<Document>(json.as_bytes()).unwrap_err();
        assert!(error.to_string().len() < 2000, "{error}");
    }
}
