//! Empty values to fill in, for the types whose `Default` in `oci-spec` is a *sample*: a process
//! that runs `sh` with three capabilities, a `linux` with six namespaces (D5).
//!
//! Each is made once and then cloned, which allocates nothing because nothing is in it.

use std::{path::PathBuf, sync::LazyLock};

use super::oci;

static SPEC: LazyLock<oci::Spec> = LazyLock::new(|| {
    let mut spec = oci::Spec::default();
    spec.set_version(String::new())
        .set_process(None)
        .set_root(None)
        .set_hostname(None)
        .set_mounts(None)
        .set_annotations(None)
        .set_linux(None);
    spec
});

static PROCESS: LazyLock<oci::Process> = LazyLock::new(|| {
    let mut process = oci::Process::default();
    process
        .set_terminal(None)
        .set_args(None)
        .set_env(None)
        .set_cwd(PathBuf::new())
        .set_capabilities(None)
        .set_rlimits(None)
        .set_no_new_privileges(None);
    process
});

static CAPABILITIES: LazyLock<oci::LinuxCapabilities> = LazyLock::new(|| {
    let mut capabilities = oci::LinuxCapabilities::default();
    capabilities
        .set_bounding(None)
        .set_effective(None)
        .set_inheritable(None)
        .set_permitted(None)
        .set_ambient(None);
    capabilities
});

static ROOT: LazyLock<oci::Root> = LazyLock::new(|| {
    let mut root = oci::Root::default();
    root.set_path(PathBuf::new()).set_readonly(None);
    root
});

static LINUX: LazyLock<oci::Linux> = LazyLock::new(|| {
    let mut linux = oci::Linux::default();
    linux
        .set_resources(None)
        .set_namespaces(None)
        .set_masked_paths(None)
        .set_readonly_paths(None);
    linux
});

pub(super) fn spec() -> oci::Spec {
    SPEC.clone()
}

pub(super) fn process() -> oci::Process {
    PROCESS.clone()
}

pub(super) fn capabilities() -> oci::LinuxCapabilities {
    CAPABILITIES.clone()
}

pub(super) fn root() -> oci::Root {
    ROOT.clone()
}

pub(super) fn linux() -> oci::Linux {
    LINUX.clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json, to_value};

    /// A release of oci-spec that adds a sample value fails here.
    #[test]
    fn blank_values_hold_nothing() {
        let cases: [(Value, Value); 5] = [
            (to_value(spec()).unwrap(), json!({"ociVersion": ""})),
            (
                to_value(process()).unwrap(),
                json!({"user": {"uid": 0, "gid": 0}, "cwd": ""}),
            ),
            (to_value(capabilities()).unwrap(), json!({})),
            (to_value(root()).unwrap(), json!({"path": ""})),
            (to_value(linux()).unwrap(), json!({})),
        ];
        for (blank, expected) in cases {
            assert_eq!(blank, expected);
        }
        assert_eq!(process().user(), &oci::User::default());
    }
}
