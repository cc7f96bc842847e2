//! Whether a value is of the type that its key wants, in the words of serde.

use toml::de::DeValue;

use crate::config::dotted_key::shortened;
use crate::config::keys::{KeySpec, Kind, LEVELS};

/// Whether a scalar fits: `None` for another type, `Some(Err)` for a wrong value of the right one.
pub(super) fn accepts(kind: Kind, value: &DeValue<'_>) -> Option<Result<(), String>> {
    match (kind, value) {
        // With the sample vendor extension, a number is the level of the vendor (D22).
        (Kind::RuntimeLogLevel, DeValue::Integer(_)) if cfg!(feature = "enable-vendor") => {
            integer(value, Kind::U32)
        }
        (Kind::RuntimeLogLevel, DeValue::String(text))
            if cfg!(feature = "enable-vendor") && !LEVELS.contains(&text.as_ref()) =>
        {
            let shown = shortened(text);
            Some(Err(format!(
                "invalid log_level {shown:?}, expected a number or one of {LEVELS:?}"
            )))
        }
        (Kind::Bool, DeValue::Boolean(_)) => Some(Ok(())),
        (Kind::Text | Kind::Secret | Kind::Blob | Kind::RuntimeLogLevel, DeValue::String(_)) => {
            Some(Ok(()))
        }
        (Kind::HugePage, DeValue::String(text)) => Some(match text.as_ref() {
            "hugetlbfs" | "thp" => Ok(()),
            other => Err(format!(
                "invalid hugepage_type {:?}, expected \"hugetlbfs\" or \"thp\"",
                shortened(other)
            )),
        }),
        (Kind::F32, DeValue::Float(number)) => {
            let finite = number
                .as_str()
                .parse::<f64>()
                .is_ok_and(|n| !n.is_infinite());
            Some(if finite || number.as_str().contains("inf") {
                Ok(())
            } else {
                Err("floating-point number overflowed".to_owned())
            })
        }
        (kind, DeValue::Integer(_)) => integer(value, kind),
        _ => None,
    }
}

/// Whether an integer is in the range of `kind`; `None` if one of the two is no integer.
pub(super) fn integer(value: &DeValue<'_>, kind: Kind) -> Option<Result<(), String>> {
    let (least, most) = kind.integer_range()?;
    let number = value.as_integer()?;
    let in_range = i128::from_str_radix(number.as_str(), number.radix())
        .is_ok_and(|number| (least..=most).contains(&number));
    Some(if in_range {
        Ok(())
    } else {
        let shown = shortened(&number.to_string());
        Err(format!(
            "invalid value: integer `{shown}`, expected {}",
            kind.expected()
        ))
    })
}

/// The words of serde for a value of the wrong type; the value itself is left out if it is secret.
pub(super) fn type_error(value: &DeValue<'_>, expected: &str, spec: &KeySpec) -> String {
    let secret = matches!(spec.kind, Kind::Secret | Kind::Blob);
    let found = match value {
        DeValue::String(text) if !secret => format!("string {:?}", shortened(text)),
        DeValue::Integer(number) if !secret => {
            format!("integer `{}`", shortened(&number.to_string()))
        }
        DeValue::Float(number) if !secret => {
            format!("floating point `{}`", shortened(number.as_str()))
        }
        DeValue::Boolean(value) if !secret => format!("boolean `{value}`"),
        DeValue::String(_) => "string".to_owned(),
        DeValue::Integer(_) => "integer".to_owned(),
        DeValue::Float(_) => "floating point".to_owned(),
        DeValue::Boolean(_) => "boolean".to_owned(),
        DeValue::Datetime(_) => "datetime".to_owned(),
        DeValue::Array(_) => "sequence".to_owned(),
        DeValue::Table(_) => "map".to_owned(),
    };
    format!("invalid type: {found}, expected {expected}")
}

