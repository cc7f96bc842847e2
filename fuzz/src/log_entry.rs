//! A record of a log and the loggers that it comes from, as lines of text, and what a reader must
//! see of it.

use slog::{
    BorrowedKV, KV, Level, Logger, OwnedKV, Record, RecordLocation, RecordStatic, Serializer,
};

use crate::unescape;

/// Where all records seem to come from.
pub static LOCATION: RecordLocation = RecordLocation {
    file: "fuzz.rs",
    line: 4_294_967_295,
    column: 1,
    function: "f",
    module: "fuzz",
};

/// Keys and values, in the order in which they are written.
#[derive(Clone, Default)]
pub struct Pairs(Vec<(String, String)>);

impl KV for Pairs {
    fn serialize(&self, _: &Record<'_>, serializer: &mut dyn Serializer) -> slog::Result {
        // slog goes from the last to the first.
        for (key, value) in self.0.iter().rev() {
            match key.len() % 2 {
                0 => serializer.emit_str(key.clone().into(), value)?,
                _ => serializer.emit_arguments(key.clone().into(), &format_args!("{value}"))?,
            }
        }
        Ok(())
    }
}

/// Names and values, in the order in which a reader sees them.
pub type Fields = Vec<(String, String)>;

/// What an input describes: its first line is the message, the others are `KEY=VALUE`. Lines `===`
/// are before the keys of another logger, the oldest first.
pub struct Entry {
    pub message: String,
    pub level: Level,
    of_record: Pairs,
    of_loggers: Vec<Pairs>,
}

impl Entry {
    /// The level depends on the length of the message.
    pub fn parse(text: &str) -> Self {
        let (message, rest) = text.split_once('\n').unwrap_or((text, ""));
        let mut lists = vec![Pairs::default()];
        for line in rest.lines() {
            if line == "===" && lists.len() < 6 {
                lists.push(Pairs::default());
            } else if let Some((key, value)) = line.split_once('=')
                && let Some(list) = lists.last_mut()
            {
                list.0.push((unescape(key), unescape(value)));
            }
        }
        let levels = [
            Level::Info,
            Level::Critical,
            Level::Error,
            Level::Warning,
            Level::Debug,
            Level::Trace,
        ];
        Self {
            message: unescape(message),
            level: levels[message.len() % levels.len()],
            of_record: lists.remove(0),
            of_loggers: lists,
        }
    }

    /// Logs it to the last of the loggers below `root`.
    pub fn log(&self, root: &Logger) {
        let logger = self.of_loggers.iter().fold(root.clone(), |logger, pairs| {
            logger.new(OwnedKV(pairs.clone()))
        });
        let kind = RecordStatic {
            location: &LOCATION,
            tag: "",
            level: self.level,
        };
        logger.log(&Record::new(
            &kind,
            &format_args!("{}", self.message),
            BorrowedKV(&self.of_record),
        ));
    }

    /// The fields that a reader sees, those of the loggers and those of the record, with their names
    /// in the format: one that has none is left out.
    ///
    /// Of several values the last one of the record counts, or else of the youngest logger. It is
    /// where the key was written first, in the record or among the loggers.
    pub fn fields(
        &self,
        root: &[(&str, String)],
        name: impl Fn(&str) -> Option<String>,
    ) -> (Fields, Fields) {
        let root = root.iter().map(|(key, value)| (*key, value));
        let loggers = self.of_loggers.iter().flat_map(|pairs| &pairs.0);
        let loggers = root.chain(loggers.map(|(key, value)| (&**key, value)));
        let mut of_loggers = last_values(loggers, &name);
        let of_record = self.of_record.0.iter().map(|(key, value)| (&**key, value));
        let of_record = last_values(of_record, &name);
        of_loggers.retain(|(key, _)| of_record.iter().all(|(other, _)| other != key));
        (of_loggers, of_record)
    }
}

fn last_values<'a>(
    pairs: impl Iterator<Item = (&'a str, &'a String)>,
    name: impl Fn(&str) -> Option<String>,
) -> Fields {
    let mut fields: Fields = Vec::new();
    for (key, value) in pairs {
        let Some(name) = name(key) else {
            continue;
        };
        match fields.iter_mut().find(|(known, _)| *known == name) {
            Some(field) => field.1.clone_from(value),
            None => fields.push((name, value.clone())),
        }
    }
    fields
}

/// Root fields of the loggers that programs make, but for the version.
pub fn root_fields(name: &str, source: &str) -> [(&'static str, String); 4] {
    [
        ("subsystem", "root".to_owned()),
        ("pid", std::process::id().to_string()),
        ("name", name.to_owned()),
        ("source", source.to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn younger_values_count_where_their_keys_were_first() {
        let entry = Entry::parse("m\nb=1\nr=1\nb=2\n===\na=1\nb=0\n===\nc=1\na=2\n");
        let root = [("root", "0".to_owned()), ("c", "0".to_owned())];
        let (of_loggers, of_record) = entry.fields(&root, |key| Some(key.to_owned()));
        let pairs = |pairs: &[(&str, &str)]| -> Vec<_> {
            let owned = pairs
                .iter()
                .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
            owned.collect()
        };
        assert_eq!(of_loggers, pairs(&[("root", "0"), ("c", "1"), ("a", "2")]));
        assert_eq!(of_record, pairs(&[("b", "2"), ("r", "1")]));
    }
}
