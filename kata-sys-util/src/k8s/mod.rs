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

/// The name that later releases of kata-containers have for [`is_ephemeral_volume`]; for another
/// mount table, see [`is_ephemeral_volume_in`].
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

/// The name that later releases of kata-containers have for [`is_host_empty_dir`]; for another mount
/// table, see [`is_host_empty_dir_in`].
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
/// of huge pages. `false` if that cannot be found out.
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
    is_non_tmpfs(empty_dir(&Mounts::of_this_thread(), Path::new(path)))
}

/// As [`is_non_tmpfs_empty_dir`], by the mount table of the proc file system of `root`.
///
/// ```
/// use kata_sys_util::{SysRoot, k8s::is_non_tmpfs_empty_dir_in};
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
///
/// std::fs::create_dir(dir.join("proc"))?;
/// std::fs::write(dir.join("proc/mounts"), "tmpfs /v/kubernetes.io~empty-dir/a tmpfs rw 0 0\n")?;
/// let root = SysRoot::under(dir);
/// assert!(!is_non_tmpfs_empty_dir_in(&root, "/v/kubernetes.io~empty-dir/a"));
/// assert!(is_non_tmpfs_empty_dir_in(&root, "/v/kubernetes.io~empty-dir/b"));
/// # std::io::Result::Ok(())
/// ```
pub fn is_non_tmpfs_empty_dir_in(root: &SysRoot, path: &str) -> bool {
    is_non_tmpfs(empty_dir(&Mounts::in_table(root), Path::new(path)))
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

/// As [`is_hugepage_empty_dir`], by the mount table of the proc file system of `root`.
///
/// ```
/// use kata_sys_util::{SysRoot, k8s::is_hugepage_empty_dir_in};
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
///
/// let volume = "/v/kubernetes.io~empty-dir/buffers";
/// std::fs::create_dir(dir.join("proc"))?;
/// std::fs::write(dir.join("proc/mounts"), format!("none {volume} hugetlbfs rw 0 0\n"))?;
/// assert!(is_hugepage_empty_dir_in(&SysRoot::under(dir), volume));
/// # std::io::Result::Ok(())
/// ```
pub fn is_hugepage_empty_dir_in(root: &SysRoot, path: &str) -> bool {
    empty_dir(&Mounts::in_table(root), Path::new(path)) == Some(Mounted::Hugetlbfs)
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

fn is_non_tmpfs(mounted: Option<Mounted>) -> bool {
    mounted.is_some_and(|mounted| mounted != Mounted::Tmpfs)
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
mod tests;
