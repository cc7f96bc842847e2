use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::testing::names;

const VOLUME: &str = "/var/lib/kubelet/pods/1/volumes/v";

fn info(device: &str) -> DirectVolumeMountInfo {
    DirectVolumeMountInfo {
        volume_type: "block".to_string(),
        device: device.to_string(),
        fs_type: "ext4".to_string(),
        ..Default::default()
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn volume_path_becomes_one_name_below_the_prefix() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    for (volume, name) in [
        ("../../etc/passwd", "Li4vLi4vZXRjL3Bhc3N3ZA=="),
        ("..", "Li4="),
        ("/a>>?", "L2E-Pj8="),
        ("/a", "L2E="),
    ] {
        let path = join_path(root.to_str().unwrap(), volume).unwrap();
        assert_eq!(path, root.join(name), "{volume}");
    }
}

#[test]
fn empty_overlong_and_unresolvable_paths_do_not_join() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().to_str().unwrap();
    let error = join_path(root, "").unwrap_err();
    assert_eq!(error.to_string(), anyhow!(ErrorKind::NotFound).to_string());
    assert_eq!(error.to_string(), "entity not found");
    assert!(join_path(root, &"v".repeat(189)).is_ok());
    let error = join_path(root, &"v".repeat(190)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "volume path is too long: its encoding has 256 bytes, at most 255 are possible"
    );
    let error = join_path("/no/such/root", "v").unwrap_err();
    assert!(error.to_string().contains("/no/such/root"), "{error}");
}

#[test]
fn record_is_private_and_replaces_the_earlier_one() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("a/b");
    add_volume_mount_info_in(&root, VOLUME, &info("/dev/sda")).unwrap();
    let volume = volume_directory(&root, &directory_name(VOLUME).unwrap()).unwrap();
    for directory in [&dir.path().join("a"), &root, &volume] {
        assert_eq!(mode(directory), 0o700, "{}", directory.display());
    }
    assert_eq!(mode(&volume.join("mountInfo.json")), 0o600);
    add_volume_mount_info_in(&root, VOLUME, &info("/dev/sdb")).unwrap();
    assert_eq!(
        get_volume_mount_info_in(&root, VOLUME).unwrap(),
        info("/dev/sdb")
    );
    assert_eq!(names(&volume), ["mountInfo.json"]);
    assert_eq!(names(&root).len(), 1);
}

#[test]
fn existing_directories_keep_their_mode_and_content() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let volume = dir.path().join(directory_name(VOLUME).unwrap());
    fs::create_dir(&volume).unwrap();
    fs::set_permissions(&volume, fs::Permissions::from_mode(0o750)).unwrap();
    fs::write(volume.join("sandbox-1"), "").unwrap();
    add_volume_mount_info_in(dir.path(), VOLUME, &info("d")).unwrap();
    assert_eq!((mode(dir.path()), mode(&volume)), (0o755, 0o750));
    assert_eq!(names(&volume), ["mountInfo.json", "sandbox-1"]);
}

#[test]
fn record_that_could_not_be_read_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut large = info("d");
    large.fs_type = String::new();
    let room = (1 << 20) - serde_json::to_vec(&large).unwrap().len();
    large.fs_type = "f".repeat(room);
    add_volume_mount_info_in(dir.path(), VOLUME, &large).unwrap();
    assert_eq!(get_volume_mount_info_in(dir.path(), VOLUME).unwrap(), large);
    let before = large.clone();
    large.fs_type.push('f');
    let error = add_volume_mount_info_in(dir.path(), VOLUME, &large).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("mount record of {VOLUME} has 1048577 bytes, at most 1048576 are possible")
    );
    assert_eq!(
        get_volume_mount_info_in(dir.path(), VOLUME).unwrap(),
        before
    );
}

