//! Follows one container from an OCI bundle to the agent in the guest, through all crates of this
//! workspace: how they fit together, in the order in which a runtime and an agent use them.
//!
//! ```text
//! cargo run --example create-container                     # what is built in
//! cargo run --example create-container -- --bundle DIR     # a bundle of your own
//! cargo run --example create-container -- --help           # all options
//! ```
//!
//! | Stage | File | Crates |
//! |---|---|---|
//! | load the configuration | `configuration` | `kata-types` |
//! | read and check `config.json` | `bundle`, `identity` | `runtime-spec`, `kata-sys-util` |
//! | apply annotations | `configuration` | `kata-types` |
//! | resolve paths | `resolve` | `safe-path` |
//! | replace `emptyDir` volumes | `volumes` | `kata-sys-util`, `kata-types` |
//! | find VFIO devices | `vfio` | `kata-sys-util` |
//! | run hooks of the host | `hooks` | `kata-sys-util`, `runtime-spec` |
//! | build the request | `request` | `protocols` |
//! | boot the guest | `guest`, `guest::kernel`, `guest::memory` | `mem-agent`, `logging` |
//! | ask the shim for the agent | `shim` | `shim-interface` |
//! | create the container | `guest::agent`, `guest::container` | `protocols`, all others |
//! | run hooks after the start | `hooks` | `kata-sys-util`, `runtime-spec` |
//! | shut the guest down | `guest`, `journal` | `protocols`, `logging` |
//!
//! The ninth crate, `test-utils`, guards the test of this example.
//!
//! There is no virtual machine: the guest is a thread and a temporary directory, and the socket
//! between both halves is a Unix socket where it would be a vsock. Everything is removed at the end.
//! Exit status: 0 the container was created, 1 something in the input is bad, 2 usage.

mod bundle;
mod configuration;
mod defaults;
mod guest;
mod hooks;
mod identity;
mod journal;
mod options;
mod problem;
mod request;
mod resolve;
mod shim;
mod socket;
mod stages;
mod summary;
mod vfio;
mod volumes;

use std::collections::HashMap;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use kata_sys_util::SysRoot;
use runtime_spec::{ContainerState, State};
use slog::{Level, info};

