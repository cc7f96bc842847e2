//! File systems of the guest root image.

/// ext4.
pub const VM_ROOTFS_FILESYSTEM_EXT4: &str = "ext4";
/// XFS.
pub const VM_ROOTFS_FILESYSTEM_XFS: &str = "xfs";
/// EROFS, a read-only file system.
pub const VM_ROOTFS_FILESYSTEM_EROFS: &str = "erofs";
