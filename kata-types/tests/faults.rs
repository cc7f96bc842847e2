//! Mount records of direct volumes, heads of disks and configurations while one system call or
//! allocation after the other fails: a file is the old one or the new one and never lost, and a
//! configuration is read whole or not at all.
#![cfg(feature = "safe-path")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use kata_types::config::TomlConfig;
use kata_types::gpt_disk::{ErofsLayer, generate_gpt_metadata, generate_padding_file};
use kata_types::mount::{
    DirectVolumeMountInfo, add_volume_mount_info_in, get_volume_mount_info_in,
    is_volume_mounted_in, join_path, remove_volume_path_in,
};
use test_utils::faults::{
    AllocationFault, Extent, FailingAllocator, Fault, at_every_allocation, at_every_call,
};
use test_utils::isolate;
use test_utils::isolation::{Isolation, scratch};

#[global_allocator]
static ALLOCATOR: FailingAllocator = FailingAllocator;

const VOLUME: &str = "/var/lib/kubelet/pods/1/volumes/v";

fn record(device: &str) -> DirectVolumeMountInfo {
    DirectVolumeMountInfo {
        volume_type: "block".to_owned(),
        device: device.to_owned(),
        fs_type: "ext4".to_owned(),
        ..Default::default()
    }
}

/// A directory that does not exist.
fn no_root() -> PathBuf {
    let root = scratch().join("parent/root");
    let _ = fs::remove_dir_all(scratch().join("parent"));
    root
}

/// One with a record.
fn old_root() -> PathBuf {
    let root = no_root();
    add_volume_mount_info_in(&root, VOLUME, &record("old")).unwrap();
    root
}

fn device(root: &Path) -> Option<String> {
    assert_eq!(
        get_volume_mount_info_in(root, VOLUME).is_ok(),
        is_volume_mounted_in(root, VOLUME)
    );
    Some(get_volume_mount_info_in(root, VOLUME).ok()?.device)
}

/// Whether the root has other files than volumes.
fn has_temporary(root: &Path) -> bool {
    let is_temporary =
        |entry: &fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(b".");
    let entries = fs::read_dir(root).into_iter().flatten();
    entries
        .map(Result::unwrap)
        .any(|entry| is_temporary(&entry))
}

fn add(root: &Path) -> anyhow::Result<()> {
    add_volume_mount_info_in(root, VOLUME, &record("new"))
}

#[test]
fn record_that_cannot_be_added_is_not_there_in_part() {
    isolate!(Isolation::new());
    at_every_call(
        "add_volume_mount_info",
        no_root,
        |root| add(root),
        |root, added, fault| {
            match device(root).as_deref() {
                Some("new") => {}
                found => {
                    assert_eq!(found, None);
                    assert!(fault.is_some() && added.is_err());
                }
            }
            let may_stay = |fault: &Fault| fault.concerns("unlink") || fault.concerns("unlinkat");
            assert!(!has_temporary(root) || fault.is_some_and(may_stay));
            add(root).unwrap();
            assert_eq!(device(root).as_deref(), Some("new"));
        },
    );
}

#[test]
fn record_that_cannot_be_replaced_stays() {
    isolate!(Isolation::new());
    let mut runs = 0;
    let mut syncs = Vec::new();
    at_every_call(
        "add_volume_mount_info, again",
        old_root,
        |root| add(root),
        |root, added, fault| {
            let found = device(root).unwrap();
            runs += 1;
            if let Some(fault) = fault
                && (fault.call, fault.error, fault.extent) == ("fsync", libc::EIO, Extent::Once)
            {
                assert!(added.is_err(), "{fault}");
                syncs.push((fault.nth, found.clone()));
            }
            match added {
                Ok(()) => assert_eq!(found, "new"),
                Err(error) => {
                    assert!(fault.is_some(), "{error}");
                    assert!(found == "old" || found == "new");
                }
            }
            let may_stay = |fault: &Fault| fault.concerns("unlink") || fault.concerns("unlinkat");
            assert!(!has_temporary(root) || fault.is_some_and(may_stay));
        },
    );
    // The file is on the disk before it replaces the old one; then the directory, and the root.
    let expected = [(1, "old"), (2, "new"), (3, "new")].map(|(n, found)| (n, found.to_owned()));
    assert!(runs == 0 || syncs == expected, "{syncs:?}");
    at_every_allocation(
        "add_volume_mount_info, again",
        old_root,
        |root| drop(add(root)),
        |root, end| {
            let found = device(root).unwrap();
            match end {
                AllocationFault::None => assert_eq!(found, "new"),
                _ => assert!(found == "old" || found == "new"),
            }
        },
    );
}

