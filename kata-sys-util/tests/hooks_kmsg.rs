//! Failures of hooks in a process without a logger: they go to the kernel's log.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod messages;

use std::fs;
use std::path::Path;

use kata_sys_util::hooks::HookStates;
use messages::messages_of;
use nix::mount::{MsFlags, mount};
use oci_spec::runtime::{Hook, HookBuilder};
use slog::Level;
use test_utils::isolate;
use test_utils::isolation::{Isolation, scratch};

const KERNEL_LOG: &str = "/dev/kmsg";

fn missing() -> Hook {
    HookBuilder::default().path("/no/such").build().unwrap()
}

#[test]
fn failure_goes_to_the_kernel_log_only_if_no_logger_takes_it() {
    isolate!(
        Isolation::new()
            .namespaces(libc::CLONE_NEWNS)
            .or_namespaces(libc::CLONE_NEWNS | libc::CLONE_NEWUSER)
    );
    if !Path::new(KERNEL_LOG).exists() {
        println!("INFO: skipping failures in the kernel's log: there is no {KERNEL_LOG}");
        return;
    }
    let log = scratch().join("kmsg");
    fs::write(&log, "").unwrap();
    let none = None::<&str>;
    mount(Some(&log), KERNEL_LOG, none, MsFlags::MS_BIND, none).unwrap();

    let messages = messages_of(|| HookStates::new().execute_hooks(&[missing()], None).unwrap());
    assert!(messages.iter().any(|(level, _)| *level == Level::Error));
    assert_eq!(fs::read_to_string(&log).unwrap(), "");

    // The global logger is one that discards everything.
    HookStates::new().execute_hooks(&[missing()], None).unwrap();
    assert_eq!(
        fs::read_to_string(&log).unwrap(),
        "kata-agent: hook failed: /no/such: path of hook \"/no/such\" does not exist"
    );
    // Whoever is given the failure needs no log.
    fs::write(&log, "").unwrap();
    let strict = HookStates::new().execute_hooks_strict(&[missing()], None);
    strict.unwrap_err();
    assert_eq!(fs::read_to_string(&log).unwrap(), "");
}
