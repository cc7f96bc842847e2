//! Lists the sandboxes of this machine, and asks one of them for its metrics or its agent's
//! address.
//!
//! ```text
//! cargo run -p shim-interface --example sandboxes -- [--root DIR] [ID [metrics|agent-url]]
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program")]

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use shim_interface::shim_mgmt::blocking::MgmtClient;
use shim_interface::{Layout, StorageRoots, list_sandboxes_in};

const USAGE: &str = "\
usage: sandboxes [--root DIR]                      list the sandboxes and how they answer
       sandboxes [--root DIR] ID [agent-url]       the address of the agent of a sandbox
       sandboxes [--root DIR] ID metrics           its metrics

ID is an id, or the beginning of one that no other has. Sandboxes are looked for in
DIR/run/kata and DIR/run/vc/sbs; DIR is / by default.";

/// As long as other tools wait.
const TIMEOUT: Option<Duration> = Some(Duration::from_secs(2));

enum Question {
    AgentUrl,
    Metrics,
}

struct Arguments {
    root: PathBuf,
    question: Option<(String, Question)>,
}

fn main() -> ExitCode {
    let Some(arguments) = parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let roots = StorageRoots::under(&arguments.root);
    let result = match arguments.question {
        Some((id, question)) => ask(&roots, &id, question),
        None => list(&roots),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sandboxes: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Arguments> {
    let mut root = PathBuf::from("/");
    let mut words = Vec::new();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--root" => root = arguments.next()?.into(),
            option if option.starts_with('-') => return None,
            _ => words.push(argument),
        }
    }
    let question = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => None,
        [id] | [id, "agent-url"] => Some((id.to_owned(), Question::AgentUrl)),
        [id, "metrics"] => Some((id.to_owned(), Question::Metrics)),
        _ => return None,
    };
    Some(Arguments { root, question })
}

fn list(roots: &StorageRoots) -> anyhow::Result<()> {
    let sandboxes = list_sandboxes_in(roots)?;
    if sandboxes.is_empty() {
        println!(
            "no sandboxes in {} and {}",
            roots.runtime_rs.display(),
            roots.go.display()
        );
    }
    for sandbox in sandboxes {
        let runtime = match sandbox.layout() {
            Layout::RuntimeRs => "runtime-rs",
            Layout::Go => "go",
        };
        let id = sandbox.id().to_owned();
        let answer = match MgmtClient::for_sandbox(sandbox, TIMEOUT).agent_url() {
            Ok(url) => url,
            Err(error) => reason(&error),
        };
        println!("{id}\t{runtime}\t{answer}");
    }
    Ok(())
}

/// What went wrong, without what the line of the list says already.
fn reason(error: &anyhow::Error) -> String {
    let kind = error
        .downcast_ref::<shim_interface::shim_mgmt::RequestError>()
        .map(|error| error.kind());
    match kind {
        Some(kind) => match kind.source() {
            Some(cause) => format!("({kind}: {cause})"),
            None => format!("({kind})"),
        },
        None => format!("({error:#})"),
    }
}

fn ask(roots: &StorageRoots, id: &str, question: Question) -> anyhow::Result<()> {
    let client = MgmtClient::new_in(roots, id, TIMEOUT)?;
    match question {
        Question::AgentUrl => println!("{}", client.agent_url()?),
        Question::Metrics => print!("{}", client.metrics()?),
    }
    Ok(())
}
