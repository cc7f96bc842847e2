//! Follows one container from an OCI bundle to the agent in the guest.
//!
//! ```text
//! cargo run --example create-container                     # the bundle that is built in
//! cargo run --example create-container -- --bundle DIR     # a bundle of your own
//! ```
//!
//! The bundle's `config.json` is read and checked, its root filesystem and the sources and
//! destinations of its mounts are resolved without ever leaving the bundle or the root filesystem
//! (`safe-path`), the configuration is converted to a `CreateContainerRequest` (`protocols`), and
//! the request travels over ttrpc on a Unix socket to an agent in this same program, which says
//! what arrived. Exit status: 0 the container's request arrived, 1 the bundle is bad, 2 usage.

mod agent;
mod bundle;
mod problem;
mod resolve;
mod summary;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use protobuf::MessageField;
use protocols::agent::CreateContainerRequest;
use protocols::trans::{LossReason, Lossy, to_proto_checked};

use crate::bundle::Bundle;
use crate::problem::Problem;
use crate::summary::{Stage, Summary};

const USAGE: &str = "\
usage: create-container [--bundle DIR] [--id ID]

Turns an OCI bundle into the request that creates a container in a Kata guest, sends it to an
agent stub over ttrpc, and shows what arrived.

  --bundle DIR  bundle to read (default: one that is built into this program)
  --id ID       container id (default: the name of the bundle directory)
  --help        this text
";

#[derive(Debug, Default)]
struct Options {
    bundle: Option<PathBuf>,
    id: Option<String>,
}

fn main() -> ExitCode {
    let options = match parse_arguments(std::env::args_os().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            return match io::stdout().write_all(USAGE.as_bytes()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            };
        }
        Err(reason) => {
            let _ = write!(io::stderr(), "create-container: {reason}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "create-container: {error}");
            ExitCode::FAILURE
        }
    }
}

/// `None` asks for the usage text.
fn parse_arguments(
    mut arguments: impl Iterator<Item = OsString>,
) -> Result<Option<Options>, String> {
    let mut options = Options::default();
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .ok_or_else(|| format!("{} needs a value", argument.display()))
        };
        match argument.to_str() {
            Some("--bundle") => options.bundle = Some(value()?.into()),
            Some("--id") => {
                let id = value()?;
                let id = id.into_string();
                options.id = Some(id.map_err(|id| format!("--id {id:?} is not UTF-8"))?);
            }
            Some("--help" | "-h") => return Ok(None),
            _ => return Err(format!("unknown argument {argument:?}")),
        }
    }
    Ok(Some(options))
}

fn run(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let scratch = tempfile::tempdir()?;
    let dir = match &options.bundle {
        Some(dir) => dir.clone(),
        None => {
            let dir = scratch.path().join("web");
            std::fs::create_dir(&dir)?;
            bundle::write_default(&dir)?;
            dir
        }
    };

    let mut stages = Vec::new();
    let mut bundle = timed(&mut stages, "read and check config.json", || {
        Bundle::open(&dir)
    })?;
    let paths = timed(&mut stages, "resolve paths", || {
        resolve::resolve_paths(&mut bundle)
    })?;
    let (request, dropped) = timed(&mut stages, "convert to a request", || {
        to_request(&bundle, container_id(options, &dir)?)
    })?;
    let arrived = timed(&mut stages, "send to the agent", || {
        agent::create_container(scratch.path(), &request)
    })?;

    let summary = Summary {
        bundle: &bundle,
        paths: &paths,
        dropped: &dropped,
        arrived: &arrived,
        stages: &stages,
    };
    summary.write(&mut io::stdout().lock())?;
    Ok(())
}

fn timed<T, E>(
    stages: &mut Vec<Stage>,
    name: &'static str,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let started = Instant::now();
    let result = work();
    stages.push(Stage {
        name,
        time: started.elapsed(),
    });
    result
}

/// The id is part of paths in host and guest: the same characters as containerd accepts.
fn container_id(options: &Options, dir: &Path) -> Result<String, Problem> {
    let given = match &options.id {
        Some(id) => id.clone(),
        None => std::fs::canonicalize(dir)
            .ok()
            .and_then(|dir| Some(dir.file_name()?.to_string_lossy().into_owned()))
            .unwrap_or_default(),
    };
    let inner = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let valid = given.len() <= 76
        && given.starts_with(|c: char| c.is_ascii_alphanumeric())
        && given.chars().all(inner);
    if !valid {
        return Err(Problem::field(
            dir,
            "container id",
            &given,
            "must begin with a letter or digit, followed by at most 75 of letters, digits, \
             '_', '.' and '-' (choose one with --id)",
        ));
    }
    Ok(given)
}

fn to_request(
    bundle: &Bundle,
    container_id: String,
) -> Result<(CreateContainerRequest, Vec<Lossy>), Problem> {
    let (spec, losses) = to_proto_checked(bundle.spec.clone());
    // A dropped field is worth a note; a path or number that changed would be another container.
    if let Some(loss) = losses.iter().find(|l| l.reason != LossReason::Dropped) {
        return Err(Problem::field(
            &bundle.config,
            loss.path.clone(),
            &loss.value,
            "the agent's protocol cannot carry this value unchanged",
        ));
    }
    let request = CreateContainerRequest {
        exec_id: container_id.clone(),
        container_id,
        OCI: MessageField::some(spec),
        ..Default::default()
    };
    Ok((request, losses))
}
