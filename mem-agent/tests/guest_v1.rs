//! The agent on a real kernel with memory cgroups of version 1.
//!
//! Their hierarchy has no pressure files: those of a hierarchy of version 2 beside it are used, as
//! systemd mounts it in its hybrid mode.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    reason = "tests"
)]

mod common;
mod guest;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use common::{compact_off, eager, memcg_config};
use guest::{Cgroup, FastLru, agent_for, agings, stalling_cgroup_is_passed_over, tireless, until};
use mem_agent::agent::MemAgent;
use test_utils::skip_if_not_guest;

/// 8 MiB.
const PAGES: u64 = 2048;

/// Mounts the hierarchy of version 2. Returns what an agent says before.
static ERROR_WITHOUT_PRESSURE: LazyLock<String> = LazyLock::new(|| {
    let error = MemAgent::new(memcg_config(eager()), compact_off()).unwrap_err();
    let unified = Path::new("/sys/fs/cgroup/unified");
    fs::create_dir(unified).unwrap();
    let mut mount = Command::new("/bin/mount");
    mount.args(["-t", "cgroup2", "cgroup2"]).arg(unified);
    assert!(mount.status().unwrap().success());
    error.to_string()
});

/// P1.
#[test]
fn missing_pressure_files_are_an_error() {
    skip_if_not_guest!();
    let error = &*ERROR_WITHOUT_PRESSURE;
    assert!(error.contains("find_psi_subdirs failed"), "{error}");
}

#[test]
fn cold_pages_are_evicted() {
    skip_if_not_guest!();
    LazyLock::force(&ERROR_WITHOUT_PRESSURE);
    let cgroup = Cgroup::with_cold_file("cold", PAGES);
    let lru = FastLru::instant();
    let (_agent, _guard) = agent_for(&lru, &[(&cgroup, tireless())]);
    until("half has been evicted", || cgroup.pages() <= PAGES / 2);
}

/// M5.
#[test]
fn cgroup_that_stalls_is_passed_over() {
    skip_if_not_guest!();
    LazyLock::force(&ERROR_WITHOUT_PRESSURE);
    stalling_cgroup_is_passed_over();
}

/// M5: what cannot be known to be without pressure is left alone.
#[test]
fn cgroup_without_pressure_files_is_passed_over_until_it_has_them() {
    skip_if_not_guest!();
    LazyLock::force(&ERROR_WITHOUT_PRESSURE);
    let cgroup = Cgroup::without_pressure("memory-only");
    cgroup.read_file(PAGES);
    let other = Cgroup::new("beside-memory-only");
    let lru = FastLru::instant();
    let (agent, _guard) = agent_for(&lru, &[(&cgroup, tireless()), (&other, tireless())]);
    until("there have been three runs", || agings(&agent, &other) >= 3);
    assert_eq!(agings(&agent, &cgroup), 0);
    assert!(cgroup.pages() >= PAGES);
    fs::create_dir("/sys/fs/cgroup/unified/pod/memory-only").unwrap();
    until("half has been evicted", || cgroup.pages() <= PAGES / 2);
}
