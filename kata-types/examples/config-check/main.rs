//! Checks a configuration file the way a runtime would use it.
//!
//! ```text
//! cargo run -p kata-types --example config-check -- FILE [OPTION…]
//!
//! --drop-in DIR         also use the files in DIR, after those in config.d beside FILE
//! --annotation KEY=VALUE  apply an annotation of a pod; may be given several times
//! --no-files            do not look for the programs and images that FILE names
//! ```
//!
//! The effective configuration goes to standard output, with the origin of each value behind it.
//! Problems go to standard error, one a line: `file:line: key: message (severity)`. The exit status
//! is 1 if the configuration cannot be used, and 2 for a wrong command line.

mod log;
mod no_files;

use std::collections::HashMap;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use kata_types::annotations::Annotation;
use kata_types::config::{
    ConfigDiagnostic, ConfigLoader, LoadError, LoadedConfig, Severity, TomlConfig,
};
use slog::{Drain, Level, Logger, o};

use log::Log;
use no_files::Placeholders;

const USAGE: &str =
    "usage: config-check FILE [--drop-in DIR] [--annotation KEY=VALUE …] [--no-files]";

/// What the command line asks for.
#[derive(Debug, Default)]
struct Options {
    file: String,
    drop_in_dirs: Vec<String>,
    annotations: HashMap<String, String>,
    no_files: bool,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let mut loader = ConfigLoader::new(&options.file);
    for dir in &options.drop_in_dirs {
        loader = loader.drop_in_dir(dir);
    }
    let mut loaded = match loader.read() {
        Ok(loaded) => loaded,
        Err(error) => {
            for diagnostic in load_error(&error)
                .map(LoadError::remarks)
                .unwrap_or_default()
            {
                report_diagnostic(diagnostic);
            }
            report_error(&error);
            return ExitCode::FAILURE;
        }
    };
    let result = check(&mut loaded, &options);
    for diagnostic in loaded.diagnostics() {
        report_diagnostic(&diagnostic);
    }
    match result {
        Ok(text) => {
            // A reader that has seen enough is no error.
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            report_error(&error);
            ExitCode::FAILURE
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options::default();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--drop-in" => options.drop_in_dirs.push(value()?),
            "--annotation" => {
                let annotation = value()?;
                let (key, value) = annotation
                    .split_once('=')
                    .ok_or(format!("annotation {annotation:?} is not KEY=VALUE"))?;
                options.annotations.insert(key.to_owned(), value.to_owned());
            }
            "--no-files" => options.no_files = true,
            _ if argument.starts_with("--") || !options.file.is_empty() => {
                return Err(format!("unexpected argument {argument:?}"));
            }
            _ => options.file = argument,
        }
    }
    if options.file.is_empty() {
        return Err("no file given".to_owned());
    }
    Ok(options)
}

/// Does what a runtime does between reading its configuration and starting a sandbox. Returns the
/// effective configuration.
fn check(loaded: &mut LoadedConfig, options: &Options) -> io::Result<String> {
    let placeholders = options
        .no_files
        .then(|| Placeholders::put_into(&mut loaded.config));
    loaded.adjust()?;
    let mut origins = match &placeholders {
        Some(placeholders) => {
            // The origins are to be those of the names in the files.
            let mut named = loaded.config.clone();
            placeholders.take_out_of(&mut named);
            std::mem::swap(&mut loaded.config, &mut named);
            let origins = loaded.origins();
            loaded.config = named;
            origins
        }
        None => loaded.origins(),
    };
    if !options.annotations.is_empty() {
        let known = loaded.diagnostics();
        apply_annotations(&mut loaded.config, &options.annotations, &known)?;
    }
    loaded.validate()?;
    if let Some(placeholders) = &placeholders {
        placeholders.take_out_of(&mut loaded.config);
    }
    origins.record_annotations(&loaded.config);
    Ok(origins.render())
}

/// Applies the annotations of a pod. What becomes of them is in the log only: it is reported, but
/// for what is `known` from the files.
fn apply_annotations(
    config: &mut TomlConfig,
    annotations: &HashMap<String, String>,
    known: &[ConfigDiagnostic],
) -> io::Result<()> {
    let log = Log::default();
    let logger = Logger::root(log.clone().fuse(), o!());
    let result = slog_scope::scope(&logger, || {
        Annotation::new(annotations.clone()).update_config_by_annotation(config)
    });
    let known: Vec<String> = known
        .iter()
        .map(|diagnostic| format!("{}: {}", diagnostic.key, diagnostic.message))
        .collect();
    for (level, line) in log.lines() {
        let is_news = level.is_at_least(Level::Warning) || line.contains(": changed from ");
        if is_news && !known.contains(&line) {
            let severity = if level.is_at_least(Level::Warning) {
                Severity::Warning
            } else {
                Severity::Info
            };
            report_line(&format!("{line} ({severity})"));
        }
    }
    result
}

fn load_error(error: &io::Error) -> Option<&LoadError> {
    error.get_ref()?.downcast_ref()
}

fn report_error(error: &io::Error) {
    match load_error(error) {
        Some(error) => {
            for problem in error.problems() {
                report(
                    &problem.file,
                    problem.line,
                    &problem.key,
                    &problem.reason,
                    "error",
                );
            }
        }
        None => report_line(&format!("{error} (error)")),
    }
}

fn report_diagnostic(diagnostic: &ConfigDiagnostic) {
    let ConfigDiagnostic {
        file,
        line,
        key,
        message,
        severity,
        ..
    } = diagnostic;
    report(file, *line, key, message, severity);
}

fn report(file: &Path, line: Option<usize>, key: &str, message: &str, severity: impl Display) {
    let line = line.map(|line| format!("{line}:")).unwrap_or_default();
    let key = if key.is_empty() {
        String::new()
    } else {
        format!("{key}: ")
    };
    report_line(&format!(
        "{}:{line} {key}{message} ({severity})",
        file.display()
    ));
}

/// Values may contain anything, but a problem is one line.
fn report_line(line: &str) {
    eprintln!("{}", line.replace(char::is_control, "?"));
}
