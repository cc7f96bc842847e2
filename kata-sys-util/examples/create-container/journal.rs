//! A log of JSON lines, written by `logging` and read back at the end.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use slog::{Level, Logger};

/// A logger and the file that it writes to. Runtime and agent have one each.
pub(crate) struct Journal {
    path: PathBuf,
    logger: Logger,
    /// Writes what is queued when it is dropped.
    writer: Box<dyn Send>,
}

/// A record of a log.
#[derive(Debug)]
pub(crate) struct Record {
    /// `INFO`, `WARN`, …
    pub(crate) level: String,
    pub(crate) message: String,
    /// The whole line.
    pub(crate) json: Value,
}

impl Journal {
    /// A log of the program `name` on behalf of `source`, in the new file `path`.
    pub(crate) fn create(path: &Path, name: &str, source: &str, level: Level) -> io::Result<Self> {
        let (logger, writer) = logging::create_logger(name, source, level, File::create(path)?);
        Ok(Self {
            path: path.to_owned(),
            logger,
            writer: Box::new(writer),
        })
    }

    pub(crate) fn logger(&self) -> &Logger {
        &self.logger
    }

    /// Everything that was logged. Later records are discarded.
    pub(crate) fn finish(self) -> io::Result<Vec<Record>> {
        drop(self.writer);
        let text = fs::read_to_string(&self.path)?;
        text.lines()
            .map(|line| {
                let json: Value = serde_json::from_str(line)?;
                let text = |key: &str| json.get(key).and_then(Value::as_str).unwrap_or_default();
                Ok(Record {
                    level: text("level").to_owned(),
                    message: text("msg").to_owned(),
                    json,
                })
            })
            .collect()
    }
}

impl Record {
    /// Whether it is worth the attention of whoever started the container.
    pub(crate) fn is_warning(&self) -> bool {
        matches!(self.level.as_str(), "CRIT" | "ERRO" | "WARN")
    }
}
