//! What the guest boots: kernel and its parameters, image or initrd, firmware.

use std::io;

use serde::{Deserialize, Serialize};

use super::drivers::check_driver;
use super::kernel_params;
use super::verity::parse_kernel_verity_params;
use crate::config::adjust::{Adjuster, Checked, KeyedError, adjust_alone};
use crate::config::check::{Checker, check_alone};
use crate::config::default;
use crate::config::validate::check_configured_path;

/// Boot settings of a hypervisor section.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default = "BootInfo::default")]
pub struct BootInfo {
    /// Path of the guest kernel image. There is no usable default: an empty path is an error once
    /// the hypervisor needs a kernel.
    pub kernel: String,

    /// Guest kernel parameters, separated by spaces. A value with spaces is written in double
    /// quotes. Default: empty.
    pub kernel_params: String,

    /// dm-verity parameters of the guest image; see
    /// [`parse_kernel_verity_params`]. Default: empty.
    pub kernel_verity_params: String,

    /// Path of the guest initrd. Default: empty. Excludes `image`.
    pub initrd: String,

    /// Path of the guest image. Default: empty. Excludes `initrd`.
    pub image: String,

    /// File system of the guest image: `ext4`, `xfs` or `erofs`. Default: empty, `ext4` for QEMU.
    pub rootfs_type: String,

    /// Path of the guest firmware. Default: empty, the hypervisor's own.
    pub firmware: String,

    /// Driver of the guest image; the same values as `block_device_driver`.
    ///
    /// Default: `virtio-blk-pci`.
    pub vm_rootfs_driver: String,
}

/// The four files of [`BootInfo`], with their error texts.
const KERNEL: (&str, &str) = ("kernel", "guest kernel image file {} is invalid: {}");
const IMAGE: (&str, &str) = ("image", "guest boot image file {} is invalid: {}");
const INITRD: (&str, &str) = ("initrd", "guest initrd image file {} is invalid: {}");
const FIRMWARE: (&str, &str) = ("firmware", "firmware image file {} is invalid: {}");

impl BootInfo {
    /// Resolves the paths of `kernel`, `image`, `initrd` and `firmware`, and fills in
    /// `vm_rootfs_driver`.
    ///
    /// # Errors
    ///
    /// The first of these paths that does not resolve.
    pub fn adjust_config(&mut self) -> io::Result<()> {
        adjust_alone(|cx| self.adjust_in(cx, KernelSource::Configured))
    }

    /// Checks that the files exist, that `image` and `initrd` are not both set, and the driver.
    ///
    /// # Errors
    ///
    /// The first rule that does not hold.
    pub fn validate(&self) -> io::Result<()> {
        check_alone(|cx| self.validate_in(cx))
    }

    /// Puts `params` before the kernel parameters that are set already, so that in case of doubt
    /// those win in the guest.
    ///
    /// ```
    /// use kata_types::config::BootInfo;
    ///
    /// let mut boot = BootInfo { kernel_params: "quiet".into(), ..Default::default() };
    /// boot.add_kernel_params(vec!["agent.log=debug".into(), "psi=1".into()]);
    /// assert_eq!(boot.kernel_params, "agent.log=debug psi=1 quiet");
    /// ```
    pub fn add_kernel_params(&mut self, params: Vec<String>) {
        if params.is_empty() {
            return;
        }
        self.kernel_params = kernel_params::prepend(params, &self.kernel_params);
    }

    /// Merges `new_params` into the kernel parameters: a parameter that occurs in `new_params`
    /// replaces every one of the same name, the others stay as they are.
    ///
    /// Parameters are separated by white space outside double quotes; the name is the text before
    /// the first `=`. Empty `new_params` change nothing.
    ///
    /// ```
    /// use kata_types::config::BootInfo;
    ///
    /// let mut boot = BootInfo { kernel_params: "quiet a=1 b=2".into(), ..Default::default() };
    /// boot.replace_kernel_params("a=3 c");
    /// assert_eq!(boot.kernel_params, "quiet b=2 a=3 c");
    /// ```
    pub fn replace_kernel_params(&mut self, new_params: &str) {
        if new_params.is_empty() {
            return;
        }
        self.kernel_params = kernel_params::replace(&self.kernel_params, new_params);
    }

    /// Sets the dm-verity parameters after checking them; blank text changes nothing.
    ///
    /// # Errors
    ///
    /// See [`parse_kernel_verity_params`]. Nothing is changed
    /// then.
    pub fn replace_kernel_verity_params(&mut self, new_params: &str) -> io::Result<()> {
        if parse_kernel_verity_params(new_params)?.is_some() {
            self.kernel_verity_params = new_params.to_owned();
        }
        Ok(())
    }

    /// Checks that `path` is empty or exists. No allow-list is consulted.
    ///
    /// # Errors
    ///
    /// `path <path> is invalid: <reason>`.
    pub fn validate_boot_path(&self, path: &str) -> io::Result<()> {
        check_configured_path(path)
    }

    pub(crate) fn adjust_in(&mut self, cx: &mut Adjuster<'_>, kernel: KernelSource) -> Checked {
        if kernel == KernelSource::Default {
            // D40: the current directory is the bundle, which must not supply the kernel.
            return Err(KeyedError::other(
                KERNEL.0,
                format!(
                    "guest kernel image is not configured (key \"kernel\"): the default {} is not \
                     looked for in the current directory",
                    self.kernel
                ),
            ));
        }
        for ((key, message), path) in [
            (KERNEL, &mut self.kernel),
            (IMAGE, &mut self.image),
            (INITRD, &mut self.initrd),
            (FIRMWARE, &mut self.firmware),
        ] {
            cx.resolve(path, key, message)?;
        }
        if self.vm_rootfs_driver.is_empty() {
            self.vm_rootfs_driver = default::DEFAULT_BLOCK_DEVICE_TYPE.to_owned();
        }
        Ok(())
    }

