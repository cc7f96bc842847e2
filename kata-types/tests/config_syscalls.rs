//! How many system calls a load takes, counted by strace(1).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs,
    reason = "tests"
)]
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kata_types::config::TomlConfig;

/// Set in the process that is traced.
const FILE: &str = "CONFIG_SYSCALLS_FILE";

/// The largest example with five drop-ins.
fn prepare(root: &Path) -> PathBuf {
    let largest = common::EXAMPLES
        .into_iter()
        .max_by_key(|name| common::example(name).len());
    let file = root.join("configuration.toml");
    fs::write(
        &file,
        common::below(root, &common::example(largest.unwrap())),
    )
    .unwrap();
    fs::create_dir(root.join("config.d")).unwrap();
    for number in 0..5 {
        let drop_in = root.join(format!("config.d/{number}0.toml"));
        fs::write(
            drop_in,
            format!("agent.kata.create_container_timeout = {number}\n"),
        )
        .unwrap();
    }
    file
}

/// Leaves a mark in the trace.
fn mark(name: &str) {
    let _ = fs::metadata(format!("/no/such/mark/{name}"));
}

fn load_and_validate(file: &Path) {
    let (config, _) = TomlConfig::load_from_file(file).unwrap();
    config.validate().unwrap();
}

/// The system calls of a trace between two marks.
fn calls_between<'t>(trace: &'t str, from: &str, to: &str) -> Vec<&'t str> {
    let mark = |name: &str| format!("/no/such/mark/{name}\"");
    let thread = |line: &str| line.split(' ').next().unwrap().to_owned();
    let begin = trace.lines().find(|line| line.contains(&mark(from)));
    let loader = thread(begin.unwrap_or_else(|| panic!("no mark {from} in the trace")));
    // What the allocator asks for differs from system to system, and only debug builds of the
    // standard library ask whether a descriptor is open before they close it.
    let unrelated = [
        " brk(",
        " mmap(",
        " munmap(",
        " mremap(",
        " madvise(",
        "F_GETFD)",
    ];
    trace
        .lines()
        .skip_while(|line| !line.contains(&mark(from)))
        .skip(1)
        .take_while(|line| !line.contains(&mark(to)))
        .filter(|line| thread(line) == loader && !unrelated.iter().any(|call| line.contains(call)))
        .collect()
}

#[test]
fn loading_adjusting_and_validating_takes_less_than_60_system_calls() {
    if let Some(file) = std::env::var_os(FILE) {
        mark("first");
        load_and_validate(file.as_ref());
        mark("again");
        load_and_validate(file.as_ref());
        mark("end");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let trace = root.join("trace");
    let status = Command::new("strace")
        .args(["-f", "-qq", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "loading_adjusting_and_validating_takes_less_than_60_system_calls",
        ])
        .env(FILE, prepare(&root))
        .output();
    if !status.is_ok_and(|output| output.status.success()) {
        eprintln!("INFO: skipping a test that counts system calls: no strace, or it may not trace");
        return;
    }
    let trace = fs::read_to_string(&trace).unwrap();
    let first = calls_between(&trace, "first", "again");
    let again = calls_between(&trace, "again", "end");
    println!("{} system calls, then {}", first.len(), again.len());
    assert!((20..60).contains(&again.len()), "{}", again.join("\n"));
    // Where cgroups are mounted in another place than usual, the CPU quota takes more.
    let is_usual = !first
        .iter()
        .any(|call| call.contains("/proc/self/mountinfo"));
    assert!(
        first.len() < if is_usual { 60 } else { 80 },
        "{}",
        first.join("\n")
    );
    // The number of CPUs is looked up once per process.
    assert!(
        !again.iter().any(|call| call.contains("cgroup")),
        "{}",
        again.join("\n")
    );
}
