//! What a Kubernetes `emptyDir` volume is made of, and which kind of mount that becomes.
//!
//! The kubelet makes an
//! [`emptyDir`](https://kubernetes.io/docs/concepts/storage/volumes/#emptydir) volume as a directory
//! named `…/volumes/kubernetes.io~empty-dir/NAME`: a plain one on a disk of the node, or one with a
//! [tmpfs](https://docs.kernel.org/filesystems/tmpfs.html) (`medium: Memory`) or
//! [hugetlbfs](https://docs.kernel.org/admin-guide/mm/hugetlbpage.html)
//! (`medium: HugePages`) mounted on it.
//!
//! # How that is found out
//!
//! The name is tested first. Then the kernel is asked about this one path
//! ([`statx(2)`](https://man7.org/linux/man-pages/man2/statx.2.html) and
//! [`statfs(2)`](https://man7.org/linux/man-pages/man2/statfs.2.html), Linux 5.8), so that
//! the cost does not depend on how many mounts the node has. Where it does not tell, the mount table
//! is read, once for all mounts of a container. The functions `*_in` go by the mount table alone.

mod mounted;

use std::path::Path;

use kata_types::config::EMPTYDIR_MODE_BLOCK_ENCRYPTED;
use kata_types::mount::{
    KATA_EPHEMERAL_VOLUME_TYPE, KATA_K8S_LOCAL_STORAGE_TYPE, is_kata_guest_mount_volume,
};
use oci_spec::runtime::{Mount, Spec};

use self::mounted::{Mounted, Mounts};
use crate::SysRoot;

pub use kata_types::k8s::is_empty_dir;

/// The type of a mount that shows a directory of the host.
const BIND: &str = "bind";

/// Whether a mount is an `emptyDir` volume in memory: a bind mount whose source is an `emptyDir`
/// directory ([`is_empty_dir`]) with a tmpfs mounted on it.
///
/// ```
/// use kata_sys_util::k8s::is_ephemeral_volume;
/// use oci_spec::runtime::MountBuilder;
///
/// let mount = MountBuilder::default()
///     .destination("/cache")
///     .typ("bind")
///     .source("/dev/shm") // a tmpfs, but no emptyDir
///     .build()?;
/// assert!(!is_ephemeral_volume(&mount));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn is_ephemeral_volume(mount: &Mount) -> bool {
    is_ephemeral(&Mounts::of_this_thread(), mount)
}

/// As [`is_ephemeral_volume`], by the mount table of the proc file system of `root`.
///
/// ```
/// use kata_sys_util::SysRoot;
/// use kata_sys_util::k8s::is_ephemeral_volume_in;
/// use oci_spec::runtime::MountBuilder;
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
///
/// let volume = "/v/kubernetes.io~empty-dir/cache";
/// std::fs::create_dir(dir.join("proc"))?;
/// std::fs::write(dir.join("proc/mounts"), format!("tmpfs {volume} tmpfs rw 0 0\n"))?;
/// let root = SysRoot::under(dir);
///
/// let mount = MountBuilder::default().destination("/cache").typ("bind").source(volume).build()?;
/// assert!(is_ephemeral_volume_in(&root, &mount));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn is_ephemeral_volume_in(root: &SysRoot, mount: &Mount) -> bool {
    is_ephemeral(&Mounts::in_table(root), mount)
}

/// The name that later releases of kata-containers have for [`is_ephemeral_volume`].
///
/// ```
/// use kata_sys_util::k8s::is_tmpfs_empty_dir;
///
/// let mount = oci_spec::runtime::Mount::default(); // has no source
/// assert!(!is_tmpfs_empty_dir(&mount));
/// ```
pub fn is_tmpfs_empty_dir(mount: &Mount) -> bool {
    is_ephemeral_volume(mount)
}

/// Whether a path is an `emptyDir` volume on the disk of the node: an `emptyDir` directory
/// ([`is_empty_dir`]) on which neither a tmpfs nor a hugetlbfs is mounted.
///
/// `false` if that cannot be found out. A directory that does not exist has nothing mounted on it.
///
/// ```
/// use kata_sys_util::k8s::is_host_empty_dir;
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
///
/// let volume = dir.join("kubernetes.io~empty-dir/cache");
/// std::fs::create_dir_all(&volume)?;
/// assert!(is_host_empty_dir(&volume.to_string_lossy()));
/// assert!(!is_host_empty_dir(&dir.to_string_lossy()));
/// # std::io::Result::Ok(())
/// ```
pub fn is_host_empty_dir(path: &str) -> bool {
    is_disk(empty_dir(&Mounts::of_this_thread(), Path::new(path)))
}

