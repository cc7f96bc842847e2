//! File systems of the guest root image, by the names that the kernel has for them
//! ([`filesystems(5)`](https://man7.org/linux/man-pages/man5/filesystems.5.html)).

/// [ext4](https://docs.kernel.org/filesystems/ext4/index.html).
pub const VM_ROOTFS_FILESYSTEM_EXT4: &str = "ext4";
/// [XFS](https://docs.kernel.org/filesystems/xfs/index.html).
pub const VM_ROOTFS_FILESYSTEM_XFS: &str = "xfs";
/// [EROFS](https://docs.kernel.org/filesystems/erofs.html), a read-only file system.
pub const VM_ROOTFS_FILESYSTEM_EROFS: &str = "erofs";