#[test]
fn record_that_cannot_be_read_is_an_error_and_taken_for_present() {
    isolate!(Isolation::new());
    at_every_call(
        "get_volume_mount_info",
        old_root,
        |root| get_volume_mount_info_in(root, VOLUME),
        |_, found, fault| match found {
            Ok(found) => assert_eq!(found.device, "old"),
            Err(error) => assert!(fault.is_some(), "{error}"),
        },
    );
    at_every_call(
        "is_volume_mounted",
        old_root,
        |root| is_volume_mounted_in(root, VOLUME),
        |_, is_mounted, fault| assert!(is_mounted, "{fault:?}"),
    );
}

#[test]
fn directory_of_a_volume_is_the_same_or_an_error() {
    isolate!(Isolation::new());
    let root = old_root();
    let prefix = root.to_str().unwrap();
    let directory = join_path(prefix, VOLUME).unwrap();
    assert!(directory.join("mountInfo.json").is_file());
    at_every_call(
        "join_path",
        || (),
        |()| join_path(prefix, VOLUME),
        |(), joined, fault| match joined {
            Ok(joined) => assert_eq!(joined, directory),
            Err(error) => assert!(fault.is_some(), "{error}"),
        },
    );
    at_every_allocation(
        "join_path",
        || (),
        |()| assert!(join_path(prefix, VOLUME).is_ok_and(|joined| joined == directory)),
        |(), _| (),
    );
}

/// What is in the directory of a volume beside its record, and a file that it only leads to.
struct Volume {
    root: PathBuf,
    directory: PathBuf,
}

const FILES: [(&str, &str); 3] = [
    ("sandbox", "1"),
    ("nested/first", "2"),
    ("nested/deep/second", "3"),
];
const NEIGHBOUR: &str = "/var/lib/kubelet/pods/2/volumes/v";

