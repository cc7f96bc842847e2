//! A hypervisor on another machine, reached through a service on this one.

use super::fields::{
    HYPERVISOR_SOCKET, HYPERVISOR_TIMEOUT, INITRD, MEMORY, MEMORY_SLOTS, ROOTFS_TYPE, TEMPLATE_PATH,
};
use super::rules::{BuiltInPlugin, Check, Step, built_in_plugin};
use crate::config::adjust::{Adjuster, Checked, KeyedError};
use crate::config::check::Checker;
use crate::config::diagnostics::DiagnosticKind;
use crate::config::hypervisor::Hypervisor;
use crate::config::hypervisor::memory::MemoryUnit;
use crate::config::{ConfigPlugin, Runtime, default};

/// Name of the remote hypervisor in the configuration.
pub const HYPERVISOR_NAME_REMOTE: &str = "remote";

/// The plugin of the remote hypervisor.
#[derive(Default, Debug)]
pub struct RemoteConfig {}

built_in_plugin!(RemoteConfig, RULES);

static RULES: BuiltInPlugin = BuiltInPlugin {
    name: HYPERVISOR_NAME_REMOTE,
    min_memory: default::MIN_REMOTE_MEMORY_SIZE_MB,
    max_vcpus: default::MAX_REMOTE_VCPUS,
    steps: &[
        Step::Text(
            &HYPERVISOR_SOCKET,
            default::DEFAULT_REMOTE_HYPERVISOR_SOCKET,
        ),
        Step::Resolve(
            &HYPERVISOR_SOCKET,
            "Remote hypervisor socket `{}` is invalid: {}",
        ),
        Step::Time(
            &HYPERVISOR_TIMEOUT,
            default::DEFAULT_REMOTE_HYPERVISOR_TIMEOUT,
        ),
        Step::Number(&MEMORY, default::DEFAULT_REMOTE_MEMORY_SIZE_MB),
        Step::Number(&MEMORY_SLOTS, default::DEFAULT_REMOTE_MEMORY_SLOTS),
        Step::Text(&TEMPLATE_PATH, default::DEFAULT_TEMPLATE_PATH),
    ],
    checks: &[
        Check::Rule(check_memory_hotplug),
        Check::Rule(check_cpu_hotplug),
        Check::Empty(&INITRD, "Remote hypervisor does not support initrd"),
        Check::Empty(
            &ROOTFS_TYPE,
            "Remote hypervisor does not support rootfs_type",
        ),
        Check::Must(
            "block_device_driver",
            |hv| hv.blockdev_info.block_device_driver != "nvdimm",
            "Remote hypervisor does not support nvdimm",
        ),
        Check::MemoryLimit("Remote hypervisor has minimal memory limitation {}"),
    ],
    runtime: Some(adjust_runtime),
};

/// The network of the VM is not on this machine.
fn adjust_runtime(runtime: &mut Runtime, cx: &mut Adjuster<'_>) {
    runtime.replace_network(|key, change| cx.note_at(key, DiagnosticKind::Policy, change));
}

fn check_memory_hotplug(hv: &Hypervisor, cx: &Checker<'_>) -> Checked {
    let host = cx
        .host
        .memory_mib()
        .map_err(|e| KeyedError::new("default_maxmemory", e))?;
    // What adjustment leaves of it: memory is not plugged in MiB everywhere.
    if hv.memory_info.default_maxmemory == MemoryUnit::HERE.whole(host) {
        return Ok(());
    }
    Err(KeyedError::other(
        "default_maxmemory",
        "Remote hypervisor does not support memory hotplug, default_maxmemory must be equal to \
         the total system memory",
    ))
}

