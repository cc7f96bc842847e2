//! Keys that this runtime does not know, and what became of them (§4.7, §6).

use super::Section;
use crate::config::diagnostics::DiagnosticKind;

/// One key that users carry over from another runtime.
#[derive(Debug)]
pub(crate) struct Former {
    section: Section,
    name: &'static str,
    pub(crate) kind: DiagnosticKind,
    /// What to write instead: a key of the same section, or a dotted one in which `<name>` stands
    /// for the hypervisor in use.
    pub(crate) instead: Option<&'static str>,
    pub(crate) message: &'static str,
    /// What a number has to be multiplied by to keep its meaning.
    pub(crate) factor: Option<u32>,
}

/// What is known about an unknown key.
pub(crate) fn former(section: Section, name: &str) -> Option<&'static Former> {
    FORMER
        .iter()
        .find(|former| former.section == section && former.name == name)
}

const GO_ONLY: &str = "only the Go runtime has this key";
const NEWER: &str = "needs a newer runtime";
const SPLIT: &str = "renamed, and one key for each direction, rx_rate_limiter_max_rate and \
    tx_rate_limiter_max_rate; nothing acts on them yet";
const NO_SUCH_LIMIT: &str = "replaced by a bandwidth for each direction, rx_rate_limiter_max_rate \
    and tx_rate_limiter_max_rate; nothing acts on them yet";

const FORMER: &[Former] = &[
    // The order is that of the sections, then of the names.
    moved(
        Section::Root,
        "factory.enable_template",
        "hypervisor.<name>.factory.enable_template",
    ),
    moved(
        Section::Root,
        "factory.template_path",
        "hypervisor.<name>.factory.template_path",
    ),
    gone(Section::Root, "factory.vm_cache_endpoint", GO_ONLY),
    gone(Section::Root, "factory.vm_cache_number", GO_ONLY),
    gone(Section::Hypervisor, "disable_nested_virtualization", NEWER),
    gone(Section::Hypervisor, "enable_numa", GO_ONLY),
    gone(Section::Hypervisor, "firmware_volume", GO_ONLY),
    gone(Section::Hypervisor, "guest_extension_images", NEWER),
    gone(Section::Hypervisor, "hot_plug_vfio", GO_ONLY),
    renamed(
        Section::Hypervisor,
        "hypervisor_loglevel",
        "log_level",
        "renamed, and takes the name of a level, such as \"info\", instead of a number",
    ),
    gone(Section::Hypervisor, "indep_iothreads", NEWER),
    gone(Section::Hypervisor, "measurement_algo", GO_ONLY),
    gone(
        Section::Hypervisor,
        "msize_9p",
        "9p is not supported; directories are shared through virtio-fs",
    ),
    renamed(
        Section::Hypervisor,
        "net_rate_limiter_bw_max_rate",
        "rx_rate_limiter_max_rate",
        SPLIT,
    ),
    renamed(
        Section::Hypervisor,
        "net_rate_limiter_bw_one_time_burst",
        "rx_rate_limiter_max_rate",
        NO_SUCH_LIMIT,
    ),
    renamed(
        Section::Hypervisor,
        "net_rate_limiter_ops_max_rate",
        "rx_rate_limiter_max_rate",
        NO_SUCH_LIMIT,
    ),
    renamed(
        Section::Hypervisor,
        "net_rate_limiter_ops_one_time_burst",
        "rx_rate_limiter_max_rate",
        NO_SUCH_LIMIT,
    ),
    gone(Section::Hypervisor, "numa_mapping", GO_ONLY),
    gone(Section::Hypervisor, "overhead_memory", NEWER),
    gone(Section::Hypervisor, "overhead_vcpus", NEWER),
    renamed(
        Section::Hypervisor,
        "seccompsandbox",
        "seccomp_sandbox",
        "renamed",
    ),
    gone(Section::Hypervisor, "use_legacy_serial", GO_ONLY),
    gone(
        Section::Hypervisor,
        "vhost_user_reconnect_timeout_sec",
        GO_ONLY,
    ),
    gone(Section::Factory, "vm_cache_endpoint", GO_ONLY),
    gone(Section::Factory, "vm_cache_number", GO_ONLY),
    Former {
        factor: Some(1000),
        ..renamed(
            Section::Agent,
            "cdh_api_timeout",
            "cdh_api_timeout_ms",
            "renamed, and in milliseconds instead of seconds",
        )
    },
    Former {
        factor: Some(1000),
        ..renamed(
            Section::Agent,
            "dial_timeout",
            "dial_timeout_ms",
            "renamed, and in milliseconds instead of seconds",
        )
    },
    gone(Section::Runtime, "experimental_force_guest_pull", GO_ONLY),
    renamed(
        Section::Runtime,
        "guest_selinux_label",
        "hypervisor.<name>.selinux_label",
        "renamed, and a key of the hypervisor",
    ),
    gone(Section::Runtime, "kubelet_root_dir", GO_ONLY),
];

const fn gone(section: Section, name: &'static str, message: &'static str) -> Former {
    Former {
        section,
        name,
        kind: DiagnosticKind::UnknownKey,
        instead: None,
        message,
        factor: None,
    }
}

const fn renamed(
    section: Section,
    name: &'static str,
    instead: &'static str,
    message: &'static str,
) -> Former {
    Former {
        section,
        name,
        kind: DiagnosticKind::Renamed,
        instead: Some(instead),
        message,
        factor: None,
    }
}

const fn moved(section: Section, name: &'static str, instead: &'static str) -> Former {
    Former {
        section,
        name,
        kind: DiagnosticKind::WrongSection,
        instead: Some(instead),
        message: "belongs to another section",
        factor: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn former_keys_are_unknown_and_listed_once() {
        for (number, former) in FORMER.iter().enumerate() {
            assert!(former.section.find(former.name).is_none(), "{former:?}");
            let again = FORMER
                .iter()
                .position(|other| other.section == former.section && other.name == former.name);
            assert_eq!(again, Some(number), "{former:?}");
        }
    }

    #[test]
    fn replacements_exist() {
        for former in FORMER {
            let Some(instead) = former.instead else {
                continue;
            };
            let known = match instead.strip_prefix("hypervisor.<name>.") {
                None => former.section.find(instead),
                Some(name) => match name.strip_prefix("factory.") {
                    Some(name) => Section::Factory.find(name),
                    None => Section::Hypervisor.find(name),
                },
            };
            assert!(
                known.is_some_and(|spec| !spec.name.is_empty()),
                "{former:?}"
            );
        }
    }
}
