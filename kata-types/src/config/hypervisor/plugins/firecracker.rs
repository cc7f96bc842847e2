//! [Firecracker](https://firecracker-microvm.github.io).

use super::fields::{ENTROPY_SOURCE, IMAGE, KERNEL, KERNEL_PARAMS, MEMORY, MEMORY_SLOTS, PATH};
use super::rules::{BuiltInPlugin, Check, Step, built_in_plugin};
use crate::config::ConfigPlugin;
use crate::config::adjust::{Checked, KeyedError};
use crate::config::check::Checker;
use crate::config::default;
use crate::config::hypervisor::Hypervisor;

/// Name of Firecracker in the configuration.
pub const HYPERVISOR_NAME_FIRECRACKER: &str = "firecracker";

/// The plugin of Firecracker.
#[derive(Default, Debug)]
pub struct FirecrackerConfig {}

built_in_plugin!(FirecrackerConfig, RULES);

static RULES: BuiltInPlugin = BuiltInPlugin {
    name: HYPERVISOR_NAME_FIRECRACKER,
    min_memory: default::MIN_FIRECRACKER_MEMORY_SIZE_MB,
    max_vcpus: default::MAX_FIRECRACKER_VCPUS,
    // `path` and `jailer_path` stay as they are configured: the jailer resolves them.
    steps: &[
        Step::Text(&KERNEL, default::DEFAULT_FIRECRACKER_GUEST_KERNEL_IMAGE),
        Step::Text(
            &KERNEL_PARAMS,
            default::DEFAULT_FIRECRACKER_GUEST_KERNEL_PARAMS,
        ),
        Step::Text(&ENTROPY_SOURCE, default::DEFAULT_FIRECRACKER_ENTROPY_SOURCE),
        Step::Number(&MEMORY, default::DEFAULT_FIRECRACKER_MEMORY_SIZE_MB),
        Step::Number(&MEMORY_SLOTS, default::DEFAULT_FIRECRACKER_MEMORY_SLOTS),
    ],
    checks: &[
        Check::Set(&PATH, "Firecracker path is empty"),
        Check::Exists(&PATH, "FIRECRACKER binary path `{}` is invalid: {}"),
        Check::Set(&KERNEL, "Guest kernel image for firecracker is empty"),
        Check::Rule(check_image),
        Check::VcpuLimit("Firecracker hypervisor can not support {} vCPUs"),
        Check::MemoryLimit("Firecracker hypervisor has minimal memory limitation {}"),
    ],
    runtime: None,
};

/// Firecracker boots from an image only (D19).
fn check_image(hv: &Hypervisor, _cx: &Checker<'_>) -> Checked {
    let message = match (
        hv.boot_info.image.is_empty(),
        hv.boot_info.initrd.is_empty(),
    ) {
        (false, _) => return Ok(()),
        (true, true) => "Both guest boot image and initrd for firecracker are empty",
        (true, false) => "Guest boot image for firecracker is empty (initrd is not supported)",
    };
    Err(KeyedError::other(IMAGE.key, message))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{
        MISSING, adjust, assert_checks, assert_ignores_other_sections, bootable,
    };
    use super::*;

    fn valid() -> Hypervisor {
        bootable(128)
    }

    #[test]
    fn adjust_fills_in_what_is_missing_and_resolves_nothing() {
        let hv = Hypervisor {
            path: "/missing/../x".into(),
            jailer_path: "/missing".into(),
            ..Default::default()
        };
        let hv = adjust(&RULES, hv).0.unwrap();
        assert_eq!(hv.path, "/missing/../x");
        assert_eq!(hv.jailer_path, "/missing");
        assert_eq!(hv.boot_info.kernel, "vmlinux");
        assert_eq!(hv.boot_info.kernel_params, "");
        assert_eq!(hv.machine_info.entropy_source, "/dev/urandom");
        assert_eq!(hv.memory_info.default_memory, 128);
        assert_eq!(hv.memory_info.memory_slots, 128);
        assert_eq!(hv.factory.template_path, "");
        assert_eq!(adjust(&RULES, Hypervisor::default()).0.unwrap().path, "");
    }

    #[test]
    fn checks_in_order() {
        assert_checks(
            &RULES,
            valid,
            &[
                (
                    "path",
                    |hv| hv.path = "/missing".into(),
                    &format!("FIRECRACKER binary path `/missing` is invalid: {MISSING}"),
                ),
                (
                    "kernel",
                    |hv| hv.boot_info.kernel.clear(),
                    "Guest kernel image for firecracker is empty",
                ),
                (
                    "image",
                    |hv| hv.boot_info.image.clear(),
                    "Both guest boot image and initrd for firecracker are empty",
                ),
                (
                    "default_maxvcpus",
                    |hv| hv.cpu_info.default_maxvcpus = 33,
                    "Firecracker hypervisor can not support 33 vCPUs",
                ),
                (
                    "default_memory",
                    |hv| hv.memory_info.default_memory = 127,
                    "Firecracker hypervisor has minimal memory limitation 128",
                ),
            ],
        );
        assert_checks(
            &RULES,
            valid,
            &[("path", |hv| hv.path.clear(), "Firecracker path is empty")],
        );
        assert_checks(
            &RULES,
            valid,
            &[(
                "image",
                |hv| {
                    hv.boot_info.image.clear();
                    hv.boot_info.initrd = "/i".into();
                },
                "Guest boot image for firecracker is empty (initrd is not supported)",
            )],
        );
    }

    #[test]
    fn other_sections_are_ignored() {
        assert_ignores_other_sections(&RULES);
    }
}
