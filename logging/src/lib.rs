// The README's links lead to source files, where there is no rustdoc; here, these come before them.
//! [`FILTER_RULE`]: FILTER_RULE
//! [`FileRotator`]: FileRotator
//! [`FileRotator::error_count`]: FileRotator::error_count
//! [`LevelCounts`]: LevelCounts
//! [`LogDestination::stdout`]: LogDestination::stdout
//! [`LogWriter`]: LogWriter
//! [`Stats`]: Stats
//! [`create_logger`]: create_logger
//! [`create_logger_with_destination`]: create_logger_with_destination
//! [`create_term_logger`]: create_term_logger
//! [`logger_with_subsystem!`]: logger_with_subsystem!
//! [`register_component_logger`]: register_component_logger
//! [`register_subsystem_logger`]: register_subsystem_logger
//! [`stats`]: fn@stats
#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

mod chunk;
mod drain;
mod exit_hook;
mod file_rotate;
mod format;
mod guard;
mod level;
mod level_filter;
mod log_writer;
mod pipeline;
mod queue;
mod registry;
mod root;
mod sink;
mod stats;
mod sys;
mod text;
mod timestamp;
mod unique_keys;
mod worker;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use slog::{Level, Logger, o};
use slog_async::AsyncGuard;

pub use file_rotate::FileRotator;
pub use level::{get_log_levels, level_name_to_slog_level, slog_level_to_level_name};
pub use level_filter::FILTER_RULE;
pub use log_writer::LogWriter;
pub use registry::{LOGGERS, register_component_logger, register_subsystem_logger};
pub use stats::{LevelCounts, Stats, stats};

use drain::Front;
use format::{Colors, Format, Journal, Json, Terminal};
use pipeline::Pipeline;
use root::{Root, RootKv};
use sink::{JournalSink, Sink, TerminalSink, TextSink, UnbufferedStdout};

/// What the macros expand to. Not for direct use: it may change in any release.
#[doc(hidden)]
pub mod __private {
    pub use crate::registry::subsystem_logger;
}

/// Where the records of a logger go.
///
/// ```
/// use logging::LogDestination;
///
/// let destination = match std::env::var_os("JOURNAL_STREAM") {
///     Some(_) => LogDestination::Journal,
///     None => LogDestination::File(Box::new(std::io::sink())),
/// };
/// let (logger, guard) =
///     logging::create_logger_with_destination("shim", "sandbox-1", slog::Level::Info, destination);
/// ```
pub enum LogDestination {
    /// JSON lines to any writer. For standard output, take [`stdout`](Self::stdout): that of the
    /// standard library keeps the end of a record for later when a pipe is full, and is not
    /// recognised in a `Box`.
    File(Box<dyn Write + Send + Sync>),
    /// systemd-journald, with `SYSLOG_IDENTIFIER=kata` (`journalctl -t kata`).
    Journal,
}

impl LogDestination {
    /// JSON lines to standard output, behind what was printed before, and without a buffer: what is
    /// not written is known, so that it is written later, or counted and told.
    ///
    /// With [`create_logger`], [`std::io::stdout`] itself is as good.
    ///
    /// ```
    /// use logging::LogDestination;
    /// use slog::Level;
    ///
    /// let to = LogDestination::stdout();
    /// let (logger, guard) =
    ///     logging::create_logger_with_destination("kata-ctl", "s", Level::Info, to);
    /// slog::info!(logger, "started");
    /// ```
    pub fn stdout() -> Self {
        Self::File(Box::new(UnbufferedStdout))
    }
}

/// A logger that writes text for people to standard error, in colours if that is a terminal.
///
/// Key/values of loggers are shown above a record when they change, each a column deeper than the one
/// before up to 64; control characters in messages and values are escaped. See [`create_logger`] for
/// the level and the guard.
///
/// ```
/// let (logger, guard) = logging::create_term_logger(slog::Level::Info);
///
/// // Nov 23 15:09:59.935 INFO started, pid: 4242
/// slog::info!(logger, "started"; "pid" => 4242);
/// ```
pub fn create_term_logger(level: Level) -> (Logger, AsyncGuard) {
    let root = Root::new(vec![("subsystem", "root".to_owned())]);
    let format = Terminal::new(root, Colors::of_stderr());
    start(level, format, TerminalSink::new())
}

