use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use oci_spec::runtime::MountBuilder;
use tempfile::TempDir;

use super::*;

const TABLE: &str = r"/dev/sda1 / ext4 rw 0 0
tmpfs /v/kubernetes.io~empty-dir/memory tmpfs rw 0 0
none /v/kubernetes.io~empty-dir/huge hugetlbfs rw 0 0
/dev/sdb /v/kubernetes.io~empty-dir/disk xfs rw 0 0
tmpfs /v/kubernetes.io~empty-dir/stacked tmpfs rw 0 0
/dev/sdb /v/kubernetes.io~empty-dir/stacked ext4 rw 0 0
tmpfs /v/kubernetes.io~empty-dir/with\040space tmpfs rw 0 0
tmpfs /v/kubernetes.io~empty-dir/damaged
tmpfs /v/kubernetes.io~secret/token tmpfs rw 0 0
";

fn with_table(table: &str) -> (TempDir, SysRoot) {
    let dir = tempfile::tempdir().unwrap();
    let root = SysRoot::under(dir.path());
    fs::create_dir(&root.proc).unwrap();
    fs::write(root.proc.join("mounts"), table).unwrap();
    (dir, root)
}

fn volume(name: &str) -> String {
    format!("/v/kubernetes.io~empty-dir/{name}")
}

fn mount(typ: Option<&str>, source: Option<&OsStr>) -> Mount {
    let mut mount = MountBuilder::default()
        .destination("/data")
        .options(["rbind".to_owned(), "rw".to_owned()])
        .build()
        .unwrap();
    mount.set_typ(typ.map(str::to_owned));
    mount.set_source(source.map(Into::into));
    mount
}

/// The type that a mount of this type and source gets.
fn updated(root: &SysRoot, typ: &str, source: &str, disable: bool, mode: &str) -> String {
    let before = mount(Some(typ), Some(source.as_ref()));
    let mut spec = Spec::default();
    spec.set_mounts(Some(vec![before.clone()]));
    update_ephemeral_storage_type_in(root, &mut spec, disable, mode);
    let mut after = spec.mounts().clone().unwrap().remove(0);
    let typ = after.typ().clone().unwrap();
    after.set_typ(before.typ().clone());
    assert_eq!(after, before, "only the type may change");
    typ
}

#[test]
fn volume_is_ephemeral_if_it_is_a_bind_mount_of_a_tmpfs_empty_dir() {
    let (_dir, root) = with_table(TABLE);
    for (typ, source, expected) in [
        ("bind", volume("memory"), true),
        ("bind", volume("memory/"), true),
        ("bind", volume("/memory//"), true),
        ("bind", volume("with space"), true),
        ("bind", volume("huge"), false),
        ("bind", volume("disk"), false),
        ("bind", volume("stacked"), false),
        ("bind", volume("unmounted"), false),
        ("bind", volume("damaged"), false),
        ("bind", "/v/kubernetes.io~secret/token".to_owned(), false),
        ("bind", String::new(), false),
        ("rbind", volume("memory"), false),
        ("Bind", volume("memory"), false),
        ("tmpfs", volume("memory"), false),
    ] {
        let mount = mount(Some(typ), Some(source.as_ref()));
        assert_eq!(
            is_ephemeral_volume_in(&root, &mount),
            expected,
            "{typ} {source}"
        );
    }
    assert!(!is_ephemeral_volume_in(
        &root,
        &mount(None, Some(volume("memory").as_ref()))
    ));
    assert!(!is_ephemeral_volume_in(&root, &mount(Some("bind"), None)));
}

#[test]
fn volume_is_on_disk_in_memory_or_of_huge_pages_by_what_is_mounted_on_it() {
    #[derive(PartialEq)]
    enum Kind {
        Disk,
        Memory,
        HugePages,
    }
    use Kind::{Disk, HugePages, Memory};
    let (_dir, root) = with_table(TABLE);
    for (path, expected) in [
        (volume("unmounted"), Some(Disk)),
        (volume("disk"), Some(Disk)),
        (volume("disk//"), Some(Disk)),
        (volume("stacked"), Some(Disk)),
        (volume("memory"), Some(Memory)),
        (volume("memory/"), Some(Memory)),
        (volume("huge"), Some(HugePages)),
        (volume("with space"), Some(Memory)),
        (volume("damaged"), None),
        (volume("disk/below"), None),
        ("/v/kubernetes.io~empty-dir".to_owned(), None),
        ("kubernetes.io~empty-dir/relative".to_owned(), Some(Disk)),
        ("/v/kubernetes.io~secret/token".to_owned(), None),
        ("/".to_owned(), None),
        (String::new(), None),
    ] {
        let found = [
            is_host_empty_dir_in(&root, &path),
            is_non_tmpfs_empty_dir_in(&root, &path),
            is_hugepage_empty_dir_in(&root, &path),
        ];
        let on_disk = expected == Some(Disk);
        let of_huge_pages = expected == Some(HugePages);
        assert_eq!(
            found,
            [on_disk, on_disk || of_huge_pages, of_huge_pages],
            "{path}"
        );
    }
}

