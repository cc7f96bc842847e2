//! Hooks as they are run. The first byte of an input says what the rest is for.
//!
//! * `e`, lines of an environment: the hook has the valid ones, each key once, and nothing else.
//! * else its output, repeated by the first byte: the log has it, cut after 64 KiB; and a state comes
//!   out of the hook as it went in.
#![no_main]

use std::fs;

use kata_libs_fuzz::{Scratch, capture_log, lines};
use kata_sys_util::hooks::{HookState, HookStates};
use kata_sys_util::validate::valid_env;
use libfuzzer_sys::fuzz_target;
use oci_spec::runtime::{Hook, HookBuilder};
use runtime_spec::{ContainerState, State};

const LIMIT: usize = 64 << 10;

/// What the hook has written to its standard output, as the log has it.
fn run(hook: &Hook, state: Option<State>) -> String {
    let mut states = HookStates::new();
    let log = capture_log(|| {
        states
            .execute_hooks(std::slice::from_ref(hook), state)
            .expect("always")
    });
    assert!(states.failures().is_empty(), "{:?}", states.failures());
    assert_eq!(states.get(hook), HookState::Done);
    let prefix = format!("stdout of hook {:?}: ", hook.path());
    let mut output = log.iter().filter_map(|line| line.strip_prefix(&prefix));
    output.next().unwrap_or_default().to_owned()
}

fn check_environment(text: &str) {
    let env: Vec<_> = lines(text);
    let mut expected: Vec<(&str, &str)> = Vec::new();
    for (key, value) in env.iter().filter_map(|entry| valid_env(entry)) {
        match expected.iter_mut().find(|(known, _)| *known == key) {
            Some(entry) => entry.1 = value,
            None => expected.push((key, value)),
        }
    }
    let expected: String = expected
        .iter()
        .map(|(key, value)| format!("{key}={value}\0"))
        .collect();
    let hook = HookBuilder::default()
        .path("/usr/bin/env")
        .args(["env".to_owned(), "-0".to_owned()])
        .env(env)
        .build()
        .expect("all that is needed");
    assert_eq!(run(&hook, None), expected);
}

fn check_output(data: &[u8], repeat: usize) {
    let scratch = Scratch::new();
    let file = scratch.path().join("output");
    let output = data.repeat(repeat);
    fs::write(&file, &output).expect("a new file");
    let state = State {
        version: "1.2.0".to_owned(),
        id: String::from_utf8_lossy(data).into_owned(),
        status: ContainerState::Created,
        pid: 1,
        bundle: "/".to_owned(),
        annotations: Default::default(),
    };
    let written = [&output, state.to_json().as_bytes()].concat();
    let kept = &written[..written.len().min(LIMIT)];
    let mut expected = String::from_utf8_lossy(kept).into_owned();
    if written.len() > LIMIT {
        expected.push_str(&format!(" [cut: {} bytes more]", written.len() - LIMIT));
    }
    let path = file.to_str().expect("UTF-8").to_owned();
    let hook = HookBuilder::default()
        .path("/bin/cat")
        .args(["cat".to_owned(), path, "-".to_owned()])
        .build()
        .expect("all that is needed");
    assert_eq!(run(&hook, Some(state)), expected);
}

fuzz_target!(|data: &[u8]| {
    match data.split_first() {
        Some((b'e', rest)) => check_environment(&String::from_utf8_lossy(rest)),
        Some((repeat, rest)) => check_output(rest, usize::from(*repeat)),
        None => {}
    }
});