/// A logger that writes one JSON object per record and line to `writer`, on a thread of its own.
///
/// `name` and `source` say who logs; they are keys of every record, cut at 16 KiB. `level` applies
/// to components without a rule in [`FILTER_RULE`], and is set for all rules that exist.
///
/// All records are written once the guard is dropped, and the writer is closed then. Keep the guard
/// as long as anybody logs: with `let (logger, _) = …` it is gone at once, and the logger silent.
///
/// A thread cannot always be started. If it is the one that writes, all records are counted as
/// dropped ([`stats`]).
///
/// # Panics
///
/// If the thread behind the guard cannot be started.
///
/// ```
/// use slog::{Level, info};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("log");
/// let file = std::fs::File::create(&path)?;
/// let (logger, guard) = logging::create_logger("kata-agent", "agent", Level::Info, file);
///
/// info!(logger, "storage added"; "driver" => "virtio-fs", "options" => 2);
/// drop(guard);
///
/// let text = std::fs::read_to_string(&path)?;
/// assert!(text.starts_with(r#"{"msg":"storage added","level":"INFO","ts":""#));
/// assert!(text.ends_with(",\"driver\":\"virtio-fs\",\"options\":\"2\"}\n"));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// A guard that is dropped too early:
///
/// ```
/// let (logger, _) = logging::create_logger("shim", "s", slog::Level::Info, std::io::sink());
/// slog::info!(logger, "nobody reads this");
///
/// assert_eq!(logging::stats(&logger).unwrap_or_default().dropped.total(), 1);
/// ```
pub fn create_logger<W>(name: &str, source: &str, level: Level, writer: W) -> (Logger, AsyncGuard)
where
    W: Write + Send + Sync + 'static,
{
    let format = Json::new(Root::new(root_fields(name, source)));
    start(level, format, TextSink::new(writer, "the log writer"))
}

/// A logger for either destination, see [`create_logger`].
///
/// # Panics
///
/// If the thread behind the guard cannot be started.
///
/// ```
/// use logging::LogDestination;
/// use slog::Level;
///
/// let (logger, guard) = logging::create_logger_with_destination(
///     "kata-runtime",
///     "sandbox-1",
///     Level::Info,
///     LogDestination::Journal,
/// );
/// slog::info!(logger, "sandbox created"); // journalctl -t kata SOURCE=sandbox-1
/// ```
pub fn create_logger_with_destination(
    name: &str,
    source: &str,
    level: Level,
    destination: LogDestination,
) -> (Logger, AsyncGuard) {
    match destination {
        LogDestination::File(writer) => create_logger(name, source, level, writer),
        LogDestination::Journal => {
            create_journal_logger(name, source, level, Path::new(sink::JOURNAL_SOCKET))
        }
    }
}

/// A logger for a journald that listens on `socket`.
fn create_journal_logger(
    name: &str,
    source: &str,
    level: Level,
    socket: &Path,
) -> (Logger, AsyncGuard) {
    let mut fields = root_fields(name, source);
    fields.push(("SYSLOG_IDENTIFIER", "kata".to_owned()));
    let format = Journal::new(Root::new(fields));
    start(level, format, JournalSink::new(socket))
}

/// The keys of every record, in their order (4.1).
fn root_fields(name: &str, source: &str) -> Vec<(&'static str, String)> {
    vec![
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("subsystem", "root".to_owned()),
        ("pid", std::process::id().to_string()),
        ("name", name.to_owned()),
        ("source", source.to_owned()),
    ]
}

fn start<F: Format, S: Sink + 'static>(level: Level, format: F, sink: S) -> (Logger, AsyncGuard) {
    level_filter::overwrite_rules(level);
    let root = RootKv(format.shared_root());
    let format = Arc::new(format);
    let pipeline = Pipeline::new();
    let worker = worker::start(Arc::clone(&pipeline), Arc::clone(&format), sink);
    let worker = worker.inspect_err(|error| {
        sys::write_stderr(format!("logging: cannot start a thread: {error}\n").as_bytes());
        pipeline.queue.finish();
    });
    let front = Front {
        pipeline: Arc::clone(&pipeline),
        format,
        level,
    };
    (
        Logger::root(front, o!(root)),
        guard::guard(pipeline, worker.ok()),
    )
}