#[test]
fn nothing_is_known_without_a_mount_table() {
    let missing = SysRoot::under("/no/such/tree");
    assert!(!is_host_empty_dir_in(&missing, &volume("disk")));
    assert!(!is_non_tmpfs_empty_dir_in(&missing, &volume("disk")));
    assert!(!is_hugepage_empty_dir_in(&missing, &volume("huge")));
    let mount = mount(Some("bind"), Some(volume("memory").as_ref()));
    assert!(!is_ephemeral_volume_in(&missing, &mount));
    assert_eq!(
        updated(&missing, "bind", &volume("disk"), false, ""),
        "bind"
    );
}

#[test]
fn types_change_by_what_is_mounted_on_the_source() {
    let (_dir, root) = with_table(TABLE);
    for (typ, source, expected) in [
        ("bind", "memory", "ephemeral"),
        ("bind", "disk", "local"),
        ("bind", "unmounted", "local"),
        ("none", "unmounted", "local"),
        ("", "unmounted", "local"),
        ("none", "memory", "none"),
        ("bind", "huge", "bind"),
        ("bind", "damaged", "bind"),
        ("bind", "disk/below", "bind"),
        ("kata:guest-mount:x", "memory", "kata:guest-mount:x"),
        ("kata:guest-mount:x", "disk", "kata:guest-mount:x"),
        ("kata:guest-mount:", "disk", "local"),
    ] {
        let found = updated(&root, typ, &volume(source), false, "shared-fs");
        assert_eq!(found, expected, "{typ} {source}");
    }
}

#[test]
fn host_volumes_stay_if_disabled_or_encrypted() {
    let (_dir, root) = with_table(TABLE);
    for (disable, mode, disk) in [
        (false, "shared-fs", "local"),
        (false, "", "local"),
        (false, "Block-Encrypted", "local"),
        (false, "block-encrypted", "bind"),
        (true, "shared-fs", "bind"),
        (true, "block-encrypted", "bind"),
    ] {
        assert_eq!(
            updated(&root, "bind", &volume("disk"), disable, mode),
            disk,
            "{mode}"
        );
        let memory = updated(&root, "bind", &volume("memory"), disable, mode);
        assert_eq!(memory, "ephemeral", "{disable} {mode}");
    }
}

#[test]
fn mounts_without_source_or_type_and_specs_without_mounts_are_fine() {
    let (_dir, root) = with_table(TABLE);
    let mut spec = Spec::default();
    spec.set_mounts(Some(vec![
        mount(None, None),
        mount(Some("proc"), None),
        mount(None, Some(volume("disk").as_ref())),
        mount(
            Some("bind"),
            Some(OsStr::from_bytes(b"/v/kubernetes.io~empty-dir/\xff")),
        ),
    ]));
    update_ephemeral_storage_type_in(&root, &mut spec, false, "");
    let types: Vec<_> = spec
        .mounts()
        .iter()
        .flatten()
        .map(|m| m.typ().as_deref())
        .collect();
    assert_eq!(types, [None, Some("proc"), Some("local"), Some("local")]);

    spec.set_mounts(None);
    update_ephemeral_storage_type(&mut spec, false, "");
    assert_eq!(*spec.mounts(), None);
}

#[test]
fn kernel_is_asked_about_the_path_itself() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kubernetes.io~empty-dir/a b");
    fs::create_dir_all(&path).unwrap();
    let path = path.to_str().unwrap();
    assert!(is_host_empty_dir(path) && is_disk_empty_dir(path));
    assert!(is_non_tmpfs_empty_dir(path) && !is_hugepage_empty_dir(path));
    let mount = mount(Some("bind"), Some(path.as_ref()));
    assert!(!is_ephemeral_volume(&mount) && !is_tmpfs_empty_dir(&mount));
    // A directory that is gone has nothing mounted on it: the mount table decides.
    let missing = dir.path().join("kubernetes.io~empty-dir/missing");
    assert!(is_host_empty_dir(missing.to_str().unwrap()));
}
