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

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::{Path, PathBuf};
use std::ptr::null;

use kata_sys_util::hooks::HookStates;
use messages::messages_of;
use nix::mount::{MsFlags, mount};
use oci_spec::runtime::{Hook, HookBuilder};
use slog::Level;
use test_utils::isolate;
use test_utils::isolation::Isolation;

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
    let Ok(mut log) = Terminal::open() else {
        println!("INFO: skipping failures in the kernel's log: there are no pseudo-terminals");
        return;
    };
    let none = None::<&str>;
    mount(Some(&log.path()), KERNEL_LOG, none, MsFlags::MS_BIND, none).unwrap();

    let messages = messages_of(|| HookStates::new().execute_hooks(&[missing()], None).unwrap());
    assert!(messages.iter().any(|(level, _)| *level == Level::Error));
    assert_eq!(log.take(), "");

    // The global logger is one that discards everything.
    HookStates::new().execute_hooks(&[missing()], None).unwrap();
    assert_eq!(
        log.take(),
        "kata-agent: hook failed: /no/such: path of hook \"/no/such\" does not exist"
    );
    // Whoever is given the failure needs no log.
    let strict = HookStates::new().execute_hooks_strict(&[missing()], None);
    strict.unwrap_err();
    assert_eq!(log.take(), "");
}

/// A character device that keeps what is written to it.
struct Terminal {
    controller: File,
    device: File,
}

impl Terminal {
    const END: &str = "<end>";

    fn open() -> io::Result<Self> {
        let (mut controller, mut device) = (-1, -1);
        let no_name = std::ptr::null_mut();
        // SAFETY: two integers to be filled; the other arguments may be null.
        match unsafe { libc::openpty(&mut controller, &mut device, no_name, null(), null()) } {
            0 => Ok(Self {
                // SAFETY: the call has just made it, and nobody else knows it.
                controller: unsafe { File::from_raw_fd(controller) },
                // SAFETY: as above.
                device: unsafe { File::from_raw_fd(device) },
            }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn path(&self) -> PathBuf {
        fs::read_link(format!("/proc/self/fd/{}", self.device.as_raw_fd())).unwrap()
    }

    /// All that was written since the last time.
    fn take(&mut self) -> String {
        self.device.write_all(Self::END.as_bytes()).unwrap();
        let mut text = String::new();
        loop {
            let mut buffer = [0; 1024];
            let length = self.controller.read(&mut buffer).unwrap();
            text += std::str::from_utf8(&buffer[..length]).unwrap();
            if let Some(text) = text.strip_suffix(Self::END) {
                return text.to_owned();
            }
        }
    }
}
