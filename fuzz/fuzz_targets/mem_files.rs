//! Pressure files, `/proc/pagetypeinfo`, `/proc/meminfo` and `memory.stat`: the same bytes for all
//! parsers, and in files for those that have no other way in.
//!
//! * Every number is the one that a slow model finds.
//! * In files: of a long one, the whole lines count; a number fills its file; the switch of MGLRU is
//!   set to all features unless it says so already, or is no number.
#![no_main]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use kata_libs_fuzz::mem_files::{
    beginning, file_number, meminfo, memory_stat, pagetypeinfo, pressure, switch,
};
use libfuzzer_sys::fuzz_target;
use mem_agent::env::{CgroupVersion, Env, LruGen};
use mem_agent::memcg::Actuator;
use mem_agent::testing::{
    Protection, host, parse_meminfo, parse_memory_stat, parse_pagetypeinfo, parse_pressure,
};

fn check_parsers(data: &[u8]) {
    assert_eq!(parse_pressure(data).ok(), pressure(data));
    for key in ["MemFree:", "SwapFree:"] {
        assert_eq!(parse_meminfo(data, key).ok(), meminfo(data, key));
    }
    assert_eq!(parse_memory_stat(data), memory_stat(data));
    if let Ok(text) = std::str::from_utf8(data) {
        for order in [0, 1, 2, 3, 4, 9, 11, 70, 255] {
            let found = parse_pagetypeinfo(text, order);
            assert_eq!(found, pagetypeinfo(text, order), "order {order}");
        }
    }
}

struct NoLruGen;

impl LruGen for NoLruGen {
    fn read(&self) -> io::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn command(&self, _: &str) -> io::Result<()> {
        Ok(())
    }
}

/// The tree that the files are in: their directories are made once.
static TREE: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a directory for temporary files");
    let path = dir.path().canonicalize().expect("it is there");
    for directory in ["proc", "sys/fs/cgroup", "sys/kernel/mm/lru_gen", "psi"] {
        fs::create_dir_all(path.join(directory)).expect("a new directory");
    }
    (dir, path)
});

const FILES: [&str; 8] = [
    "proc/meminfo",
    "sys/fs/cgroup/memory.current",
    "sys/fs/cgroup/memory.low",
    "sys/fs/cgroup/memory.min",
    "sys/fs/cgroup/memory.stat",
    "sys/kernel/mm/lru_gen/enabled",
    "psi/memory.pressure",
    "psi/io.pressure",
];

fn check_files(root: &Path, data: &[u8]) {
    for file in FILES {
        fs::write(root.join(file), data).expect("a file");
    }
    let host = host(Env {
        proc_root: root.join("proc"),
        sys_root: root.join("sys"),
        cgroup: CgroupVersion::V2,
        lru_gen: Some(Arc::new(NoLruGen)),
        ..Env::default()
    });
    let psi = root.join("psi");
    let whole = beginning(data);
    let free = meminfo(whole, "SwapFree:");
    assert_eq!(host.swap_free_kb().ok(), free);
    let totals = host.pressure(&psi, "/").map(|pressure| pressure.total);
    let total = pressure(whole);
    assert_eq!(totals.map(|t| (t.memory, t.io)).ok(), total.zip(total));

    let probed = host.probe(&psi, Actuator::LruGen);
    let enabled = fs::read(root.join("sys/kernel/mm/lru_gen/enabled")).expect("a file");
    match switch(data) {
        Some(7) => assert_eq!(enabled, data),
        Some(_) => assert_eq!(enabled, b"7"),
        None => {
            assert_eq!(enabled, data);
            return assert!(probed.is_err());
        }
    }
    assert_eq!(probed.expect("all is there"), psi);
    let number = file_number(data);
    assert_eq!(host.memory_current("/"), number);
    assert_eq!(host.memory_stat("/"), Some(memory_stat(whole)));
    let protection = match number {
        Some(0) => None,
        Some(number) => Some(Protection {
            current: number,
            min: number,
            low: number,
        }),
        // What cannot be read may protect all.
        None => Some(Protection {
            current: 0,
            min: u64::MAX,
            low: u64::MAX,
        }),
    };
    assert_eq!(host.protection("/"), protection);
}

fuzz_target!(|data: &[u8]| {
    check_parsers(data);
    // Files take their time: those that numbers fill, and those that are cut off.
    if data.len() <= 48 || data.len() > 8100 {
        check_files(&TREE.1, data);
    }
});
