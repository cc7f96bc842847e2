//! Kinds of huge pages.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

use crate::excerpt::Excerpt;

/// Kind of huge pages that back guest memory.
///
/// ```
/// use kata_types::config::hypervisor::HugePageType;
///
/// assert_eq!("thp".parse(), Ok(HugePageType::THP));
/// assert_eq!(HugePageType::Hugetlbfs.to_string(), "hugetlbfs");
/// assert_eq!(
///     "1G".parse::<HugePageType>().map_err(|e| e.to_string()),
///     Err(r#"invalid hugepage_type "1G", expected "hugetlbfs" or "thp""#.to_string()),
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum HugePageType {
    /// Reserved pages of [hugetlbfs](https://docs.kernel.org/admin-guide/mm/hugetlbpage.html);
    /// written `hugetlbfs`.
    #[default]
    Hugetlbfs,
    /// [Transparent huge pages](https://docs.kernel.org/admin-guide/mm/transhuge.html) of shared
    /// memory; written `thp`.
    THP,
}

impl HugePageType {
    fn as_str(&self) -> &'static str {
        match self {
            HugePageType::Hugetlbfs => "hugetlbfs",
            HugePageType::THP => "thp",
        }
    }

    fn parse<E: de::Error>(text: &str) -> Result<Self, E> {
        match text {
            "hugetlbfs" => Ok(HugePageType::Hugetlbfs),
            "thp" => Ok(HugePageType::THP),
            _ => Err(E::custom(format_args!(
                "invalid hugepage_type {:?}, expected \"hugetlbfs\" or \"thp\"",
                Excerpt(text)
            ))),
        }
    }
}

impl fmt::Display for HugePageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for HugePageType {
    type Err = de::value::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        HugePageType::parse(text)
    }
}

impl TryFrom<&str> for HugePageType {
    type Error = de::value::Error;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        HugePageType::parse(text)
    }
}

impl TryFrom<String> for HugePageType {
    type Error = de::value::Error;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        HugePageType::parse(&text)
    }
}

impl Serialize for HugePageType {
    fn serialize<S>(&self, serializer: S) -> Result<S::Ok, S::Error>
    where
        S: Serializer,
    {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for HugePageType {
    fn deserialize<D>(deserializer: D) -> Result<Self, D::Error>
    where
        D: Deserializer<'de>,
    {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = HugePageType;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"hugetlbfs\" or \"thp\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<HugePageType, E> {
                HugePageType::parse(text)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_have_one_text_everywhere() {
        for (kind, text) in [
            (HugePageType::Hugetlbfs, "hugetlbfs"),
            (HugePageType::THP, "thp"),
        ] {
            assert_eq!(kind.to_string(), text);
            assert_eq!(text.parse::<HugePageType>().unwrap(), kind);
            assert_eq!(HugePageType::try_from(text).unwrap(), kind);
            assert_eq!(HugePageType::try_from(text.to_owned()).unwrap(), kind);
            let json = serde_json::to_string(&kind).unwrap();
            assert_eq!(json, format!("{text:?}"));
            assert_eq!(serde_json::from_str::<HugePageType>(&json).unwrap(), kind);
        }
        assert_eq!(HugePageType::default(), HugePageType::Hugetlbfs);
    }

    #[test]
    fn other_text_is_an_error_that_says_what_is_expected() {
        for text in ["", "THP", "hugetlbfs ", "x\"y"] {
            let message =
                format!("invalid hugepage_type {text:?}, expected \"hugetlbfs\" or \"thp\"");
            assert_eq!(
                text.parse::<HugePageType>().unwrap_err().to_string(),
                message
            );
            let json = serde_json::to_string(text).unwrap();
            let error = serde_json::from_str::<HugePageType>(&json)
                .unwrap_err()
                .to_string();
            assert!(error.starts_with(&message), "{error}");
        }
        let error = serde_json::from_str::<HugePageType>("2")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("expected \"hugetlbfs\" or \"thp\""),
            "{error}"
        );
    }
}
