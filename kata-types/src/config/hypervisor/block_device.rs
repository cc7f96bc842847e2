//! Block devices: driver, I/O mode, queues, sector sizes, rate limits.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::drivers::check_driver;
use crate::config::adjust::{Adjuster, Checked, KeyedError, adjust_alone};
use crate::config::check::{Checker, check_alone};
use crate::config::default;
use crate::config::validate::{note_bad_patterns, validate_path_pattern};

const BLOCK_DEVICE_AIO_MODES: [&str; 3] = [
    default::DEFAULT_BLOCK_DEVICE_AIO,
    default::DEFAULT_BLOCK_DEVICE_AIO_NATIVE,
    default::DEFAULT_BLOCK_DEVICE_AIO_THREADS,
];

/// Block device settings of a hypervisor section.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default = "BlockDeviceInfo::default")]
pub struct BlockDeviceInfo {
    /// Container root file systems and volumes are shared as directories, never as block devices.
    ///
    /// Default: false. Ignored by the runtime of this version.
    pub disable_block_device_use: bool,

    /// Driver of container block devices: `virtio-blk-pci`, `virtio-blk-ccw`, `virtio-blk-mmio`,
    /// `virtio-pmem` or `virtio-scsi`.
    ///
    /// Default: `virtio-blk-pci`.
    pub block_device_driver: String,

    /// Asynchronous I/O of block devices: `io_uring`, `native` (Linux AIO) or `threads`.
    ///
    /// Default: `io_uring`.
    pub block_device_aio: String,

    /// The two cache settings below apply. Default: false. Ignored by the runtime of this version.
    pub block_device_cache_set: bool,

    /// Block devices are opened with `O_DIRECT`: the host page cache is bypassed. Default: false.
    pub block_device_cache_direct: bool,

    /// Flush requests of the guest are ignored. Default: false. Ignored by the runtime of this
    /// version.
    pub block_device_cache_noflush: bool,

    /// Logical sector size shown to the guest, in bytes: 0 (the host's) or a power of two between
    /// 512 and 65536. Default: 0.
    pub block_device_logical_sector_size: u32,

    /// Physical sector size shown to the guest, in bytes: 0 (the host's) or a power of two between
    /// 512 and 65536, not below the logical size. Default: 0.
    pub block_device_physical_sector_size: u32,

    /// The guest image is not attached as NVDIMM. Default: false. Ignored by the runtime of this
    /// version.
    pub disable_image_nvdimm: bool,

    /// Room for NVDIMM devices in the guest's address space, beyond its memory, in MiB. Default: 0.
    /// Ignored by the runtime of this version.
    pub memory_offset: u64,

    /// vhost-user devices are used. Default: false. Ignored by the runtime of this version.
    pub enable_vhost_user_store: bool,

    /// Directory of vhost-user sockets and devices. Default: `/var/run/vhost-user` if
    /// `enable_vhost_user_store` is on.
    pub vhost_user_store_path: String,

    /// Shell patterns of the paths that a pod annotation may set as `vhost_user_store_path`; see
    /// [`validate_path_pattern`]. Default: none.
    pub valid_vhost_user_store_paths: Vec<String>,

    /// Bandwidth limit of a disk, in bytes per second; 0 is no limit. It becomes a token bucket of
    /// the hypervisor as it is ([`RateLimiterConfig`](super::RateLimiterConfig)), and those count
    /// bytes, whatever comments in other configuration files say. Default: 0.
    pub disk_rate_limiter_bw_max_rate: u64,

    /// What may exceed the bandwidth limit once, in bytes. Default: none.
    pub disk_rate_limiter_bw_one_time_burst: Option<u64>,

    /// Limit of operations of a disk, per second; 0 is no limit. Default: 0.
    pub disk_rate_limiter_ops_max_rate: u64,

    /// Operations that may exceed the limit once. Default: none.
    pub disk_rate_limiter_ops_one_time_burst: Option<u64>,

    /// Descriptors in one queue of a block device. Default: 128.
    pub queue_size: u32,

    /// Queues of a block device. Default: 1.
    pub num_queues: usize,
}

impl BlockDeviceInfo {
    /// Fills in defaults and resolves `vhost_user_store_path`.
    ///
    /// With `disable_block_device_use` it only clears what has no meaning then. The driver is not
    /// checked here, but by [`validate`](Self::validate).
    ///
    /// # Errors
    ///
    /// An unknown `block_device_aio`, or a `vhost_user_store_path` that does not exist.
    pub fn adjust_config(&mut self) -> io::Result<()> {
        adjust_alone(|cx| self.adjust_in(cx))
    }