impl Volume {
    fn with_files() -> Self {
        let root = old_root();
        let directory = join_path(root.to_str().unwrap(), VOLUME).unwrap();
        fs::create_dir_all(directory.join("nested/deep")).unwrap();
        for (name, text) in FILES {
            fs::write(directory.join(name), text).unwrap();
        }
        let outside = root.with_file_name("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "kept").unwrap();
        symlink(&outside, directory.join("nested/link")).unwrap();
        add_volume_mount_info_in(&root, NEIGHBOUR, &record("neighbour")).unwrap();
        Self { root, directory }
    }

    fn remove(&mut self) -> anyhow::Result<()> {
        remove_volume_path_in(&self.root, VOLUME)
    }

    /// Each file is whole or gone, and nothing else has been touched.
    fn check_rest(&self) {
        let found = device(&self.root);
        assert!(
            found.is_none() || found.as_deref() == Some("old"),
            "{found:?}"
        );
        for (name, text) in FILES {
            match fs::read_to_string(self.directory.join(name)) {
                Ok(found) => assert_eq!(found, text),
                Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
            }
        }
        let outside = self.root.with_file_name("outside/file");
        assert_eq!(fs::read_to_string(outside).unwrap(), "kept");
        let neighbour = get_volume_mount_info_in(&self.root, NEIGHBOUR).unwrap();
        assert_eq!(neighbour.device, "neighbour");
    }

    fn is_gone(&self) -> bool {
        assert_eq!(fs::read_dir(&self.root).unwrap().count(), {
            1 + usize::from(self.directory.exists())
        });
        !self.directory.exists()
    }

    fn can_be_removed(&mut self) {
        self.check_rest();
        self.remove().unwrap();
        assert!(self.is_gone());
        self.check_rest();
    }
}

#[test]
fn volume_that_cannot_be_removed_is_an_error_and_can_be_removed_again() {
    isolate!(Isolation::new());
    at_every_call(
        "remove_volume_path",
        Volume::with_files,
        Volume::remove,
        |volume, removed, fault| {
            match removed {
                Ok(()) => assert!(volume.is_gone(), "{fault:?}"),
                Err(error) => {
                    assert!(fault.is_some(), "{error}");
                    assert!(!volume.is_gone(), "{error}");
                }
            }
            volume.can_be_removed();
        },
    );
    at_every_allocation(
        "remove_volume_path",
        Volume::with_files,
        |volume| drop(volume.remove()),
        |volume, end| {
            assert!(volume.is_gone() || end != AllocationFault::None);
            volume.can_be_removed();
        },
    );
}

/// A container's directory with the files of an earlier disk.
fn disk() -> PathBuf {
    let directory = scratch().join("container");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir(&directory).unwrap();
    generate(&directory, "old").unwrap();
    directory
}

fn generate(directory: &Path, layer: &str) -> anyhow::Result<()> {
    let layer = ErofsLayer {
        path: format!("/snapshots/{layer}/layer.erofs"),
        size_sectors: 4096,
        snapshot_id: layer.to_owned(),
    };
    generate_gpt_metadata("sandbox", "container", vec![layer], directory)?;
    Ok(())
}

#[test]
fn head_of_a_disk_is_the_old_one_or_the_new_one() {
    isolate!(Isolation::new());
    let head = |directory: &Path| fs::read(directory.join("gpt_meta_head.img")).unwrap();
    let old = head(&disk());
    let directory = disk();
    generate(&directory, "new").unwrap();
    let new = head(&directory);
    assert_ne!(old, new);
    at_every_call(
        "generate_gpt_metadata",
        disk,
        |directory| generate(directory, "new"),
        |directory, made, fault| {
            let found = head(directory);
            match made {
                Ok(()) => assert!(found == new),
                Err(error) => {
                    assert!(fault.is_some(), "{error}");
                    assert!(found == old || found == new, "{fault:?}");
                }
            }
            let may_stay = |fault: &Fault| fault.concerns("unlink") || fault.concerns("unlinkat");
            let files = fs::read_dir(&*directory).unwrap().count();
            assert!(files == 1 || fault.is_some_and(may_stay), "{fault:?}");
        },
    );
}

#[test]
fn padding_is_whole_or_not_there() {
    isolate!(Isolation::new());
    at_every_call(
        "generate_padding_file",
        || disk().join("pad"),
        |path| generate_padding_file(path, 3),
        |path, made, fault| match made {
            Ok(sectors) => {
                assert_eq!(sectors, 3);
                assert_eq!(fs::read(path).unwrap(), [0; 3 * 512]);
            }
            Err(error) => {
                assert!(fault.is_some(), "{error}");
                let size = fs::metadata(&*path).map(|metadata| metadata.len());
                assert!(matches!(size, Ok(1536) | Err(_)), "{fault:?}: {size:?}");
            }
        },
    );
}

#[test]
fn configuration_is_read_whole_or_not_at_all() {
    isolate!(Isolation::new());
    let directory = scratch();
    let file = directory.join("configuration.toml");
    fs::write(
        &file,
        "[runtime]\nname = 'base'\nsandbox_bind_mounts = ['/a']\n",
    )
    .unwrap();
    fs::create_dir(directory.join("config.d")).unwrap();
    for (number, text) in ["disable_new_netns = true", "name = 'last'"]
        .iter()
        .enumerate()
    {
        let drop_in = directory.join(format!("config.d/{number}.toml"));
        fs::write(drop_in, format!("[runtime]\n{text}\n")).unwrap();
    }
    at_every_call(
        "load_raw_from_file",
        || (),
        |()| TomlConfig::load_raw_from_file(&file),
        |(), loaded, fault| match loaded {
            Ok((config, _)) => {
                let runtime = &config.runtime;
                assert_eq!(runtime.sandbox_bind_mounts, ["/a"], "{fault:?}");
                assert!(runtime.disable_new_netns, "{fault:?}");
                assert_eq!(runtime.name, "last", "{fault:?}");
            }
            Err(error) => assert!(fault.is_some(), "{error}"),
        },
    );
}
