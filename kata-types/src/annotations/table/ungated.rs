//! Annotations of the agent and runtime sections, which are always honoured.

use super::super::keys::*;
use super::super::setting::Setting;
use super::{Row, row};

/// Names of the runtime handlers that a pod may ask for.
const RUNTIME_NAMES: &[&str] = &["virt-container", "linux-container", "wasm-container"];

/// Keys that are always honoured, sorted.
pub(in crate::annotations) const UNGATED: &[Row] = &[
    row(
        KATA_ANNO_CFG_AGENT_CDH_API_TIMEOUT,
        "cdh_api_timeout_ms",
        Setting::U32(|s| &mut s.agent.cdh_api_timeout_ms),
    ),
    row(
        KATA_ANNO_CFG_AGENT_CONTAINER_PIPE_SIZE,
        "container_pipe_size",
        Setting::U32(|s| &mut s.agent.container_pipe_size),
    ),
    row(
        KATA_ANNO_CFG_AGENT_TRACE,
        "enable_tracing",
        Setting::Bool(|s| &mut s.agent.enable_tracing),
    ),
    row(
        KATA_ANNO_CFG_KERNEL_MODULES,
        "kernel_modules",
        Setting::Append(|s| &mut s.agent.kernel_modules, ';'),
    ),
    row(
        KATA_ANNO_CFG_RUNTIME_AGENT,
        "agent_name",
        Setting::Selection,
    ),
    row(
        KATA_ANNO_CFG_RUNTIME_CREATE_CONTAINTER_TIMEOUT,
        "create_container_timeout",
        Setting::Seconds(|s| &mut s.agent.request_timeout_ms),
    ),
    row(
        KATA_ANNO_CFG_DISABLE_GUEST_EMPTY_DIR,
        "disable_guest_empty_dir",
        Setting::Bool(|s| &mut s.runtime.disable_guest_empty_dir),
    ),
    row(
        KATA_ANNO_CFG_DISABLE_GUEST_SECCOMP,
        "disable_guest_seccomp",
        Setting::Bool(|s| &mut s.runtime.disable_guest_seccomp),
    ),
    row(
        KATA_ANNO_CFG_DISABLE_NEW_NETNS,
        "disable_new_netns",
        Setting::Bool(|s| &mut s.runtime.disable_new_netns),
    ),
    row(
        KATA_ANNO_CFG_ENABLE_PPROF,
        "enable_pprof",
        Setting::Bool(|s| &mut s.runtime.enable_pprof),
    ),
    row(
        KATA_ANNO_CFG_ENABLE_VCPUS_PINNING,
        "enable_vcpus_pinning",
        Setting::Bool(|s| &mut s.runtime.enable_vcpus_pinning),
    ),
    row(
        KATA_ANNO_CFG_EXPERIMENTAL,
        "experimental",
        Setting::Append(|s| &mut s.runtime.experimental, ','),
    ),
    row(
        KATA_ANNO_CFG_RUNTIME_HYPERVISOR,
        "hypervisor_name",
        Setting::Selection,
    ),
    row(
        KATA_ANNO_CFG_INTER_NETWORK_MODEL,
        "internetworking_model",
        Setting::Text(|s| &mut s.runtime.internetworking_model),
    ),
    row(
        KATA_ANNO_CFG_RUNTIME_NAME,
        "name",
        Setting::Choice(|s| &mut s.runtime.name, RUNTIME_NAMES),
    ),
    row(
        KATA_ANNO_CFG_SANDBOX_BIND_MOUNTS,
        "sandbox_bind_mounts",
        Setting::Forbidden,
    ),
    row(
        KATA_ANNO_CFG_SANDBOX_CGROUP_ONLY,
        "sandbox_cgroup_only",
        Setting::Bool(|s| &mut s.runtime.sandbox_cgroup_only),
    ),
    row(
        KATA_ANNO_CFG_SHARED_MOUNTS,
        "shared_mounts",
        Setting::SharedMounts(|s| &mut s.runtime.shared_mounts),
    ),
    row(
        KATA_ANNO_CFG_VFIO_MODE,
        "vfio_mode",
        Setting::Text(|s| &mut s.runtime.vfio_mode),
    ),
];
