//! The `[runtime]` section.

mod form;
mod network;
pub(super) mod shared_mount;
mod vendor;

use std::io;

use serde::{Deserialize, Serialize};

use super::adjust::{Adjuster, Checked, KeyedError, adjust_alone};
use super::check::{Checker, check_alone};
use super::diagnostics::DiagnosticKind;
use super::hypervisor::HYPERVISOR_NAME_REMOTE;
use super::path::check_exists;
use super::redact::{Secret, redacted_debug};
use super::{ConfigOps, TomlConfig, default};
use crate::mount::split_bind_mounts;

use network::ReplacedNetwork;
use shared_mount::SharedMount;
pub use vendor::RuntimeVendor;

/// Name of the runtime that runs containers in VMs.
pub const RUNTIME_NAME_VIRTCONTAINER: &str = "virt_container";

/// `emptyDir` volumes are directories of the shared file system.
pub const EMPTYDIR_MODE_SHARED_FS: &str = "shared-fs";
/// `emptyDir` volumes are encrypted block devices.
pub const EMPTYDIR_MODE_BLOCK_ENCRYPTED: &str = "block-encrypted";
/// `emptyDir` volumes are block devices. The runtime of this version does not know it, and
/// [`TomlConfig::validate`] does not accept it.
pub const EMPTYDIR_MODE_BLOCK_PLAIN: &str = "block-plain";

pub(super) const INTERNETWORKING_MODEL_NONE: &str = "none";
/// The pod network is routed. The runtime of this version does not know it, and
/// [`TomlConfig::validate`] does not accept it.
pub const INTERNETWORKING_MODEL_L3FORWARDING: &str = "l3forwarding";

const INTERNETWORKING_MODELS: [&str; 4] = ["", "macvtap", INTERNETWORKING_MODEL_NONE, "tcfilter"];
const VFIO_MODES: [&str; 3] = ["", "vfio", "guest-kernel"];
// Empty is what a configuration has before it is adjusted (D32).
const EMPTYDIR_MODES: [&str; 3] = ["", EMPTYDIR_MODE_SHARED_FS, EMPTYDIR_MODE_BLOCK_ENCRYPTED];

/// Directory with descriptions of directly attached networks.
const DEFAULT_DAN_CONF: &str = "/run/kata-containers/dans";

/// The `[runtime]` section. Unknown keys are ignored.
///
/// [`Debug`](std::fmt::Debug) does not show `jaeger_password`.
#[derive(Clone, Deserialize, Serialize)]
#[serde(default = "Runtime::default")]
// One key, two fields, with the sample vendor extension; see `form`.
#[cfg_attr(feature = "enable-vendor", serde(remote = "Self"))]
pub struct Runtime {
    /// Name of the runtime: `virt_container`. Default: empty.
    pub name: String,

    /// Name of the hypervisor section to use. Default: empty.
    pub hypervisor_name: String,

    /// Name of the agent section to use. Default: empty.
    pub agent_name: String,

    /// The runtime logs more; the key is `enable_debug`. Default: false.
    #[serde(rename = "enable_debug")]
    pub debug: bool,

    /// Log level: `trace`, `debug`, `info`, `warn`, `error` or `critical`. Default: `info`.
    pub log_level: String,

    /// Names of experimental features to use. Default: none.
    pub experimental: Vec<String>,

    /// How the VM is connected to the pod network: `tcfilter`, `macvtap` or `none`.
    ///
    /// Default: `tcfilter`. Always `none` while the remote hypervisor is the one in use.
    pub internetworking_model: String,

    /// The sandbox uses the network namespace of the host instead of one of its own.
    /// Default: false. Always false while the remote hypervisor is the one in use.
    pub disable_new_netns: bool,

    /// Paths of the host to bind read-only into the guest, with `:ro` or `:rw` appended if need
    /// be. Default: none.
    pub sandbox_bind_mounts: Vec<String>,

    /// Only the sandbox has a cgroup, the one that the container manager made. Default: false.
    pub sandbox_cgroup_only: bool,

    /// Each virtual CPU runs on one CPU of the host. Default: false.
    pub enable_vcpus_pinning: bool,

    /// The runtime sends OpenTelemetry traces. Default: false.
    pub enable_tracing: bool,

    /// Collector of the traces. Default: empty, `http://localhost:14268/api/traces`.
    pub jaeger_endpoint: String,

    /// User name for the collector. Default: empty.
    pub jaeger_user: String,

    /// Password for the collector. Default: empty.
    pub jaeger_password: String,

