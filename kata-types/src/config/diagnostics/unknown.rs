//! Keys that no section has, or not this one: what they were meant to be.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::DeValue;

use super::DiagnosticKind;
use super::suggest::closest;
use super::walk::{Finding, Walker};
use crate::config::dotted_key::{shortened, shown_below};
use crate::config::keys::{Former, Section, former};

impl Walker {
    /// Reports a key that its section does not have.
    pub(super) fn unknown(
        &mut self,
        section: Section,
        number: usize,
        key: &Spanned<Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) {
        let name = key.get_ref().as_ref();
        let at = key.span().start;
        if cfg!(feature = "enable-vendor") && section == Section::Runtime && name == "log_prefix" {
            return; // of the sample vendor extension
        }
        // The keys of the former top-level table are judged one by one.
        if let (Section::Root, "factory", DeValue::Table(table)) = (section, name, value.get_ref())
            && !table.is_empty()
        {
            for (key, value) in table {
                if !self.has_room_for_finding() {
                    continue;
                }
                let dotted_name = format!("factory.{}", key.get_ref());
                let judgement = self.judge(section, number, &dotted_name, value.get_ref());
                let path = shown_below("factory", key.get_ref());
                self.finding(judgement.finding(key.span().start, path));
            }
            return;
        }
        // Judging costs more than counting.
        let has_room = match section.is_strict() {
            true => self.has_room_for_flaw(),
            false => self.has_room_for_finding(),
        };
        if !has_room {
            return;
        }
        let judgement = self.judge(section, number, name, value.get_ref());
        let path = self.path(number, name);
        if section.is_strict() {
            let reason = format!("unknown field `{}`: {}", shortened(name), judgement.message);
            self.push_flaw(at, path, reason);
        } else {
            self.finding(judgement.finding(at, path));
        }
    }

    /// What an unknown key was probably meant to be.
    fn judge(&self, section: Section, number: usize, name: &str, value: &DeValue<'_>) -> Judgement {
        if let Some(former) = former(section, name) {
            return self.judge_former(former, value);
        }
        let here = self.walk.shown_section(number);
        if let Some(place) = self.elsewhere(section, here, name) {
            return Judgement {
                kind: DiagnosticKind::WrongSection,
                message: format!("belongs to another section; use `{place}`"),
                suggestion: Some(place),
            };
        }
        match closest(name, section.keys().map(|spec| spec.name)) {
            Some(meant) => Judgement {
                kind: DiagnosticKind::Misspelt,
                message: format!("no such key; did you mean `{meant}`?"),
                suggestion: Some(meant.to_owned()),
            },
            None => Judgement {
                kind: DiagnosticKind::UnknownKey,
                message: "no such key".to_owned(),
                suggestion: None,
            },
        }
    }

    fn judge_former(&self, former: &Former, value: &DeValue<'_>) -> Judgement {
        let instead =
            former
                .instead
                .map(|instead| match instead.strip_prefix("hypervisor.<name>.") {
                    Some(name) => format!("{}.{name}", shown_below("hypervisor", &self.hypervisor)),
                    None => instead.to_owned(),
                });
        let mut message = former.message.to_owned();
        if let Some(instead) = &instead
            && !message.contains(instead.as_str())
        {
            message.push_str(&format!("; use `{instead}`"));
            let number = former.factor.and_then(|factor| {
                value
                    .as_integer()?
                    .as_str()
                    .parse::<u32>()
                    .ok()?
                    .checked_mul(factor)
            });
            if let Some(number) = number {
                message.push_str(&format!(" = {number}"));
            }
        }
        Judgement {
            kind: former.kind,
            message,
            suggestion: instead,
        }
    }

    /// The dotted key of a key that another section has.
    fn elsewhere(&self, section: Section, here: &str, name: &str) -> Option<String> {
        let hypervisor = shown_below("hypervisor", &self.hypervisor);
        let agent = shown_below("agent", &self.agent);
        let places = match section {
            Section::Hypervisor => [
                (Section::Factory, format!("{here}.factory")),
                (Section::RootlessUser, format!("{here}.rootless_user")),
                (Section::Runtime, "runtime".to_owned()),
                (Section::Agent, agent),
            ],
            Section::Agent => [
                (Section::MemAgent, format!("{here}.mem_agent")),
                (Section::Runtime, "runtime".to_owned()),
                (Section::Hypervisor, hypervisor),
                (Section::Root, String::new()),
            ],
            Section::MemAgent => [
                (Section::Agent, agent),
                (Section::Runtime, "runtime".to_owned()),
                (Section::Hypervisor, hypervisor),
                (Section::Root, String::new()),
            ],
            _ => [
                (Section::Runtime, "runtime".to_owned()),
                (Section::Agent, agent),
                (Section::Hypervisor, hypervisor.clone()),
                (Section::Factory, format!("{hypervisor}.factory")),
            ],
        };
        places
            .iter()
            .filter(|(other, _)| *other != section)
            .find_map(|(other, path)| Some(shown_below(path, other.find(name)?.name)))
    }
}

struct Judgement {
    kind: DiagnosticKind,
    message: String,
    suggestion: Option<String>,
}

impl Judgement {
    fn finding(self, at: usize, key: String) -> Finding {
        Finding {
            at,
            key,
            kind: self.kind,
            message: format!("ignored: {}", self.message),
            suggestion: self.suggestion,
        }
    }
}
