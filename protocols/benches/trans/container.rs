//! A container as containerd describes it for a pod: default capabilities, namespaces, masked
//! paths, device rules and seccomp profile.

use oci_spec::runtime as oci;
use serde_json::{Value, json};

pub(crate) fn spec() -> oci::Spec {
    serde_json::from_value(json!({
        "ociVersion": "1.1.0",
        "process": process(),
        "root": {"path": "/run/kata-containers/shared/containers/0123456789abcdef/rootfs", "readonly": true},
        "hostname": "web-7d9c5b6f4-x2x8v",
        "mounts": mounts(),
        "hooks": {"createRuntime": [{"path": "/usr/bin/hook", "args": ["hook", "prestart"], "timeout": 5}]},
        "annotations": annotations(),
        "linux": {
            "sysctl": {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"},
            "resources": resources(),
            "cgroupsPath": "/kubepods/burstable/pod12345678-1234-1234-1234-123456789abc/0123456789abcdef",
            "namespaces": [
                {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"},
                {"type": "network", "path": "/var/run/netns/cni-12345678"}, {"type": "cgroup"}
            ],
            "devices": [
                {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 438, "uid": 0, "gid": 0}
            ],
            "seccomp": seccomp(),
            "maskedPaths": numbered_strings(10, "/proc/masked"),
            "readonlyPaths": numbered_strings(6, "/proc/readonly"),
        }
    }))
    .expect("a specification")
}

fn process() -> Value {
    let capabilities: Vec<_> = [
        "CHOWN",
        "DAC_OVERRIDE",
        "FSETID",
        "FOWNER",
        "MKNOD",
        "NET_RAW",
        "SETGID",
        "SETUID",
        "SETFCAP",
        "SETPCAP",
        "NET_BIND_SERVICE",
        "SYS_CHROOT",
        "KILL",
        "AUDIT_WRITE",
    ]
    .map(|name| format!("CAP_{name}"))
    .into();
    json!({
        "user": {"uid": 1000, "gid": 1000, "additionalGids": [10, 100, 1000], "username": ""},
        "args": ["/usr/local/bin/server", "--config", "/etc/server/config.yaml", "--verbose"],
        "env": numbered_strings(30, "SERVICE_ENVIRONMENT_VARIABLE_WITH_SOME_VALUE="),
        "cwd": "/srv",
        "capabilities": {
            "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
            "inheritable": [], "ambient": []
        },
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1_048_576, "soft": 1_048_576}],
        "noNewPrivileges": true,
        "oomScoreAdj": 937,
    })
}

fn mounts() -> Value {
    let mount = |n: usize| {
        json!({
            "destination": format!("/var/lib/data/volume-{n}"),
            "type": "bind",
            "source": format!("/run/kata-containers/shared/containers/volume-{n}"),
            "options": ["rbind", "rprivate", "rw", "nosuid"],
        })
    };
    (0..20).map(mount).collect()
}

fn resources() -> Value {
    let rule =
        |n: usize| json!({"allow": true, "type": "c", "major": 1, "minor": n, "access": "rwm"});
    json!({
        "devices": (0..12).map(rule).collect::<Value>(),
        "memory": {"limit": 536_870_912, "swap": 536_870_912},
        "cpu": {"shares": 512, "quota": 50_000, "period": 100_000, "cpus": "0-3", "mems": "0"},
        "pids": {"limit": 1024},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 0}],
    })
}

/// One rule with 320 names and 30 with one, some with arguments.
fn seccomp() -> Value {
    let mut syscalls = vec![json!({
        "names": numbered_strings(320, "system_call_"), "action": "SCMP_ACT_ALLOW",
    })];
    syscalls.extend((0..30).map(|n| {
        json!({
            "names": [format!("conditional_{n}")],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": n, "valueTwo": 0, "op": "SCMP_CMP_EQ"}],
        })
    }));
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "syscalls": syscalls,
    })
}

fn numbered_strings(count: usize, prefix: &str) -> Value {
    (0..count)
        .map(|n| Value::from(format!("{prefix}{n}")))
        .collect()
}

fn annotations() -> Value {
    let annotation = |n| {
        (
            format!("io.kubernetes.cri.annotation-{n}"),
            format!("value-{n}").into(),
        )
    };
    Value::Object((0..12).map(annotation).collect())
}
