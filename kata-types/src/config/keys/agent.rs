//! Keys of `[agent.<name>]` and `[agent.<name>.mem_agent]`.

use super::hypervisor::LEVELS;
use super::{Group, Kind, Section, rows};

pub(super) const GROUPS: &[Group] = &[
    Group {
        title: "Connection",
        keys: rows! {
            "server_port" Kind::U32, "1024" "" "agent client"
                "vsock port of the agent's API.";
            "log_port" Kind::U32, "1025" "" "agent client"
                "vsock port of the agent's log.";
            "passfd_listener_port" Kind::U32, "1027" "" "nobody"
                "vsock port for the containers' standard streams; the runtime reads the key of the same name in [runtime].";
            "dial_timeout_ms" Kind::U32, "10" "ms" "agent client"
                "How long one attempt to connect may take; not 0.";
            "reconnect_timeout_ms" Kind::U32, "3000" "ms" "agent client"
                "How long to keep trying to connect; at least `dial_timeout_ms`.";
            "create_container_timeout" Kind::U32, "30" "s" "agent client"
                "How long creating a container may take, images pulled inside the guest included.";
            "health_check_request_timeout_ms" Kind::U32, "90000" "ms" "agent client"
                "How long the agent may take to answer a health check.";
            "cdh_api_timeout_ms" Kind::U32, "50000" "ms" "kernel parameters"
                "How long a request of the agent to the confidential data hub may take; passed on in whole seconds.";
        },
    },
    Group {
        title: "Guest",
        keys: rows! {
            "kernel_modules" Kind::Texts, "[]" "" "runtime"
                "Kernel modules to load in the guest, each a name and its parameters separated by spaces.";
            "container_pipe_size" Kind::U32, "0" "bytes" "kernel parameters"
                "Size of the pipes of a container's standard streams. 0: the kernel's own.";
            "launch_process_timeout" Kind::U32, "0" "s" "kernel parameters"
                "How long a process that the agent needs, such as the confidential data hub, may take to start. 0: the agent's own.";
            "policy" Kind::Blob, "\"\"" "" "runtime"
                "Policy that the agent enforces on requests, in Rego; empty: the one of the guest image.";
            "visible_cdi_devices" Kind::Bool, "false" "" "kernel parameters"
                "Show the guest's CDI devices to the agent's policy. Needs a newer agent."
                .later();
            "mem_agent" Kind::Table(Section::MemAgent), "" "" "kernel parameters"
                "Memory agent of the guest.";
        },
    },
    Group {
        title: "Debugging",
        keys: rows! {
            "enable_debug" Kind::Bool, "false" "" "kernel parameters, kata-ctl"
                "Log more.";
            "log_level" Kind::Text, "\"info\"" "" "runtime"
                "Log level of the agent client in the runtime."
                .values(LEVELS);
            "enable_tracing" Kind::Bool, "false" "" "kernel parameters, kata-ctl"
                "Send OpenTelemetry spans to the runtime.";
            "debug_console_enabled" Kind::Bool, "false" "" "kernel parameters"
                "Offer a shell in the guest (kata-ctl exec). Whoever reaches it controls the guest.";
        },
    },
];

pub(super) const MEM_AGENT: &[Group] = &[Group {
    title: "Memory agent",
    keys: rows! {
        "enable" Kind::Bool, "false" "" "kernel parameters"
            "Let the agent reclaim and compact guest memory. Keys that are not set keep the agent's own values."
            .alias(&["mem_agent_enable"]);
        "memcg_disable" Kind::Bool, "" "" "kernel parameters"
            "Do not reclaim memory of containers.";
        "memcg_swap" Kind::Bool, "" "" "kernel parameters"
            "Reclaim anonymous memory too, by swapping.";
        "memcg_swappiness_max" Kind::U8, "" "" "kernel parameters"
            "Upper limit of the swappiness of reclaim.";
        "memcg_period_secs" Kind::U64, "" "s" "kernel parameters"
            "Time between two reclaim rounds.";
        "memcg_period_psi_percent_limit" Kind::U8, "" "%" "kernel parameters"
            "No reclaim round while the memory pressure of the last period is above.";
        "memcg_eviction_psi_percent_limit" Kind::U8, "" "%" "kernel parameters"
            "Stop reclaiming when it raises the memory pressure above.";
        "memcg_eviction_run_aging_count_min" Kind::U64, "" "" "kernel parameters"
            "Reclaim only memory that stayed unused for so many aging rounds.";
        "compact_disable" Kind::Bool, "" "" "kernel parameters"
            "Do not compact memory.";
        "compact_period_secs" Kind::U64, "" "s" "kernel parameters"
            "Time between two compaction rounds.";
        "compact_period_psi_percent_limit" Kind::U8, "" "%" "kernel parameters"
            "No compaction round while the memory pressure of the last period is above.";
        "compact_psi_percent_limit" Kind::U8, "" "%" "kernel parameters"
            "Stop compacting when it raises the memory pressure above.";
        "compact_sec_max" Kind::I64, "" "s" "kernel parameters"
            "How long one compaction round may take.";
        "compact_order" Kind::U8, "" "" "kernel parameters"
            "Compact until blocks of 2^order pages are free.";
        "compact_threshold" Kind::U64, "" "pages" "kernel parameters"
            "Compact when free memory grew by so much since the last round.";
        "compact_force_times" Kind::U64, "" "" "kernel parameters"
            "Compact after so many rounds without compaction, whatever is free.";
    },
}];
