//! Generates the Rust modules of `protos/` into `OUT_DIR`; `src/lib.rs` includes them.
//!
//! Nothing is written beside the sources and no program is run: no `protoc`, no `rustfmt`.
#![allow(
    clippy::print_stdout,
    reason = "a build script speaks to cargo on its standard output"
)]

use std::path::PathBuf;
use std::process::ExitCode;

#[path = "build/mod.rs"]
mod generator;

fn main() -> ExitCode {
    // The folders stand for every file below them, imports included.
    for input in ["build.rs", "build", "protos"] {
        println!("cargo::rerun-if-changed={input}");
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // cargo cuts a message at a line break, so each line is one message.
            for line in error.lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let folder = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .ok_or_else(|| format!("environment variable {name} is not set: run through cargo"))
    };
    let protos = folder("CARGO_MANIFEST_DIR")?.join("protos");
    generator::generate(generator::INPUTS, &protos, &folder("OUT_DIR")?)
        .map_err(|error| error.to_string())
}
