//! Reading and writing `[runtime]` with the sample vendor extension, where the key `log_level`
//! belongs to two fields (D22): a number to the vendor, a text to the runtime.
#![cfg(feature = "enable-vendor")]

use serde::de::Error as _;
use serde::ser::{Error as _, SerializeMap};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::Runtime;

const KEY: &str = "log_level";
const LEVELS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "critical"];

impl<'de> Deserialize<'de> for Runtime {
    fn deserialize<D>(deserializer: D) -> Result<Self, D::Error>
    where
        D: Deserializer<'de>,
    {
        let mut keys = Map::deserialize(deserializer)?;
        let vendor_level = match keys.get(KEY) {
            Some(Value::String(text)) if !LEVELS.contains(&text.as_str()) => {
                return Err(D::Error::custom(format_args!(
                    "invalid log_level {text:?}, expected a number or one of {LEVELS:?}"
                )));
            }
            Some(Value::String(_)) | None => 0,
            Some(number) => u32::deserialize(number)
                .map_err(|e| D::Error::custom(format_args!("invalid log_level: {e}")))?,
        };
        if keys.get(KEY).is_some_and(Value::is_number) {
            keys.remove(KEY);
        }
        // The inherent function of `serde(remote)`.
        let mut runtime = Runtime::deserialize(Value::Object(keys)).map_err(D::Error::custom)?;
        runtime.vendor.log_level = vendor_level;
        Ok(runtime)
    }
}

impl Serialize for Runtime {
    fn serialize<S>(&self, serializer: S) -> Result<S::Ok, S::Error>
    where
        S: Serializer,
    {
        // The inherent function of `serde(remote)`; the vendor's `log_level` is written last.
        let value =
            Runtime::serialize(self, serde_json::value::Serializer).map_err(S::Error::custom)?;
        let Value::Object(mut keys) = value else {
            return Err(S::Error::custom("the runtime section is no table"));
        };
        if self.vendor.log_level == 0 {
            keys.insert(KEY.to_owned(), Value::String(self.log_level.clone()));
        }
        // Tables last (D25).
        let mut map = serializer.serialize_map(Some(keys.len()))?;
        let (tables, values): (Vec<_>, Vec<_>) = keys
            .iter()
            .partition(|(key, _)| key.as_str() == "shared_mounts");
        for (key, value) in values.into_iter().chain(tables) {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TomlConfig;

    fn load(text: &str) -> Result<TomlConfig, toml::de::Error> {
        toml::from_str(&format!("[runtime]\n{text}"))
    }

    #[test]
    fn a_number_is_the_vendors_level() {
        let mut conf = load("log_level = 10\nlog_prefix = \"p\"\nunknown = [1]").unwrap();
        assert_eq!(conf.runtime.vendor.log_level, 10);
        assert_eq!(conf.runtime.vendor.log_prefix, "p");
        assert_eq!(conf.runtime.log_level, "info");
        conf.adjust_config().unwrap();
        assert!(conf.runtime.debug);
        conf.validate().unwrap();

        let mut conf = load("log_level = 5").unwrap();
        conf.adjust_config().unwrap();
        assert!(!conf.runtime.debug);

        let mut conf = load("log_level = 20").unwrap();
        conf.adjust_config().unwrap();
        assert_eq!(
            conf.validate().unwrap_err().to_string(),
            "log level 20 in configuration file is invalid"
        );
    }

    #[test]
    fn a_text_is_the_runtimes_level() {
        for level in LEVELS {
            let conf = load(&format!("log_level = {level:?}")).unwrap();
            assert_eq!(conf.runtime.log_level, level);
            assert_eq!(conf.runtime.vendor.log_level, 0);
        }
        for bad in ["\"test\"", "\"\"", "-1", "1.5", "true", "[]", "4294967296"] {
            assert!(load(&format!("log_level = {bad}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn both_come_back() {
        for text in ["log_level = 7", "log_level = \"warn\"", ""] {
            let conf = load(text).unwrap();
            for again in [
                toml::to_string(&conf).unwrap(),
                toml05::to_string(&conf).unwrap(),
            ] {
                let again: TomlConfig = toml::from_str(&again).unwrap();
                assert_eq!(again.runtime.log_level, conf.runtime.log_level);
                assert_eq!(
                    again.runtime.vendor.log_level,
                    conf.runtime.vendor.log_level
                );
            }
        }
    }
}
