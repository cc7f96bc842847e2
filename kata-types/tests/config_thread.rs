//! Loading in a thread that has its own table of descriptors.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs,
    reason = "tests"
)]

use std::fs::{self, File};
use std::io;

use kata_types::config::TomlConfig;

/// Gives the calling thread a copy of the descriptors, whatever other threads do with theirs.
fn leave_the_shared_descriptors() -> io::Result<()> {
    // SAFETY: the call takes no pointers, and descriptors are only copied.
    match unsafe { libc::unshare(libc::CLONE_FILES) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[test]
fn a_file_is_named_by_the_descriptor_of_its_thread() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    for name in ["real", "other"] {
        fs::create_dir_all(root.join(name).join("config.d")).unwrap();
        fs::write(root.join(name).join("c.toml"), "[runtime]\n").unwrap();
        let text = format!("runtime.name = '{name}'\n");
        fs::write(root.join(name).join("config.d/10"), text).unwrap();
    }
    let link = root.join("link.toml");
    std::os::unix::fs::symlink("real/c.toml", &link).unwrap();

    // Takes the lowest free numbers, which become free again, but in the thread only.
    let others: Vec<File> = (0..16)
        .map(|_| File::open(root.join("other/c.toml")).unwrap())
        .collect();
    let (config, path) = std::thread::spawn(move || {
        leave_the_shared_descriptors().unwrap();
        drop(others);
        TomlConfig::load_raw_from_file(&link).unwrap()
    })
    .join()
    .unwrap();
    assert_eq!(path, root.join("real/c.toml"));
    assert_eq!(config.runtime.name, "real");
}