fn check_cpu_hotplug(hv: &Hypervisor, cx: &Checker<'_>) -> Checked {
    if hv.cpu_info.default_maxvcpus == cx.host.cpus() {
        return Ok(());
    }
    Err(KeyedError::other(
        "default_maxvcpus",
        "Remote hypervisor does not support CPU hotplug, default_maxvcpus must be equal to the \
         total system CPUs",
    ))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{
        CPUS, MEMORY_MIB, MISSING, adjust, assert_checks, assert_ignores_other_sections, config,
    };
    use super::*;
    use crate::config::adjust::AdjustReport;
    use crate::config::host::Host;

    fn valid() -> Hypervisor {
        let mut hv = Hypervisor::default();
        hv.remote_info.hypervisor_socket = "/dev/null".into();
        hv.memory_info.default_memory = 64;
        hv.memory_info.default_maxmemory = MEMORY_MIB;
        hv.cpu_info.default_maxvcpus = CPUS;
        hv
    }

    #[test]
    fn adjust_fills_in_what_is_missing() {
        let mut hv = Hypervisor::default();
        hv.remote_info.hypervisor_socket = "/dev/../dev/null".into();
        let hv = adjust(&RULES, hv).0.unwrap();
        assert_eq!(hv.remote_info.hypervisor_socket, "/dev/null");
        assert_eq!(hv.remote_info.hypervisor_timeout, 600);
        assert_eq!(hv.memory_info.default_memory, 128);
        assert_eq!(hv.memory_info.memory_slots, 128);
        assert_eq!(hv.factory.template_path, "/run/vc/vm/template");
        assert_eq!(hv.machine_info.entropy_source, "");
        assert_eq!(hv.boot_info.kernel, "");
    }

    #[test]
    fn socket_must_exist() {
        let mut hv = valid();
        hv.remote_info.hypervisor_socket = "/missing".into();
        assert_eq!(
            adjust(&RULES, hv).0.unwrap_err().to_string(),
            format!("Remote hypervisor socket `/missing` is invalid: {MISSING}")
        );
        let text = "Remote hypervisor socket `/run/peerpod/hypervisor.sock` is invalid: ";
        match adjust(&RULES, Hypervisor::default()).0 {
            Ok(hv) => assert!(hv.remote_info.hypervisor_socket.starts_with('/')),
            Err(error) => assert!(error.to_string().starts_with(text), "{error}"),
        }
    }

    #[test]
    fn checks_in_order() {
        assert_checks(
            &RULES,
            valid,
            &[
                (
                    "default_maxmemory",
                    |hv| hv.memory_info.default_maxmemory -= 1,
                    "Remote hypervisor does not support memory hotplug, default_maxmemory must be \
                     equal to the total system memory",
                ),
                (
                    "default_maxvcpus",
                    |hv| hv.cpu_info.default_maxvcpus -= 1,
                    "Remote hypervisor does not support CPU hotplug, default_maxvcpus must be \
                     equal to the total system CPUs",
                ),
                (
                    "initrd",
                    |hv| hv.boot_info.initrd = "/i".into(),
                    "Remote hypervisor does not support initrd",
                ),
                (
                    "rootfs_type",
                    |hv| hv.boot_info.rootfs_type = "ext4".into(),
                    "Remote hypervisor does not support rootfs_type",
                ),
                (
                    "block_device_driver",
                    |hv| hv.blockdev_info.block_device_driver = "nvdimm".into(),
                    "Remote hypervisor does not support nvdimm",
                ),
                (
                    "default_memory",
                    |hv| hv.memory_info.default_memory = 63,
                    "Remote hypervisor has minimal memory limitation 64",
                ),
            ],
        );
    }

    #[test]
    fn the_memory_that_adjustment_leaves_is_the_one_that_is_demanded() {
        for host in [4096, 16007] {
            let host = Host::with(CPUS, host);
            for mut hv in [Hypervisor::default(), valid()] {
                hv.memory_info.default_maxmemory = u32::MAX;
                let mut report = AdjustReport::default();
                hv.memory_info
                    .adjust_in(&mut Adjuster::new(&host, &mut report))
                    .unwrap();
                check_memory_hotplug(&hv, &Checker::new(&host)).unwrap();
            }
        }
    }

    #[test]
    fn the_active_remote_hypervisor_has_no_local_network() {
        let mut config = config(HYPERVISOR_NAME_REMOTE, valid());
        config.runtime.internetworking_model = "macvtap".into();
        config.runtime.disable_new_netns = true;

        config.runtime.hypervisor_name = "qemu".into();
        RULES.adjust_config(&mut config).unwrap();
        assert_eq!(config.runtime.internetworking_model, "macvtap");
        assert!(config.runtime.disable_new_netns);

        config.runtime.hypervisor_name = HYPERVISOR_NAME_REMOTE.into();
        RULES.adjust_config(&mut config).unwrap();
        assert_eq!(config.runtime.internetworking_model, "none");
        assert!(!config.runtime.disable_new_netns);
    }

    #[test]
    fn other_sections_are_ignored() {
        assert_ignores_other_sections(&RULES);
    }
}
