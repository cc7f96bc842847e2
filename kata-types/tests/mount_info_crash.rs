//! A direct volume's mount record is whole at every moment, also when its writer is killed (D-16).
#![cfg(feature = "safe-path")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use kata_types::mount::{
    DirectVolumeMountInfo, add_volume_mount_info_in, get_volume_mount_info_in,
    is_volume_mounted_in, join_path,
};

const ROOT: &str = "KATA_TYPES_TEST_DIRECT_VOLUMES";
const VOLUME: &str = "/var/lib/kubelet/pods/1/volumes/v";

/// Two records of different sizes, larger than a page, so that a partial one would show.
fn records() -> [DirectVolumeMountInfo; 2] {
    [3000, 40_000].map(|size| DirectVolumeMountInfo {
        volume_type: "block".to_string(),
        device: format!("/dev/disk-{size}"),
        fs_type: "ext4".to_string(),
        metadata: [("key".to_string(), "v".repeat(size))].into(),
        ..Default::default()
    })
}

/// Not a test by itself: the process that the test below kills.
#[test]
fn writer() {
    let Some(root) = std::env::var_os(ROOT).map(PathBuf::from) else {
        return;
    };
    // Standard error is not captured by the test harness.
    let mut progress = std::io::stderr();
    for record in records().iter().cycle() {
        add_volume_mount_info_in(&root, VOLUME, record).unwrap();
        progress.write_all(b".").unwrap();
    }
}

fn start_writer(root: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["writer", "--exact", "--nocapture"])
        .env(ROOT, root)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn killed_writer_leaves_the_old_record_or_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let records = records();
    for round in 0..24 {
        let mut child = start_writer(&root);
        let mut progress = child.stderr.take().unwrap();
        // The volume exists from the first sign of progress on. How far the writer is within a
        // write when it is killed varies by itself.
        for _ in 0..=round % 5 {
            progress.read_exact(&mut [0]).unwrap();
            for _ in 0..20 {
                let record = get_volume_mount_info_in(&root, VOLUME).unwrap();
                assert!(records.contains(&record), "partial record while writing");
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();

        let record = get_volume_mount_info_in(&root, VOLUME).unwrap();
        assert!(records.contains(&record), "partial record after the kill");
        assert!(is_volume_mounted_in(&root, VOLUME));

        let volume = join_path(root.to_str().unwrap(), VOLUME).unwrap();
        let names: Vec<_> = std::fs::read_dir(&volume)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        // Nothing there could be taken for a sandbox id (M-15).
        assert_eq!(names, ["mountInfo.json"]);
        for entry in std::fs::read_dir(&root).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_string();
            assert!(path == volume || name.starts_with('.'), "{name}");
        }
        // The next writer is not disturbed by what was left behind.
        add_volume_mount_info_in(&root, VOLUME, &records[0]).unwrap();
        assert_eq!(get_volume_mount_info_in(&root, VOLUME).unwrap(), records[0]);
    }
}