    /// The runtime serves profiles of itself. Default: false. Ignored by the runtime of this
    /// version.
    pub enable_pprof: bool,

    /// VMs get their final size from the start; nothing is hot-plugged. Default: false.
    pub static_sandbox_resource_mgmt: bool,

    /// The agent applies no seccomp filters to containers. Default: false.
    pub disable_guest_seccomp: bool,

    /// `emptyDir` volumes are made on the host instead of in the guest. Default: false.
    pub disable_guest_empty_dir: bool,

    /// What `emptyDir` volumes are: `shared-fs` or `block-encrypted`. Default: `shared-fs`.
    pub emptydir_mode: String,

    /// How the guest sees VFIO devices: `vfio` or `guest-kernel`. Default: empty.
    pub vfio_mode: String,

    /// A sandbox is kept for inspection when its VM ends by itself. Default: false.
    pub keep_abnormal: bool,

    /// Directory with descriptions of directly attached networks.
    ///
    /// Default: `/run/kata-containers/dans`.
    pub dan_conf: String,

    /// Stdio of containers is passed as file descriptors over vsock. Default: false.
    pub use_passfd_io: bool,

    /// Vsock port for passed stdio streams. Default: 1027.
    pub passfd_listener_port: u32,

    /// Path of the kubelet's pod resources socket. Default: empty.
    pub pod_resource_api_sock: String,

    /// Vendor settings.
    #[serde(flatten)]
    pub vendor: RuntimeVendor,

    /// What the remote hypervisor replaced, to bring it back for a pod that selects another one.
    // Public, because consumers use `..Default::default()`.
    #[doc(hidden)]
    #[serde(skip)]
    pub replaced_network: ReplacedNetwork,

    /// Mounts that containers of a pod share. Default: none.
    // The last field, because these are tables (D25).
    pub shared_mounts: Vec<SharedMount>,
}

impl Default for Runtime {
    fn default() -> Runtime {
        Runtime {
            name: String::new(),
            hypervisor_name: String::new(),
            agent_name: String::new(),
            debug: false,
            log_level: "info".to_owned(),
            experimental: Vec::new(),
            internetworking_model: String::new(),
            disable_new_netns: false,
            sandbox_bind_mounts: Vec::new(),
            sandbox_cgroup_only: false,
            enable_vcpus_pinning: false,
            enable_tracing: false,
            jaeger_endpoint: String::new(),
            jaeger_user: String::new(),
            jaeger_password: String::new(),
            enable_pprof: false,
            static_sandbox_resource_mgmt: false,
            disable_guest_seccomp: false,
            disable_guest_empty_dir: false,
            emptydir_mode: String::new(),
            vfio_mode: String::new(),
            keep_abnormal: false,
            dan_conf: String::new(),
            use_passfd_io: false,
            passfd_listener_port: default::DEFAULT_PASSFD_LISTENER_PORT,
            pod_resource_api_sock: String::new(),
            vendor: RuntimeVendor::default(),
            replaced_network: ReplacedNetwork::default(),
            shared_mounts: Vec::new(),
        }
    }
}

redacted_debug!(Runtime {
    name,
    hypervisor_name,
    agent_name,
    debug,
    log_level,
    experimental,
    internetworking_model,
    disable_new_netns,
    sandbox_bind_mounts,
    sandbox_cgroup_only,
    enable_vcpus_pinning,
    enable_tracing,
    jaeger_endpoint,
    jaeger_user,
    jaeger_password: Secret(jaeger_password),
    enable_pprof,
    static_sandbox_resource_mgmt,
    disable_guest_seccomp,
    disable_guest_empty_dir,
    emptydir_mode,
    vfio_mode,
    keep_abnormal,
    dan_conf,
    use_passfd_io,
    passfd_listener_port,
    pod_resource_api_sock,
    vendor,
    replaced_network,
    shared_mounts,
});

impl Runtime {
    /// Whether `experimental` names `feature`.
    ///
    /// ```
    /// use kata_types::config::Runtime;
    ///
    /// let runtime = Runtime { experimental: vec!["a".into()], ..Default::default() };
    /// assert!(runtime.is_experiment_enabled("a"));
    /// assert!(!runtime.is_experiment_enabled("A"));
    /// ```
    pub fn is_experiment_enabled(&self, feature: &str) -> bool {
        self.experimental.iter().any(|name| name == feature)
    }