    pub(crate) fn validate_in(&self, cx: &Checker<'_>) -> Checked {
        for ((key, message), path) in [
            (KERNEL, &self.kernel),
            (IMAGE, &self.image),
            (INITRD, &self.initrd),
            (FIRMWARE, &self.firmware),
        ] {
            cx.exists(path, key, message)?;
        }
        if !self.image.is_empty() && !self.initrd.is_empty() {
            return Err(KeyedError::other(
                "initrd",
                "Can not configure both initrd and image for boot",
            ));
        }
        check_driver("vm_rootfs_driver", &self.vm_rootfs_driver)
    }
}

/// Where the path of the guest kernel comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KernelSource {
    /// From the configuration, or there is none.
    Configured,
    /// A relative file name that a plugin filled in.
    Default,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> BootInfo {
        BootInfo {
            vm_rootfs_driver: "virtio-pmem".into(),
            ..Default::default()
        }
    }

    type Field = fn(&mut BootInfo) -> &mut String;
    const FILES: [(Field, &str); 4] = [
        (|b| &mut b.kernel, "guest kernel image file"),
        (|b| &mut b.image, "guest boot image file"),
        (|b| &mut b.initrd, "guest initrd image file"),
        (|b| &mut b.firmware, "firmware image file"),
    ];

    #[test]
    fn adjust_resolves_the_four_files_and_fills_in_the_driver() {
        for (field, _) in FILES {
            let mut boot = BootInfo::default();
            *field(&mut boot) = "/proc/../dev/null".into();
            boot.adjust_config().unwrap();
            assert_eq!(field(&mut boot), "/dev/null");
            assert_eq!(boot.vm_rootfs_driver, "virtio-blk-pci");
        }
    }

    #[test]
    fn missing_files_are_errors_of_adjust_and_of_validate() {
        for (field, name) in FILES {
            let text =
                format!("{name} /missing is invalid: No such file or directory (os error 2)");
            let mut boot = valid();
            *field(&mut boot) = "/missing".into();
            assert_eq!(boot.validate().unwrap_err().to_string(), text);
            assert_eq!(boot.adjust_config().unwrap_err().to_string(), text);
        }
    }

    #[test]
    fn image_and_initrd_exclude_each_other() {
        let boot = BootInfo {
            image: "/dev/null".into(),
            initrd: "/dev/null".into(),
            ..valid()
        };
        assert_eq!(
            boot.validate().unwrap_err().to_string(),
            "Can not configure both initrd and image for boot"
        );
    }

    #[test]
    fn rootfs_driver_is_one_of_five() {
        for driver in [
            "virtio-blk-pci",
            "virtio-blk-ccw",
            "virtio-blk-mmio",
            "virtio-pmem",
            "virtio-scsi",
        ] {
            let boot = BootInfo {
                vm_rootfs_driver: driver.into(),
                ..Default::default()
            };
            boot.validate().unwrap();
        }
        let boot = BootInfo {
            vm_rootfs_driver: "nvdimm".into(),
            ..Default::default()
        };
        assert_eq!(
            boot.validate().unwrap_err().to_string(),
            "nvdimm is unsupported block device type."
        );
    }

    #[test]
    fn kernel_params_are_put_in_front() {
        let mut boot = BootInfo::default();
        boot.add_kernel_params(vec![]);
        assert_eq!(boot.kernel_params, "");
        boot.add_kernel_params(vec!["a".into(), "b=1".into()]);
        assert_eq!(boot.kernel_params, "a b=1");
        boot.add_kernel_params(vec!["c".into()]);
        assert_eq!(boot.kernel_params, "c a b=1");
        boot.kernel_params = " x\ty ".into();
        boot.add_kernel_params(vec![]);
        assert_eq!(boot.kernel_params, " x\ty ");
    }

    #[test]
    fn empty_new_kernel_params_change_nothing() {
        let mut boot = BootInfo {
            kernel_params: " a  b ".into(),
            ..Default::default()
        };
        boot.replace_kernel_params("");
        assert_eq!(boot.kernel_params, " a  b ");
    }

    #[test]
    fn verity_params_are_stored_verbatim_or_not_at_all() {
        let old = "root_hash=1,salt=2,data_blocks=1,data_block_size=512,hash_block_size=512";
        let new = " root_hash=abc,salt=def,data_blocks=2,data_block_size=512,hash_block_size=512";
        let mut boot = BootInfo::default();
        boot.replace_kernel_verity_params(old).unwrap();
        assert_eq!(boot.kernel_verity_params, old);
        boot.replace_kernel_verity_params(" \t").unwrap();
        assert_eq!(boot.kernel_verity_params, old);
        boot.replace_kernel_verity_params("root_hash=abc")
            .unwrap_err();
        assert_eq!(boot.kernel_verity_params, old);
        boot.replace_kernel_verity_params(new).unwrap();
        assert_eq!(boot.kernel_verity_params, new);
    }

    #[test]
    fn boot_path_is_empty_or_exists() {
        let boot = BootInfo::default();
        boot.validate_boot_path("").unwrap();
        boot.validate_boot_path("/dev/null").unwrap();
        assert_eq!(
            boot.validate_boot_path("/missing").unwrap_err().to_string(),
            "path /missing is invalid: No such file or directory (os error 2)"
        );
    }
}
