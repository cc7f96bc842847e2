//! What other programs make of the disks that `gpt_disk` describes.
//!
//! Needs `sgdisk` (package gdisk), and `sfdisk` and `partx` (packages fdisk, util-linux).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "tests"
)]

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kata_types::gpt_disk::{
    ErofsLayer, GptDiskLayout, generate_gpt_metadata, generate_padding_file,
};

/// A disk put together as the runtime does it: head, then per layer padding and layer.
fn build_disk(directory: &Path, sizes: &[u64]) -> (PathBuf, GptDiskLayout) {
    let layers = sizes
        .iter()
        .enumerate()
        .map(|(n, size_sectors)| ErofsLayer {
            path: format!("/snapshots/{n}/layer.erofs"),
            size_sectors: *size_sectors,
            snapshot_id: n.to_string(),
        })
        .collect();
    let (layout, files) = generate_gpt_metadata("sandbox", "container", layers, directory).unwrap();
    let path = directory.join("disk.img");
    let mut content = fs::read(&files.head_path).unwrap();
    for (n, partition) in layout.partitions.iter().enumerate() {
        let gap = partition.start_lba - content.len() as u64 / 512;
        if gap > 0 {
            let padding = directory.join(format!("pad-{n}.img"));
            generate_padding_file(&padding, gap).unwrap();
            content.extend(fs::read(&padding).unwrap());
        }
        content.extend(vec![
            b'x';
            usize::try_from(partition.layer.size_sectors).unwrap()
                * 512
        ]);
    }
    assert_eq!(content.len() as u64, layout.total_sectors * 512);
    fs::write(&path, content).unwrap();
    (path, layout)
}

/// The output of a program, or `None`, loudly, when it is not installed.
fn run(program: &str, arguments: &[&str], disk: &Path) -> Option<(Output, String)> {
    for directory in ["/usr/sbin", "/sbin", "/usr/bin", "/bin"] {
        let path = Path::new(directory).join(program);
        if path.exists() {
            let output = Command::new(path)
                .args(arguments)
                .arg(disk)
                .env("LC_ALL", "C.UTF-8")
                .output()
                .unwrap();
            let text = format!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            return Some((output, text));
        }
    }
    println!("INFO: skipping a check with {program}, which is not installed");
    None
}

#[test]
fn sgdisk_finds_fault_with_the_missing_backup_only() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, _) = build_disk(dir.path(), &[3000, 8, 4096]);
    let Some((_, text)) = run("sgdisk", &["-v"], &disk) else {
        return;
    };
    assert!(text.contains("Main header: OK"), "{text}");
    assert!(text.contains("Main partition table: OK"), "{text}");
    assert!(text.contains("Backup header: ERROR"), "{text}");
    for problem in text.split("Problem: ").skip(1) {
        assert!(
            problem.starts_with("The secondary header's self-pointer")
                || problem.starts_with("Disk is too small to hold all the data!")
                || problem.starts_with("The backup partition table overlaps the backup header"),
            "{problem}"
        );
    }
}

#[test]
fn sgdisk_is_content_once_the_disk_has_a_backup() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, layout) = build_disk(dir.path(), &[3000, 8, 4096]);
    // Room for the backup that the virtual disk does without; `-e` writes it from the main table.
    let file = OpenOptions::new().write(true).open(&disk).unwrap();
    file.set_len((layout.total_sectors + 2048) * 512).unwrap();
    if run("sgdisk", &["-e"], &disk).is_none() {
        return;
    }
    let (output, text) = run("sgdisk", &["-v"], &disk).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("No problems found"), "{text}");
}

#[test]
fn sfdisk_lists_every_partition() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, layout) = build_disk(dir.path(), &[3000, 8, 4096]);
    let Some((output, text)) = run("sfdisk", &["--dump"], &disk) else {
        return;
    };
    assert!(output.status.success(), "{text}");
    assert!(text.contains("label: gpt"), "{text}");
    assert!(text.contains("first-lba: 34"), "{text}");
    let last = layout.total_sectors - 1;
    assert!(text.contains(&format!("last-lba: {last}")), "{text}");
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("start="))
        .collect();
    assert_eq!(lines.len(), layout.partitions.len(), "{text}");
    for (partition, line) in layout.partitions.iter().zip(lines) {
        let line = line.replace(' ', "");
        for field in [
            format!("disk.img{}:", partition.partition_number),
            format!("start={},", partition.start_lba),
            format!("size={},", partition.layer.size_sectors),
            "type=0FC63DAF-8483-4772-8E79-3D69D8477DE4,".to_string(),
            format!("name=\"{}\"", partition.name),
        ] {
            assert!(line.contains(&field), "{field} not in {line}");
        }
    }
}

#[test]
fn libblkid_reads_all_128_partitions() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, layout) = build_disk(dir.path(), &[1; 128]);
    let Some((output, text)) = run("partx", &["-r", "-g", "-o", "NR,START,END,NAME"], &disk) else {
        return;
    };
    assert!(output.status.success(), "{text}");
    let expected: Vec<String> = layout
        .partitions
        .iter()
        .map(|p| {
            format!(
                "{} {} {} {}",
                p.partition_number, p.start_lba, p.end_lba, p.name
            )
        })
        .collect();
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn tools_notice_a_damaged_table() {
    // The checks above could not fail if the tools accepted everything.
    let dir = tempfile::tempdir().unwrap();
    let (disk, _) = build_disk(dir.path(), &[3000]);
    let file = OpenOptions::new().write(true).open(&disk).unwrap();
    file.write_all_at(&[0xff], 512 + 40).unwrap();
    if let Some((_, text)) = run("sgdisk", &["-v"], &disk) {
        assert!(!text.contains("Main header: OK"), "{text}");
    }
}