    /// Checks the driver, the sector sizes, and that `vhost_user_store_path` exists.
    ///
    /// # Errors
    ///
    /// The first rule that does not hold.
    pub fn validate(&self) -> io::Result<()> {
        check_alone(|cx| self.validate_in(cx))
    }

    /// Checks that `valid_vhost_user_store_paths` permits `path`.
    ///
    /// # Errors
    ///
    /// See [`validate_path_pattern`].
    pub fn validate_vhost_user_store_path<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        validate_path_pattern(&self.valid_vhost_user_store_paths, path)
    }

    pub(crate) fn adjust_in(&mut self, cx: &mut Adjuster<'_>) -> Checked {
        note_bad_patterns(
            cx,
            "valid_vhost_user_store_paths",
            &self.valid_vhost_user_store_paths,
        );
        if self.disable_block_device_use {
            self.block_device_driver.clear();
            self.enable_vhost_user_store = false;
            self.memory_offset = 0;
            return Ok(());
        }

        if self.block_device_driver.is_empty() {
            self.block_device_driver = default::DEFAULT_BLOCK_DEVICE_TYPE.to_owned();
        }
        if self.block_device_aio.is_empty() {
            self.block_device_aio = default::DEFAULT_BLOCK_DEVICE_AIO.to_owned();
        } else if !BLOCK_DEVICE_AIO_MODES.contains(&self.block_device_aio.as_str()) {
            return Err(KeyedError::other(
                "block_device_aio",
                format!(
                    "{} is unsupported block device AIO mode.",
                    self.block_device_aio
                ),
            ));
        }
        if self.num_queues == 0 {
            self.num_queues = default::DEFAULT_BLOCK_DEVICE_NUM_QUEUES as usize;
        }
        if self.queue_size == 0 {
            self.queue_size = default::DEFAULT_BLOCK_DEVICE_QUEUE_SIZE;
        }
        if self.memory_offset == 0 {
            self.memory_offset = default::DEFAULT_BLOCK_NVDIMM_MEM_OFFSET;
        }
        if !self.enable_vhost_user_store {
            self.vhost_user_store_path.clear();
        } else if self.vhost_user_store_path.is_empty() {
            self.vhost_user_store_path = default::DEFAULT_VHOST_USER_STORE_PATH.to_owned();
        }
        cx.resolve(
            &mut self.vhost_user_store_path,
            "vhost_user_store_path",
            "Invalid vhost-user-store-path {}: {}",
        )
    }

    pub(crate) fn validate_in(&self, cx: &Checker<'_>) -> Checked {
        if self.disable_block_device_use {
            return Ok(());
        }
        check_driver("block_device_driver", &self.block_device_driver)?;
        cx.exists(
            &self.vhost_user_store_path,
            "vhost_user_store_path",
            "Invalid vhost-user-store-path {}: {}",
        )?;

        let logical = self.block_device_logical_sector_size;
        let physical = self.block_device_physical_sector_size;
        for (key, size) in [
            ("block_device_logical_sector_size", logical),
            ("block_device_physical_sector_size", physical),
        ] {
            validate_block_device_sector_size(size).map_err(|e| KeyedError::new(key, e))?;
        }
        if logical != 0 && physical != 0 && logical > physical {
            return Err(KeyedError::other(
                "block_device_logical_sector_size",
                format!(
                    "invalid sector sizes: logical ({logical}) must not be larger than physical \
                     ({physical})"
                ),
            ));
        }
        Ok(())
    }
}