/// As [`is_host_empty_dir`], by the mount table of the proc file system of `root`.
///
/// ```
/// use kata_sys_util::{SysRoot, k8s::is_host_empty_dir_in};
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
///
/// std::fs::create_dir(dir.join("proc"))?;
/// std::fs::write(dir.join("proc/mounts"), "tmpfs /v/kubernetes.io~empty-dir/a tmpfs rw 0 0\n")?;
/// let root = SysRoot::under(dir);
/// assert!(!is_host_empty_dir_in(&root, "/v/kubernetes.io~empty-dir/a"));
/// assert!(is_host_empty_dir_in(&root, "/v/kubernetes.io~empty-dir/b"));
/// # std::io::Result::Ok(())
/// ```
pub fn is_host_empty_dir_in(root: &SysRoot, path: &str) -> bool {
    is_disk(empty_dir(&Mounts::in_table(root), Path::new(path)))
}

/// The name that later releases of kata-containers have for [`is_host_empty_dir`].
///
/// ```
/// use kata_sys_util::k8s::is_disk_empty_dir;
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
///
/// let volume = dir.join("kubernetes.io~empty-dir/cache");
/// std::fs::create_dir_all(&volume)?;
/// assert!(is_disk_empty_dir(&volume.to_string_lossy()));
/// # std::io::Result::Ok(())
/// ```
pub fn is_disk_empty_dir(path: &str) -> bool {
    is_host_empty_dir(path)
}

/// Whether a path is an `emptyDir` volume on which no tmpfs is mounted: on the disk of the node, or
/// of huge pages.
///
/// ```
/// use kata_sys_util::k8s::is_non_tmpfs_empty_dir;
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
///
/// let volume = dir.join("kubernetes.io~empty-dir/cache");
/// std::fs::create_dir_all(&volume)?;
/// assert!(is_non_tmpfs_empty_dir(&volume.to_string_lossy()));
/// # std::io::Result::Ok(())
/// ```
pub fn is_non_tmpfs_empty_dir(path: &str) -> bool {
    let mounted = empty_dir(&Mounts::of_this_thread(), Path::new(path));
    mounted.is_some_and(|mounted| mounted != Mounted::Tmpfs)
}

/// Whether a path is an `emptyDir` volume of huge pages: a hugetlbfs is mounted on it.
///
/// ```
/// use kata_sys_util::k8s::is_hugepage_empty_dir;
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
///
/// let volume = dir.join("kubernetes.io~empty-dir/cache");
/// std::fs::create_dir_all(&volume)?;
/// assert!(!is_hugepage_empty_dir(&volume.to_string_lossy())); // on a disk
/// # std::io::Result::Ok(())
/// ```
pub fn is_hugepage_empty_dir(path: &str) -> bool {
    empty_dir(&Mounts::of_this_thread(), Path::new(path)) == Some(Mounted::Hugetlbfs)
}

/// Sets the types of the mounts of a container that are `emptyDir` volumes:
///
/// * `ephemeral` if it is in memory ([`is_ephemeral_volume`]): a tmpfs of the guest replaces it;
/// * `local` if it is on the disk of the node ([`is_host_empty_dir`]), whatever its type was: a
///   directory of the guest replaces it. Not if `disable_guest_empty_dir`, and not if
///   `emptydir_mode` is `block-encrypted`, which has a disk for each such volume.
///
/// Mounts without a source, and those whose type begins with `kata:guest-mount:`, stay as they are,
/// and so does all else of the mounts.
///
/// ```
/// use kata_sys_util::k8s::update_ephemeral_storage_type;
/// use oci_spec::runtime::{MountBuilder, Spec};
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
///
/// let volume = dir.join("kubernetes.io~empty-dir/cache");
/// std::fs::create_dir_all(&volume)?;
/// let mount = MountBuilder::default()
///     .destination("/cache")
///     .typ("bind")
///     .source(volume)
///     .build()?;
/// let mut spec = Spec::default();
/// spec.set_mounts(Some(vec![mount]));
///
/// update_ephemeral_storage_type(&mut spec, false, "shared-fs");
/// assert_eq!(spec.mounts().as_ref().unwrap()[0].typ().as_deref(), Some("local"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn update_ephemeral_storage_type(
    oci_spec: &mut Spec,
    disable_guest_empty_dir: bool,
    emptydir_mode: &str,
) {
    let mounts = Mounts::of_this_thread();
    update(&mounts, oci_spec, disable_guest_empty_dir, emptydir_mode);
}

