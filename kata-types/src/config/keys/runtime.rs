//! Keys of `[runtime]` and `[[runtime.shared_mounts]]`.

use super::hypervisor::LEVELS;
use super::{ANY, Group, Kind, Section, rows};

pub(super) const GROUPS: &[Group] = &[
    Group {
        title: "Parts",
        keys: rows! {
            "name" Kind::Text, "\"\"" "" "runtime"
                "Runtime to use: virt_container.";
            "hypervisor_name" Kind::Text, "\"\"" "" "runtime, resources, kata-ctl, agent-ctl"
                "Hypervisor to use: the name of a [hypervisor.<name>] table.";
            "agent_name" Kind::Text, "\"\"" "" "runtime, kata-ctl"
                "Agent to use: the name of an [agent.<name>] table.";
        },
    },
    Group {
        title: "Sandbox",
        keys: rows! {
            "sandbox_cgroup_only" Kind::Bool, "false" "" "resources, kata-ctl"
                "Put all threads of the sandbox into one cgroup, whose limits then cover the virtual machine monitor too.";
            "static_sandbox_resource_mgmt" Kind::Bool, "false" "" "resources, kata-ctl"
                "Size the guest when it starts, from the pod's limits; nothing is added later.";
            "enable_vcpus_pinning" Kind::Bool, "false" "" "resources"
                "Pin each vCPU thread to one of the pod's processors when there are as many.";
            "sandbox_bind_mounts" Kind::Texts, "[]" "" "resources"
                "Host directories to show in the guest, each with :ro (the default) or :rw.";
            "shared_mounts" Kind::Tables(Section::SharedMount), "[]" "" "runtime"
                "Directories that one container of a pod shares with another.";
            "keep_abnormal" Kind::Bool, "false" "" "runtime"
                "Keep a guest that failed its health check, for debugging.";
        },
    },
    Group {
        title: "Network",
        keys: rows! {
            "internetworking_model" Kind::Text, "\"\"" "" "runtime"
                "How the guest reaches the pod's network: redirection (tcfilter), macvtap, or not at all (none)."
                .adjusted(&[("remote", "\"none\""), (ANY, "\"tcfilter\"")])
                .values(&["tcfilter", "macvtap", "none"]);
            "disable_new_netns" Kind::Bool, "false" "" "runtime, resources, kata-ctl"
                "Run in the host's network namespace when no other is given.";
            "dan_conf" Kind::Text, "\"\"" "" "resources"
                "Directory of directly attached networks, one file per sandbox."
                .adjusted(&[(ANY, "\"/run/kata-containers/dans\"")]);
        },
    },
    Group {
        title: "Containers",
        keys: rows! {
            "disable_guest_seccomp" Kind::Bool, "false" "" "runtime, kata-ctl"
                "Do not apply containers' seccomp profiles in the guest.";
            "disable_guest_empty_dir" Kind::Bool, "false" "" "runtime"
                "Keep emptyDir volumes on the host instead of in guest memory.";
            "emptydir_mode" Kind::Text, "\"\"" "" "resources, runtime"
                "How emptyDir volumes on disk reach the guest: as shared directory or as encrypted disk."
                .adjusted(&[(ANY, "\"shared-fs\"")])
                .values(&["shared-fs", "block-encrypted"]);
            "vfio_mode" Kind::Text, "\"\"" "" "resources, runtime"
                "How containers see VFIO devices: as VFIO nodes or through the guest's drivers; empty: guest-kernel."
                .values(&["vfio", "guest-kernel"]);
            "pod_resource_api_sock" Kind::Text, "\"\"" "" "runtime"
                "Socket of the kubelet's PodResources API, asked for the devices of a pod; empty: not asked.";
            "use_passfd_io" Kind::Bool, "false" "" "runtime"
                "Hand containers' standard streams over as descriptors instead of copying them.";
            "passfd_listener_port" Kind::U32, "1027" "" "runtime"
                "vsock port for `use_passfd_io`.";
            "experimental" Kind::Texts, "[]" "" "kata-ctl"
                "Experimental features to switch on.";
        },
    },
    Group {
        title: "Debugging",
        keys: rows! {
            "enable_debug" Kind::Bool, "false" "" "kata-ctl"
                "Log more.";
            "log_level" Kind::RuntimeLogLevel, "\"info\"" "" "runtime"
                "Log level of the runtime."
                .values(LEVELS);
            "enable_tracing" Kind::Bool, "false" "" "runtime, kata-ctl"
                "Send OpenTelemetry spans to Jaeger.";
            "jaeger_endpoint" Kind::Text, "\"\"" "" "runtime"
                "URL of the Jaeger collector; empty: http://localhost:14268/api/traces.";
            "jaeger_user" Kind::Text, "\"\"" "" "runtime"
                "User name for Jaeger.";
            "jaeger_password" Kind::Secret, "\"\"" "" "runtime"
                "Password for Jaeger. Never logged.";
            "enable_pprof" Kind::Bool, "false" "" "nobody"
                "Serve profiles of the runtime.";
        },
    },
];

pub(super) const SHARED_MOUNT: &[Group] = &[Group {
    title: "A directory of one container shown in another",
    keys: rows! {
        "name" Kind::Text, "\"\"" "" "runtime" "Name of the mount; required.";
        "src_ctr" Kind::Text, "\"\"" "" "runtime" "Name of the container that has the directory; required.";
        "src_path" Kind::Text, "\"\"" "" "runtime" "Its absolute path there; required.";
        "dst_ctr" Kind::Text, "\"\"" "" "runtime" "Name of the container that gets the directory; required.";
        "dst_path" Kind::Text, "\"\"" "" "runtime" "Its absolute path there; required.";
    },
}];
