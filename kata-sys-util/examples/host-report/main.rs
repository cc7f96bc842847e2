//! Prints what `kata-sys-util` sees on a machine: whether, and how, it can run Kata guests.
//!
//! ```text
//! cargo run -p kata-sys-util --example host-report                 # this machine
//! cargo run -p kata-sys-util --example host-report -- --json       # for programs
//! cargo run -p kata-sys-util --example host-report -- --root DIR   # a copy of /proc, /sys and /dev
//! ```
//!
//! An ordinary user may run it: what cannot be read is listed at the end. Exit status: 0 there is a
//! report, 1 there is none, 2 the command line is wrong.

mod cgroup;
mod cpu;
mod infiniband;
mod mglru;
mod numa;
mod options;
mod pci;
mod protection;
mod psi;
mod reader;
mod report;

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use crate::options::{Format, Options, USAGE};
use crate::report::Report;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => return print(USAGE),
        Err(reason) => {
            complain(&format!("{reason} (--help lists the options)"));
            return ExitCode::from(2);
        }
    };
    let text = Report::of(&options.root).and_then(|report| match options.format {
        Format::Text => Ok(report.to_text()),
        Format::Json => report.to_json(),
    });
    match text {
        Ok(text) => print(&text),
        Err(reason) => {
            complain(&reason);
            ExitCode::FAILURE
        }
    }
}

fn print(text: &str) -> ExitCode {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that has seen enough is no error.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("cannot write the report: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn complain(reason: &str) {
    let _ = writeln!(io::stderr(), "host-report: {reason}");
}