    fn adjust_in(&mut self, cx: &mut Adjuster<'_>) -> Checked {
        for (value, default) in [
            (
                &mut self.internetworking_model,
                default::DEFAULT_INTERNETWORKING_MODEL,
            ),
            (&mut self.emptydir_mode, EMPTYDIR_MODE_SHARED_FS),
            // D29: the consumer would look in the current directory, which is the bundle.
            (&mut self.dan_conf, DEFAULT_DAN_CONF),
        ] {
            if value.is_empty() {
                value.push_str(default);
            }
        }
        for entry in &mut self.sandbox_bind_mounts {
            let (path, mode) = split_bind_mounts(entry);
            let path = cx
                .canonical(path)
                .map_err(|e| bind_mount_error(entry, &e))?;
            let canonical = path.clone() + mode;
            if split_bind_mounts(&canonical).0 != path {
                // Whoever reads it next would mount another directory.
                let reason =
                    io::Error::other(format!("the end of `{path}` would be read as a mode"));
                return Err(bind_mount_error(entry, &reason));
            }
            *entry = canonical;
        }
        Ok(())
    }

    fn validate_in(&self, cx: &Checker<'_>) -> Checked {
        for (key, value, known) in [
            (
                "internetworking_model",
                &self.internetworking_model,
                &INTERNETWORKING_MODELS as &[&str],
            ),
            ("vfio_mode", &self.vfio_mode, &VFIO_MODES),
            ("emptydir_mode", &self.emptydir_mode, &EMPTYDIR_MODES),
        ] {
            if !known.contains(&value.as_str()) {
                let message = format!("Invalid {key} `{value}` in configuration file");
                return Err(KeyedError::other(key, message));
            }
        }
        for mount in &self.shared_mounts {
            mount
                .validate()
                .map_err(|e| KeyedError::new("shared_mounts", e))?;
        }
        for entry in &self.sandbox_bind_mounts {
            let (path, _) = split_bind_mounts(entry);
            // No path is a missing one here, and not one that is left to the default.
            let found = match path {
                "" => check_exists(path),
                path => cx.resolves(path),
            };
            found.map_err(|e| bind_mount_error(entry, &e))?;
        }
        Ok(())
    }
}

impl ConfigOps for Runtime {
    /// Fills in defaults, and resolves `sandbox_bind_mounts`.
    fn adjust_config(conf: &mut TomlConfig) -> io::Result<()> {
        adjust_alone(|cx| adjust_runtime(conf, cx))
    }

    /// Checks the modes, and that all mounts are possible.
    fn validate(conf: &TomlConfig) -> io::Result<()> {
        check_alone(|cx| validate_runtime(conf, cx))
    }
}

const SECTION: &str = "runtime";

pub(super) fn adjust_runtime(conf: &mut TomlConfig, cx: &mut Adjuster<'_>) -> Checked {
    cx.enter(SECTION.to_owned());
    RuntimeVendor::adjust_config(conf).map_err(|e| KeyedError::new(SECTION, e))?;
    if conf.runtime.hypervisor_name != HYPERVISOR_NAME_REMOTE {
        conf.runtime
            .restore_network(|key, change| cx.note_at(key, DiagnosticKind::Policy, change));
    }
    conf.runtime.adjust_in(cx).map_err(|e| e.below(SECTION))
}

pub(super) fn validate_runtime(conf: &TomlConfig, cx: &Checker<'_>) -> Checked {
    RuntimeVendor::validate(conf).map_err(|e| KeyedError::new(SECTION, e))?;
    conf.runtime.validate_in(cx).map_err(|e| e.below(SECTION))
}