/// Whether a scalar is what the key would be without it.
pub(super) fn is_default(spec: &KeySpec, value: &DeValue<'_>) -> bool {
    match value {
        DeValue::Boolean(value) => spec.default == if *value { "true" } else { "false" },
        DeValue::String(text) => {
            let default = spec
                .default
                .strip_prefix('"')
                .and_then(|text| text.strip_suffix('"'));
            default == Some(text.as_ref())
        }
        DeValue::Integer(number) => {
            let number = i128::from_str_radix(number.as_str(), number.radix());
            number.ok() == spec.default.parse().ok()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::Section;

    fn judged(section: Section, key: &str, value: &str) -> Option<Result<(), String>> {
        let value = DeValue::parse(value).unwrap();
        accepts(section.find(key).unwrap().kind, value.get_ref())
    }

    #[test]
    fn numbers_are_accepted_in_their_range() {
        for (section, key, value, fits) in [
            (Section::Hypervisor, "default_memory", "0", true),
            (Section::Hypervisor, "default_memory", "0xFFFF_FFFF", true),
            (Section::Hypervisor, "default_memory", "4294967296", false),
            (Section::Hypervisor, "default_memory", "-1", false),
            (
                Section::Hypervisor,
                "memory_offset",
                "18446744073709551615",
                true,
            ),
            (
                Section::Hypervisor,
                "memory_offset",
                "18446744073709551616",
                false,
            ),
            (
                Section::Hypervisor,
                "hypervisor_timeout",
                "-2147483648",
                true,
            ),
            (Section::Hypervisor, "hypervisor_timeout", "+1", true),
            (
                Section::Hypervisor,
                "hypervisor_timeout",
                "-2147483649",
                false,
            ),
            (Section::Hypervisor, "default_vcpus", "-1", true),
            (Section::Hypervisor, "default_vcpus", "1.5", true),
            (Section::Hypervisor, "default_vcpus", "nan", true),
            (Section::Hypervisor, "default_vcpus", "-inf", true),
            (Section::Hypervisor, "default_vcpus", "1e999", false),
            (Section::MemAgent, "compact_order", "0b1111_1111", true),
            (Section::MemAgent, "compact_order", "256", false),
            (Section::MemAgent, "compact_sec_max", "-1", true),
        ] {
            let judged = judged(section, key, value).unwrap();
            assert_eq!(judged.is_ok(), fits, "{key} = {value}: {judged:?}");
        }
    }

    #[test]
    fn messages_are_those_of_serde() {
        for (key, value, reason) in [
            (
                "default_memory",
                "300.5",
                "invalid type: floating point `300.5`, expected u32",
            ),
            (
                "default_memory",
                "\"x\"",
                "invalid type: string \"x\", expected u32",
            ),
            (
                "enable_debug",
                "1",
                "invalid type: integer `1`, expected a boolean",
            ),
            (
                "kernel",
                "true",
                "invalid type: boolean `true`, expected a string",
            ),
            ("kernel", "[]", "invalid type: sequence, expected a string"),
            (
                "enable_annotations",
                "{}",
                "invalid type: map, expected a sequence",
            ),
            (
                "initdata",
                "12345",
                "invalid type: integer, expected a string",
            ),
            (
                "default_vcpus",
                "1979-05-27",
                "invalid type: datetime, expected f32",
            ),
        ] {
            let spec = Section::Hypervisor.find(key).unwrap();
            let value = DeValue::parse(value).unwrap();
            assert_eq!(accepts(spec.kind, value.get_ref()), None);
            assert_eq!(
                type_error(value.get_ref(), spec.kind.expected(), spec),
                reason
            );
        }
        assert_eq!(
            judged(Section::Hypervisor, "hugepage_type", "'1G'"),
            Some(Err(
                "invalid hugepage_type \"1G\", expected \"hugetlbfs\" or \"thp\"".into()
            ))
        );
        assert_eq!(
            judged(Section::MemAgent, "compact_order", "300"),
            Some(Err("invalid value: integer `300`, expected u8".into()))
        );
    }
}