use crate::bundle::Bundle;
use crate::guest::Guest;
use crate::hooks::{Phase, Ran};
use crate::identity::Identity;
use crate::journal::Journal;
use crate::options::{Format, Options, USAGE};
use crate::problem::Problem;
use crate::stages::Stages;
use crate::summary::Summary;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => return print(USAGE),
        Err(reason) => {
            complain(&format!("{reason} (--help lists the options)"));
            return ExitCode::from(2);
        }
    };
    let result = tempfile::tempdir()
        .map_err(|e| Problem::new(format!("no temporary directory: {e}")))
        .and_then(|scratch| logged(&options, scratch.path()));
    match result {
        Ok(summary) => print(&match options.format {
            Format::Text => summary.to_text(),
            Format::Json => summary.to_json(),
        }),
        Err(problem) => {
            complain(&problem.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Runs all stages, with a logger for what the libraries have to say.
fn logged(options: &Options, scratch: &Path) -> Result<Summary, Problem> {
    let path = scratch.join("runtime.log");
    let journal = Journal::create(&path, "create-container", "runtime", Level::Info)
        .map_err(|e| Problem::file(&path, e))?;
    let mut summary = slog_scope::scope(journal.logger(), || run(options, scratch))?;
    summary.log = journal.finish().map_err(|e| Problem::file(&path, e))?;
    Ok(summary)
}

/// All stages, in order. Files of the example itself go to `scratch`.
fn run(options: &Options, scratch: &Path) -> Result<Summary, Problem> {
    let written = |e: io::Error| Problem::file(scratch, e);
    let file = match &options.config {
        Some(file) => file.clone(),
        None => defaults::write_configuration(scratch).map_err(written)?,
    };
    let dir = match &options.bundle {
        Some(dir) => dir.clone(),
        None => defaults::write_bundle(scratch).map_err(written)?,
    };
    let fake_root = options.fake_root.as_deref().map(existing).transpose()?;
    let root = fake_root.map_or_else(SysRoot::default, SysRoot::under);
    let mut stages = Stages::default();

    // The host's half: what the runtime does.
    let loaded = stages.run("load the configuration", "kata-types", || {
        configuration::load(&file)
    })?;
    let (mut bundle, identity) = stages.run(
        "read and check config.json",
        "runtime-spec, kata-sys-util",
        || {
            let bundle = Bundle::open(&dir)?;
            let identity = Identity::of(options.id.as_deref(), &dir, &bundle)?;
            Ok((bundle, identity))
        },
    )?;
    let configuration = stages.run("apply annotations, validate", "kata-types", || {
        configuration::apply(loaded, &annotations(options, &bundle))
    })?;
    let runtime = &configuration.config.runtime;
    let paths = stages.run("resolve paths", "safe-path", || {
        resolve::resolve_paths(&mut bundle)
    })?;
    let storages = stages.run("replace emptyDir volumes", "kata-sys-util", || {
        let fake_root = fake_root.map(SysRoot::under);
        volumes::replace_empty_dirs(&mut bundle.spec, runtime, fake_root.as_ref())
    });
    let (passed, devices) = stages.run("find VFIO devices", "kata-sys-util", || {
        if options.bundle.is_none() {
            vfio::ask_for_all(&mut bundle.spec, &root);
        }
        vfio::pass_through(&mut bundle, runtime, &root)
    })?;
    let state = state(&identity, &bundle);
    let mut ran = stages.run("run hooks of the host", "kata-sys-util", || {
        hooks::run(Phase::Create, &bundle.spec, &state)
    });
    refuse_failure(&bundle, &ran)?;
    let (request, dropped) = stages.run("build the request", "protocols", || {
        request::build(&bundle, &identity.container, devices, storages)
    })?;

    // The guest's half: what the agent does, and how the host reaches it.
    let command_line = configuration.kernel_command_line()?;
    let guest = stages.run("boot the guest", "mem-agent, logging", || {
        Guest::boot(&scratch.join("guest"), &command_line, fake_root)
    })?;
    let address = stages.run("ask the shim for the agent", "shim-interface", || {
        shim::serve(scratch, &identity.sandbox, guest.address())
            .map_err(|e| Problem::file(scratch, format!("no management socket: {e}")))?;
        shim::ask_for_agent(scratch, &identity.sandbox)
    })?;
    info!(slog_scope::logger(), "agent found"; "address" => &address);
    let created = stages.run("create the container", "protocols, kata-sys-util", || {
        guest.create_container(&address, &request, configuration.create_timeout_ms())
    });
    if created.is_ok() {
        ran.extend(
            stages.run("run hooks after the start", "kata-sys-util", || {
                let mut ran = hooks::run(Phase::Started, &bundle.spec, &state);
                ran.extend(hooks::run(Phase::Stopped, &bundle.spec, &state));
                ran
            }),
        );
    }
    // An agent that has taken too long is waited for: nothing of it is to be left.
    let report = stages.run("shut the guest down", "protocols, logging", || {
        guest.shut_down()
    })?;
    let created = created?;
    Ok(Summary {
        identity,
        configuration,
        command_line,
        bundle,
        paths,
        passed,
        hooks: ran,
        dropped,
        address,
        created,
        memory: report.memory,
        agent_log: report.log,
        state,
        stages,
        log: Vec::new(),
    })
}

fn existing(dir: &Path) -> Result<&Path, Problem> {
    match dir.metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(dir),
        Ok(_) => Err(Problem::file(dir, "not a directory")),
        Err(error) => Err(Problem::file(dir, error)),
    }
}

/// Those of `config.json`, and over them those of the command line.
fn annotations(options: &Options, bundle: &Bundle) -> HashMap<String, String> {
    let mut annotations = bundle.spec.annotations().clone().unwrap_or_default();
    annotations.extend(options.annotations.clone());
    annotations
}

/// What hooks read of the container, but for its status.
fn state(identity: &Identity, bundle: &Bundle) -> State {
    State {
        version: bundle.spec.version().clone(),
        id: identity.container.clone(),
        status: ContainerState::Creating,
        pid: 0,
        bundle: bundle.root.path().display().to_string(),
        annotations: bundle.spec.annotations().clone().unwrap_or_default(),
    }
}

fn refuse_failure(bundle: &Bundle, ran: &[Ran]) -> Result<(), Problem> {
    for hook in ran {
        if let Err(error) = &hook.result {
            let field = format!("{}.path", hook.field);
            return Err(Problem::field(&bundle.config, field, &hook.path, error));
        }
    }
    Ok(())
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
            complain(&format!("cannot write the summary: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn complain(reason: &str) {
    let _ = writeln!(io::stderr(), "create-container: {reason}");
}