fn bind_mount_error(entry: &str, reason: &io::Error) -> KeyedError {
    KeyedError::other(
        "sandbox_bind_mounts",
        format!("sandbox bind mount `{entry}` is invalid: {reason}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(runtime: Runtime) -> TomlConfig {
        TomlConfig {
            runtime,
            ..Default::default()
        }
    }

    fn adjusted(runtime: Runtime) -> io::Result<Runtime> {
        let mut conf = conf(runtime);
        <Runtime as ConfigOps>::adjust_config(&mut conf).map(|()| conf.runtime)
    }

    fn error(runtime: Runtime) -> String {
        <Runtime as ConfigOps>::validate(&conf(runtime))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn adjust_fills_in_defaults_and_keeps_what_is_set() {
        let runtime = adjusted(Runtime::default()).unwrap();
        assert_eq!(runtime.internetworking_model, "tcfilter");
        assert_eq!(runtime.emptydir_mode, "shared-fs");
        assert_eq!(runtime.dan_conf, "/run/kata-containers/dans");
        assert_eq!(runtime.vfio_mode, "");

        let runtime = adjusted(Runtime {
            internetworking_model: "macvtap".into(),
            emptydir_mode: "bad".into(),
            dan_conf: "/d".into(),
            ..Default::default()
        })
        .unwrap();
        assert_eq!(runtime.internetworking_model, "macvtap");
        assert_eq!(runtime.emptydir_mode, "bad");
        assert_eq!(runtime.dan_conf, "/d");
    }

    #[test]
    fn bind_mounts_are_resolved_and_keep_their_mode() {
        let runtime = adjusted(Runtime {
            sandbox_bind_mounts: ["/proc/../dev", "/proc/../dev:ro", "/dev/.:rw"]
                .map(str::to_owned)
                .to_vec(),
            ..Default::default()
        })
        .unwrap();
        assert_eq!(runtime.sandbox_bind_mounts, ["/dev", "/dev:ro", "/dev:rw"]);
        <Runtime as ConfigOps>::validate(&conf(runtime)).unwrap();
    }

    #[test]
    fn bind_mount_is_never_cut_where_its_link_leads() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link").display().to_string();
        let target = dir.path().join("data:ro");
        std::fs::create_dir(&target).unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let mount = |entry| {
            adjusted(Runtime {
                sandbox_bind_mounts: vec![entry],
                ..Default::default()
            })
        };
        let error = mount(link.clone()).unwrap_err().to_string();
        assert!(error.contains("would be read as a mode"), "{error}");
        let once = mount(format!("{link}:rw")).unwrap();
        assert!(
            once.sandbox_bind_mounts
                .iter()
                .all(|e| e.ends_with("/data:ro:rw"))
        );
        let twice = adjusted(once.clone()).unwrap();
        assert_eq!(twice.sandbox_bind_mounts, once.sandbox_bind_mounts);
    }

    #[test]
    fn missing_bind_mounts_are_errors_of_adjust_and_of_validate() {
        for entry in ["/missing", "/missing:ro", "", ":ro"] {
            let runtime = Runtime {
                sandbox_bind_mounts: vec!["/dev".into(), entry.into()],
                ..Default::default()
            };
            let text = format!(
                "sandbox bind mount `{entry}` is invalid: No such file or directory (os error 2)"
            );
            assert_eq!(error(runtime.clone()), text);
            assert_eq!(adjusted(runtime).unwrap_err().to_string(), text);
        }
    }

    #[test]
    fn modes_are_compared_as_a_whole() {
        type Field = fn(&mut Runtime) -> &mut String;
        let cases: [(Field, &str, &[&str], &[&str]); 3] = [
            (
                |r| &mut r.internetworking_model,
                "internetworking_model",
                &["", "macvtap", "none", "tcfilter"],
                &["macvtap,none", "l3forwarding", "TCFilter", " none"],
            ),
            (
                |r| &mut r.vfio_mode,
                "vfio_mode",
                &["", "vfio", "guest-kernel"],
                &["guest_kernel", "vfio,guest-kernel"],
            ),
            (
                |r| &mut r.emptydir_mode,
                "emptydir_mode",
                &["", "shared-fs", "block-encrypted"],
                &["block-plain", "shared_fs"],
            ),
        ];
        for (field, key, valid, invalid) in cases {
            let with = |value: &str| {
                let mut runtime = Runtime::default();
                *field(&mut runtime) = value.to_owned();
                runtime
            };
            for value in valid {
                <Runtime as ConfigOps>::validate(&conf(with(value))).unwrap();
            }
            for value in invalid {
                assert_eq!(
                    error(with(value)),
                    format!("Invalid {key} `{value}` in configuration file")
                );
            }
        }
    }

    #[test]
    fn macvtap_goes_with_the_host_network_namespace() {
        let runtime = Runtime {
            internetworking_model: "macvtap".into(),
            disable_new_netns: true,
            ..Default::default()
        };
        <Runtime as ConfigOps>::validate(&conf(runtime)).unwrap();
    }

    #[test]
    fn shared_mounts_are_validated() {
        let runtime = Runtime {
            shared_mounts: vec![SharedMount::default()],
            ..Default::default()
        };
        assert_eq!(
            error(runtime),
            "shared_mount: field 'name' couldn't be empty."
        );
    }

    #[test]
    fn debug_does_not_show_the_password() {
        let runtime = Runtime {
            jaeger_password: "secret".into(),
            jaeger_user: "me".into(),
            ..Default::default()
        };
        let text = format!("{runtime:?}");
        assert!(text.contains("jaeger_password: ***"), "{text}");
        assert!(text.contains("jaeger_user: \"me\""), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}
