//! Mounting, unmounting, and what is mounted where.
//!
//! What a container runtime and its agent need around
//! [`mount(2)`](https://man7.org/linux/man-pages/man2/mount.2.html):
//!
//! * [`Mounter`] mounts a [`kata_types::mount::Mount`], [`parse_mount_options`] reads its options;
//! * [`bind_mount_unchecked`] and [`bind_remount`] for bind mounts;
//! * [`create_mount_destination`] makes something to mount on, inside a root directory;
//! * [`umount_timeout`] and [`umount_all`];
//! * [`get_linux_mount_info`], [`is_mount_point`] and [`mount_point_magic`] tell what is mounted;
//! * [`get_mount_path`], [`get_mount_options`] and [`get_mount_type`] read an OCI
//!   [`Mount`](oci_spec::runtime::Mount).
//!
//! All functions block. Those that change mounts need `CAP_SYS_ADMIN` in the user namespace of the
//! mount namespace.
//!
//! # Older kernels and seccomp
//!
//! Every system call that is younger than Linux 4.0 has a fallback, which is also used when a seccomp
//! filter answers with `EPERM` or `ENOSYS`.
//!
//! | Linux | Without it |
//! |---|---|
//! | 5.12 (`mount_setattr`), 5.2 (`open_tree`, `move_mount`) | a read-only bind mount is writable for a moment |
//! | 6.8 (`lowerdir+`), 5.2 (`fsopen`) | an overlay's options must fit into a page once the directory in common is taken out |
//! | 5.8 (`statx` mount attributes) | the mount table is searched |
//! | 6.8 (ids of mounts that are not used again) | the mount table is read when a new mount gets a propagation type |
//! | 6.13 (`statmount`) | the mount table is searched for what *is* a mount point |
//! | 5.8 (mount ids) | a bind mount of `/` cannot be told from `/`, and is not unmounted |
//!
//! A mount that is not attached yet needs a mount namespace. Where none is left (`ENOSPC`;
//! `max_mnt_namespaces` of namespaces(7)), a bind mount that is not to be read-only, and a new mount, are
//! made the older way; a read-only bind mount is an error.
//!
//! Without `/proc`, steps that follow a mount on an old kernel go by its path.

mod bind;
mod context;
mod destination;
mod error;
mod handle;
mod lost;
mod mounter;
mod mountinfo;
mod oci;
mod options;
mod overlay;
mod query;
pub(crate) mod sys;
pub(crate) mod table;
mod target;
mod umount;
mod workdir;

pub use bind::{bind_mount_unchecked, bind_remount};
pub use destination::create_mount_destination;
pub use error::{Error, Result};
pub(crate) use handle::{fd_path, pin};
pub use mounter::Mounter;
pub use oci::{get_mount_options, get_mount_path, get_mount_type};
pub use options::parse_mount_options;
pub use query::{get_linux_mount_info, get_linux_mount_info_in, is_mount_point, mount_point_magic};
pub use umount::{umount_all, umount_timeout};

/// The mount table of the process, as text
/// ([`proc_pid_mounts(5)`](https://man7.org/linux/man-pages/man5/proc_pid_mounts.5.html)).
pub const PROC_MOUNTS_FILE: &str = "/proc/mounts";

/// One mount, as the mount table has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinuxMountInfo {
    /// What is mounted: a device, a directory of a server, or any name.
    pub device: String,
    /// Where it is mounted.
    pub path: String,
    /// The file system type, with a subtype after a dot (`fuse.sshfs`).
    pub fs_type: String,
}