#[test]
fn link_in_place_of_the_record_is_replaced_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let volume = dir.path().join(directory_name(VOLUME).unwrap());
    fs::create_dir(&volume).unwrap();
    let victim = dir.path().join(".victim");
    fs::write(&victim, "keep").unwrap();
    symlink(&victim, volume.join("mountInfo.json")).unwrap();
    add_volume_mount_info_in(dir.path(), VOLUME, &info("d")).unwrap();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "keep");
    assert_eq!(
        get_volume_mount_info_in(dir.path(), VOLUME).unwrap(),
        info("d")
    );
}

#[test]
fn reading_fails_on_missing_and_malformed_records() {
    let dir = tempfile::tempdir().unwrap();
    assert!(get_volume_mount_info_in(&dir.path().join("none"), VOLUME).is_err());
    assert!(get_volume_mount_info_in(dir.path(), VOLUME).is_err());
    assert!(get_volume_mount_info_in(dir.path(), "").is_err());
    let volume = dir.path().join(directory_name(VOLUME).unwrap());
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("mountInfo.json"), "{").unwrap();
    let error = get_volume_mount_info_in(dir.path(), VOLUME).unwrap_err();
    assert!(error.to_string().starts_with("parse "), "{error}");
    fs::write(volume.join("mountInfo.json"), vec![b' '; (1 << 20) + 1]).unwrap();
    let error = get_volume_mount_info_in(dir.path(), VOLUME).unwrap_err();
    assert!(format!("{error:#}").ends_with("larger than 1048576 bytes"));
}

#[test]
fn volume_is_mounted_iff_its_record_exists() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    assert!(!is_volume_mounted_in(&root.join("none"), VOLUME));
    assert!(!is_volume_mounted_in(root, VOLUME));
    assert!(!is_volume_mounted_in(root, ""));
    assert!(!is_volume_mounted_in(root, &"v".repeat(190)));
    let volume = root.join(directory_name(VOLUME).unwrap());
    fs::write(&volume, "").unwrap();
    assert!(!is_volume_mounted_in(root, VOLUME), "not a directory");
    fs::remove_file(&volume).unwrap();
    fs::create_dir(&volume).unwrap();
    assert!(!is_volume_mounted_in(root, VOLUME));
    fs::write(volume.join("mountInfo.json"), "").unwrap();
    assert!(is_volume_mounted_in(root, VOLUME), "malformed");
    fs::remove_file(volume.join("mountInfo.json")).unwrap();
    fs::create_dir(volume.join("mountInfo.json")).unwrap();
    assert!(is_volume_mounted_in(root, VOLUME), "not a file");
    fs::remove_dir(volume.join("mountInfo.json")).unwrap();
    add_volume_mount_info_in(root, VOLUME, &info("d")).unwrap();
    assert!(is_volume_mounted_in(root, VOLUME));
}

#[test]
fn volume_that_cannot_be_examined_counts_as_mounted() {
    test_utils::skip_if_root!();
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    add_volume_mount_info_in(&root, VOLUME, &info("d")).unwrap();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o000)).unwrap();
    assert!(is_volume_mounted_in(&root, VOLUME));
    fs::set_permissions(&root, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn removal_takes_everything_and_is_idempotent() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    remove_volume_path_in(&root, VOLUME).unwrap();
    add_volume_mount_info_in(&root, VOLUME, &info("d")).unwrap();
    let volume = root.join(directory_name(VOLUME).unwrap());
    fs::write(volume.join("sandbox-1"), "").unwrap();
    remove_volume_path_in(&root, VOLUME).unwrap();
    assert!(names(&root).is_empty());
    remove_volume_path_in(&root, VOLUME).unwrap();
    let error = remove_volume_path_in(&root, "").unwrap_err();
    let error = error.downcast_ref::<io::Error>().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn removal_of_a_link_spares_its_target() {
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("keep"), "").unwrap();
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    symlink(&other, root.join(directory_name(VOLUME).unwrap())).unwrap();
    remove_volume_path_in(&root, VOLUME).unwrap();
    assert!(names(&root).is_empty());
    assert_eq!(names(&other), ["keep"]);
}