/// As [`update_ephemeral_storage_type`], by the mount table of the proc file system of `root`.
///
/// ```
/// use kata_sys_util::SysRoot;
/// use kata_sys_util::k8s::update_ephemeral_storage_type_in;
/// use oci_spec::runtime::{MountBuilder, Spec};
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
///
/// let volume = "/v/kubernetes.io~empty-dir/cache";
/// std::fs::create_dir(dir.join("proc"))?;
/// std::fs::write(dir.join("proc/mounts"), format!("tmpfs {volume} tmpfs rw 0 0\n"))?;
/// let root = SysRoot::under(dir);
///
/// let mount = MountBuilder::default().destination("/cache").typ("bind").source(volume).build()?;
/// let mut spec = Spec::default();
/// spec.set_mounts(Some(vec![mount]));
/// update_ephemeral_storage_type_in(&root, &mut spec, false, "shared-fs");
/// assert_eq!(spec.mounts().as_ref().unwrap()[0].typ().as_deref(), Some("ephemeral"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn update_ephemeral_storage_type_in(
    root: &SysRoot,
    oci_spec: &mut Spec,
    disable_guest_empty_dir: bool,
    emptydir_mode: &str,
) {
    let mounts = Mounts::in_table(root);
    update(&mounts, oci_spec, disable_guest_empty_dir, emptydir_mode);
}

fn update(mounts: &Mounts<'_>, spec: &mut Spec, disable_guest_empty_dir: bool, mode: &str) {
    let may_be_local = !disable_guest_empty_dir && mode != EMPTYDIR_MODE_BLOCK_ENCRYPTED;
    for mount in spec.mounts_mut().iter_mut().flatten() {
        if let Some(storage_type) = storage_type(mounts, mount, may_be_local) {
            mount.set_typ(Some(storage_type.to_owned()));
        }
    }
}

/// The new type of a mount, if it is to have one.
fn storage_type(mounts: &Mounts<'_>, mount: &Mount, may_be_local: bool) -> Option<&'static str> {
    if mount
        .typ()
        .as_deref()
        .is_some_and(is_kata_guest_mount_volume)
    {
        return None;
    }
    let source = mount.source().as_deref()?;
    match empty_dir(mounts, source)? {
        Mounted::Tmpfs if is_bind_of_text(mount) => Some(KATA_EPHEMERAL_VOLUME_TYPE),
        mounted if may_be_local && is_disk(Some(mounted)) => Some(KATA_K8S_LOCAL_STORAGE_TYPE),
        _ => None,
    }
}

fn is_ephemeral(mounts: &Mounts<'_>, mount: &Mount) -> bool {
    is_bind_of_text(mount)
        && mount
            .source()
            .as_deref()
            .and_then(|source| empty_dir(mounts, source))
            == Some(Mounted::Tmpfs)
}

/// Whether it is a bind mount of a path that is UTF-8.
fn is_bind_of_text(mount: &Mount) -> bool {
    let is_text = |source: &Path| source.to_str().is_some();
    mount.typ().as_deref() == Some(BIND) && mount.source().as_deref().is_some_and(is_text)
}

fn is_disk(mounted: Option<Mounted>) -> bool {
    matches!(mounted, Some(Mounted::Nothing | Mounted::Other))
}

/// What is mounted on an `emptyDir` volume; `None` if that is not known, or it is none. Nobody asks
/// about another path (K2).
fn empty_dir(mounts: &Mounts<'_>, path: &Path) -> Option<Mounted> {
    if is_empty_dir(path) {
        mounts.at(path)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
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
    fn volume_is_on_the_host_if_neither_tmpfs_nor_hugetlbfs_is_mounted_on_it() {
        let (_dir, root) = with_table(TABLE);
        for (path, expected) in [
            (volume("unmounted"), true),
            (volume("disk"), true),
            (volume("disk//"), true),
            (volume("stacked"), true),
            (volume("memory"), false),
            (volume("memory/"), false),
            (volume("huge"), false),
            (volume("with space"), false),
            (volume("damaged"), false),
            (volume("disk/below"), false),
            ("/v/kubernetes.io~empty-dir".to_owned(), false),
            ("kubernetes.io~empty-dir/relative".to_owned(), true),
            ("/v/kubernetes.io~secret/token".to_owned(), false),
            ("/".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(is_host_empty_dir_in(&root, &path), expected, "{path}");
        }
    }

    #[test]
    fn nothing_is_known_without_a_mount_table() {
        let missing = SysRoot::under("/no/such/tree");
        assert!(!is_host_empty_dir_in(&missing, &volume("disk")));
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
}