/// Checks a sector size in bytes: 0 (not set), or a power of two between 512 and 65536.
///
/// # Errors
///
/// Any other size, with kind [`io::ErrorKind::Other`].
///
/// ```
/// use kata_types::config::hypervisor::validate_block_device_sector_size;
///
/// assert!(validate_block_device_sector_size(4096).is_ok());
/// assert!(validate_block_device_sector_size(1000).is_err());
/// ```
pub fn validate_block_device_sector_size(size: u32) -> io::Result<()> {
    if size == 0 || (size.is_power_of_two() && (512..=65536).contains(&size)) {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "invalid sector size {size}: must be 0 or a power of 2 between 512 and 65536"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> BlockDeviceInfo {
        BlockDeviceInfo {
            block_device_driver: "virtio-scsi".into(),
            ..Default::default()
        }
    }

    #[test]
    fn adjust_fills_in_defaults() {
        let mut info = BlockDeviceInfo::default();
        info.adjust_config().unwrap();
        assert_eq!(info.block_device_driver, "virtio-blk-pci");
        assert_eq!(info.block_device_aio, "io_uring");
        assert_eq!((info.num_queues, info.queue_size), (1, 128));
        assert_eq!(info.vhost_user_store_path, "");
    }

    #[test]
    fn adjust_keeps_what_is_set_and_does_not_check_the_driver() {
        let mut info = BlockDeviceInfo {
            block_device_driver: "virtio-blk".into(),
            block_device_aio: "threads".into(),
            num_queues: 3,
            queue_size: 7,
            memory_offset: 9,
            ..Default::default()
        };
        info.adjust_config().unwrap();
        assert_eq!(info.block_device_driver, "virtio-blk");
        assert_eq!(info.block_device_aio, "threads");
        assert_eq!((info.num_queues, info.queue_size), (3, 7));
        assert_eq!(info.memory_offset, 9);
    }

    #[test]
    fn disabled_block_devices_clear_three_fields_and_touch_nothing_else() {
        let mut info = BlockDeviceInfo {
            disable_block_device_use: true,
            block_device_driver: "x".into(),
            block_device_aio: "bad".into(),
            enable_vhost_user_store: true,
            vhost_user_store_path: "/missing".into(),
            memory_offset: 9,
            block_device_logical_sector_size: 3,
            ..Default::default()
        };
        info.adjust_config().unwrap();
        assert_eq!(info.block_device_driver, "");
        assert!(!info.enable_vhost_user_store);
        assert_eq!(info.memory_offset, 0);
        assert_eq!(info.block_device_aio, "bad");
        assert_eq!(info.vhost_user_store_path, "/missing");
        assert_eq!((info.num_queues, info.queue_size), (0, 0));
        info.validate().unwrap();
    }

    #[test]
    fn unknown_aio_mode_is_an_error() {
        let mut info = BlockDeviceInfo {
            block_device_aio: "posix".into(),
            ..Default::default()
        };
        assert_eq!(
            info.adjust_config().unwrap_err().to_string(),
            "posix is unsupported block device AIO mode."
        );
    }

    #[test]
    fn vhost_user_store_is_cleared_or_resolved() {
        let mut info = BlockDeviceInfo {
            vhost_user_store_path: "/missing".into(),
            ..Default::default()
        };
        info.adjust_config().unwrap();
        assert_eq!(info.vhost_user_store_path, "");

        info.enable_vhost_user_store = true;
        info.vhost_user_store_path = "/proc/../dev".into();
        info.adjust_config().unwrap();
        assert_eq!(info.vhost_user_store_path, "/dev");

        info.vhost_user_store_path = "/missing/store".into();
        assert_eq!(
            info.adjust_config().unwrap_err().to_string(),
            "Invalid vhost-user-store-path /missing/store: No such file or directory (os error 2)"
        );
    }

    #[test]
    fn validate_reports_the_first_rule_that_fails() {
        valid().validate().unwrap();
        type Change = fn(&mut BlockDeviceInfo);
        let cases: [(Change, &str); 6] = [
            (
                |i| i.block_device_driver = "virtio-blk".into(),
                "virtio-blk is unsupported block device type.",
            ),
            (
                |i| i.block_device_driver.clear(),
                " is unsupported block device type.",
            ),
            (
                |i| i.vhost_user_store_path = "/missing".into(),
                "Invalid vhost-user-store-path /missing: No such file or directory (os error 2)",
            ),
            (
                |i| i.block_device_logical_sector_size = 1000,
                "invalid sector size 1000: must be 0 or a power of 2 between 512 and 65536",
            ),
            (
                |i| i.block_device_physical_sector_size = 131072,
                "invalid sector size 131072: must be 0 or a power of 2 between 512 and 65536",
            ),
            (
                |i| {
                    i.block_device_logical_sector_size = 4096;
                    i.block_device_physical_sector_size = 512;
                },
                "invalid sector sizes: logical (4096) must not be larger than physical (512)",
            ),
        ];
        for (change, text) in cases {
            let mut info = valid();
            change(&mut info);
            assert_eq!(info.validate().unwrap_err().to_string(), text);
        }
    }

    #[test]
    fn one_sector_size_alone_is_not_compared() {
        for (logical, physical) in [(4096, 0), (0, 512), (512, 512), (512, 4096)] {
            let info = BlockDeviceInfo {
                block_device_logical_sector_size: logical,
                block_device_physical_sector_size: physical,
                ..valid()
            };
            info.validate().unwrap();
        }
    }

    #[test]
    fn sector_sizes_are_zero_or_powers_of_two_in_range() {
        for size in [0, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536] {
            validate_block_device_sector_size(size).unwrap();
        }
        for size in [1, 256, 511, 513, 1000, 65537, 131_072, u32::MAX, 1 << 31] {
            let error = validate_block_device_sector_size(size).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::Other);
            assert_eq!(
                error.to_string(),
                format!(
                    "invalid sector size {size}: must be 0 or a power of 2 between 512 and 65536"
                )
            );
        }
    }
}
