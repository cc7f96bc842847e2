//! Shows what a logger writes, to the destination of your choice:
//!
//! ```sh
//! cargo run -p logging --example destinations            # text on the terminal
//! cargo run -p logging --example destinations -- json    # JSON lines on standard output
//! cargo run -p logging --example destinations -- journal # then: journalctl -t kata -o verbose
//! cargo run -p logging --example destinations -- FILE    # JSON lines, rotated at 1 KiB
//! ```

use std::error::Error;
use std::io::Write;

use logging::{FILTER_RULE, FileRotator, LogDestination, LogWriter};
use slog::{Level, debug, error, info, warn};

logging::logger_with_subsystem!(sl, "hypervisor");

fn main() -> Result<(), Box<dyn Error>> {
    let destination = match std::env::args().nth(1).as_deref() {
        None => None,
        Some("json") => Some(LogDestination::stdout()),
        Some("journal") => Some(LogDestination::Journal),
        Some(path) => {
            let mut file = FileRotator::new(path)?;
            file.rotate_threshold(1024).rotate_count(2);
            Some(LogDestination::File(Box::new(file)))
        }
    };
    let (logger, guard) = match destination {
        None => logging::create_term_logger(Level::Info),
        Some(to) => logging::create_logger_with_destination("example", "demo", Level::Info, to),
    };
    let _reset = slog_scope::set_global_logger(logger.clone());
    logging::register_component_logger("hypervisor");

    info!(sl!(), "starting"; "vcpus" => 4, "memory" => "2Gi");
    debug!(sl!(), "not shown: the level is Info");
    FILTER_RULE.rcu(|rules| {
        let mut rules = rules.as_ref().clone();
        rules.insert("hypervisor".to_owned(), Level::Debug);
        rules
    });
    debug!(sl!(), "shown: now the component has a level of its own");
    warn!(logger, "of the root logger"; "lines" => "one\ntwo", "escape" => "\u{1b}[31m");

    let mut console = LogWriter::new(sl!());
    write!(console, "a guest's console: [    0.00")?;
    writeln!(console, "0000] Linux version 6.12")?;
    error!(sl!(), "stopped"; "error" => #std::io::Error::other("the guest is gone"));

    drop(guard);
    let stats = logging::stats(&logger).unwrap_or_default();
    eprintln!(
        "{} records: {} written, {} filtered, {} dropped, {} failed",
        stats.offered(),
        stats.written,
        stats.filtered,
        stats.dropped.total(),
        stats.failed
    );
    Ok(())
}
