//! Generated specifications, in the form of `config.json`: there an absent key is `None`, and
//! `null` does not occur.

use proptest::{
    collection::{btree_map, vec},
    prelude::*,
    sample::select,
};
use serde_json::{Value, json};

type Gen = BoxedStrategy<Value>;

/// An object that has all `required` keys and any of the `optional` ones.
fn object(required: Vec<(&'static str, Gen)>, optional: Vec<(&'static str, Gen)>) -> Gen {
    let required = required
        .into_iter()
        .map(|(key, value)| value.prop_map(move |value| Some((key, value))).boxed());
    let optional = optional.into_iter().map(|(key, value)| {
        prop_oneof![
            1 => Just(None),
            2 => value.prop_map(move |value| Some((key, value))),
        ]
        .boxed()
    });
    required
        .chain(optional)
        .collect::<Vec<_>>()
        .prop_map(|fields| {
            let fields = fields.into_iter().flatten();
            Value::Object(
                fields
                    .map(|(key, value)| (key.to_string(), value))
                    .collect(),
            )
        })
        .boxed()
}

fn list(of: Gen) -> Gen {
    vec(of, 0..3).prop_map(Value::Array).boxed()
}

fn map(of: Gen) -> Gen {
    btree_map("[a-z]{0,3}", of, 0..3)
        .prop_map(|map| Value::Object(map.into_iter().collect()))
        .boxed()
}

fn text() -> Gen {
    prop_oneof![Just(String::new()), "/?[a-zé.]{1,6}"]
        .prop_map(Value::from)
        .boxed()
}

fn bool() -> Gen {
    any::<bool>().prop_map(Value::from).boxed()
}

fn u16() -> Gen {
    prop_oneof![Just(0), any::<u16>()]
        .prop_map(Value::from)
        .boxed()
}

fn u32() -> Gen {
    prop_oneof![Just(0), any::<u32>()]
        .prop_map(Value::from)
        .boxed()
}

fn u64() -> Gen {
    prop_oneof![Just(0), 1..5_u64, any::<u64>()]
        .prop_map(Value::from)
        .boxed()
}

fn i32() -> Gen {
    prop_oneof![Just(0), any::<i32>()]
        .prop_map(Value::from)
        .boxed()
}

fn i64() -> Gen {
    prop_oneof![Just(0), -3..3_i64, any::<i64>()]
        .prop_map(Value::from)
        .boxed()
}

fn one_of(prefix: &'static str, names: &'static [&'static str]) -> Gen {
    select(names)
        .prop_map(move |name| Value::from(format!("{prefix}{name}")))
        .boxed()
}

/// Any specification. `vm` and `windows` only as far as they are dropped anyway.
pub(crate) fn spec() -> Gen {
    object(
        vec![("ociVersion", text())],
        vec![
            ("process", process()),
            (
                "root",
                object(vec![("path", text())], vec![("readonly", bool())]),
            ),
            ("hostname", text()),
            ("domainname", text()),
            ("mounts", list(mount())),
            ("hooks", hooks()),
            ("annotations", map(text())),
            ("linux", linux()),
            ("solaris", object(vec![], vec![("milestone", text())])),
            ("windows", object(vec![], vec![("servicing", bool())])),
            (
                "vm",
                Just(json!({"hypervisor": {"path": "/h"}, "kernel": {"path": "/k"}})).boxed(),
            ),
            ("zos", Just(json!({})).boxed()),
            ("uidMappings", list(id_mapping())),
            ("gidMappings", list(id_mapping())),
        ],
    )
}

fn process() -> Gen {
    let user = object(
        vec![("uid", u32()), ("gid", u32())],
        vec![
            ("umask", u32()),
            ("additionalGids", list(u32())),
            ("username", text()),
        ],
    );
    let rlimit = object(
        vec![
            ("type", one_of("RLIMIT_", &["CPU", "NOFILE", "RTTIME"])),
            ("hard", u64()),
            ("soft", u64()),
        ],
        vec![],
    );
    let io_priority = object(
        vec![
            ("class", one_of("IOPRIO_CLASS_", &["RT", "IDLE"])),
            ("priority", i64()),
        ],
        vec![],
    );
    object(
        vec![("user", user), ("cwd", text())],
        vec![
            ("terminal", bool()),
            (
                "consoleSize",
                object(vec![("height", u64()), ("width", u64())], vec![]),
            ),
            ("args", list(text())),
            ("commandLine", text()),
            ("env", list(text())),
            ("capabilities", capabilities()),
            ("rlimits", list(rlimit)),
            ("noNewPrivileges", bool()),
            ("apparmorProfile", text()),
            ("oomScoreAdj", i32()),
            ("selinuxLabel", text()),
            ("ioPriority", io_priority),
            (
                "scheduler",
                object(
                    vec![("policy", one_of("SCHED_", &["FIFO", "IDLE"]))],
                    vec![],
                ),
            ),
            (
                "execCPUAffinity",
                object(vec![], vec![("initial", Just(json!("0-3")).boxed())]),
            ),
        ],
    )
}

fn capabilities() -> Gen {
    let names = [
        "CHOWN",
        "KILL",
        "MKNOD",
        "NET_ADMIN",
        "SYS_ADMIN",
        "SYSLOG",
        "BPF",
    ];
    // Without duplicates and in order, as the comparison of sets as lists needs it.
    let set = || {
        proptest::sample::subsequence(names.to_vec(), 0..names.len())
            .prop_map(|names| {
                let mut names: Vec<_> = names.iter().map(|name| format!("CAP_{name}")).collect();
                names.sort();
                Value::from(names)
            })
            .boxed()
    };
    let sets = [
        "bounding",
        "effective",
        "inheritable",
        "permitted",
        "ambient",
    ];
    object(vec![], sets.map(|key| (key, set())).into())
}

fn mount() -> Gen {
    object(
        vec![("destination", text())],
        vec![
            ("type", text()),
            ("source", text()),
            ("options", list(text())),
        ],
    )
}

fn hooks() -> Gen {
    let hook = || {
        object(
            vec![("path", text())],
            vec![
                ("args", list(text())),
                ("env", list(text())),
                ("timeout", i64()),
            ],
        )
    };
    let points = [
        "prestart",
        "createRuntime",
        "createContainer",
        "startContainer",
        "poststart",
        "poststop",
    ];
    object(vec![], points.map(|key| (key, list(hook()))).into())
}

fn id_mapping() -> Gen {
    object(
        vec![("hostID", u32()), ("containerID", u32()), ("size", u32())],
        vec![],
    )
}

fn linux() -> Gen {
    let types = &[
        "mount", "cgroup", "uts", "ipc", "user", "pid", "network", "time",
    ];
    let namespace = object(vec![("type", one_of("", types))], vec![("path", text())]);
    let device = object(
        vec![
            ("path", text()),
            ("type", device_type()),
            ("major", i64()),
            ("minor", i64()),
        ],
        vec![("fileMode", u32()), ("uid", u32()), ("gid", u32())],
    );
    let intel_rdt = object(
        vec![],
        vec![
            ("closID", text()),
            ("l3CacheSchema", text()),
            ("memBwSchema", text()),
            ("enableCmt", bool()),
            ("enableMbm", bool()),
        ],
    );
    object(
        vec![],
        vec![
            ("netDevices", map(Just(json!({"name": "e"})).boxed())),
            ("uidMappings", list(id_mapping())),
            ("gidMappings", list(id_mapping())),
            ("sysctl", map(text())),
            ("resources", resources()),
            ("cgroupsPath", text()),
            ("namespaces", list(namespace)),
            ("devices", list(device)),
            ("seccomp", seccomp()),
            ("rootfsPropagation", text()),
            ("maskedPaths", list(text())),
            ("readonlyPaths", list(text())),
            ("mountLabel", text()),
            ("intelRdt", intel_rdt),
            (
                "memoryPolicy",
                object(vec![("mode", one_of("MPOL_", &["BIND"]))], vec![]),
            ),
            ("personality", Just(json!({"domain": "LINUX32"})).boxed()),
            ("timeOffsets", map(object(vec![], vec![("secs", i64())]))),
        ],
    )
}

fn device_type() -> Gen {
    one_of("", &["a", "b", "c", "u", "p"])
}

fn resources() -> Gen {
    let rule = object(
        vec![("allow", bool())],
        vec![
            ("type", device_type()),
            ("major", i64()),
            ("minor", i64()),
            ("access", text()),
        ],
    );
    let memory = object(
        vec![],
        vec![
            ("limit", i64()),
            ("reservation", i64()),
            ("swap", i64()),
            ("kernel", i64()),
            ("kernelTCP", i64()),
            ("swappiness", u64()),
            ("disableOOMKiller", bool()),
            ("useHierarchy", bool()),
            ("checkBeforeUpdate", bool()),
        ],
    );
    let cpu = object(
        vec![],
        vec![
            ("shares", u64()),
            ("quota", i64()),
            ("idle", i64()),
            ("burst", u64()),
            ("period", u64()),
            ("realtimeRuntime", i64()),
            ("realtimePeriod", u64()),
            ("cpus", text()),
            ("mems", text()),
        ],
    );
    let hugepage = object(vec![("pageSize", text()), ("limit", i64())], vec![]);
    let priority = object(vec![("name", text()), ("priority", u32())], vec![]);
    object(
        vec![],
        vec![
            ("devices", list(rule)),
            ("memory", memory),
            ("cpu", cpu),
            ("pids", object(vec![("limit", i64())], vec![])),
            ("blockIO", block_io()),
            ("hugepageLimits", list(hugepage)),
            (
                "network",
                object(
                    vec![],
                    vec![("classID", u32()), ("priorities", list(priority))],
                ),
            ),
            ("rdma", map(object(vec![], vec![("hcaHandles", u32())]))),
            ("unified", map(text())),
        ],
    )
}

fn block_io() -> Gen {
    let weight = object(
        vec![("major", i64()), ("minor", i64())],
        vec![("weight", u16()), ("leafWeight", u16())],
    );
    let throttle = || {
        list(object(
            vec![("major", i64()), ("minor", i64()), ("rate", u64())],
            vec![],
        ))
    };
    object(
        vec![],
        vec![
            ("weight", u16()),
            ("leafWeight", u16()),
            ("weightDevice", list(weight)),
            ("throttleReadBpsDevice", throttle()),
            ("throttleWriteBpsDevice", throttle()),
            ("throttleReadIOPSDevice", throttle()),
            ("throttleWriteIOPSDevice", throttle()),
        ],
    )
}

fn seccomp() -> Gen {
    let action = || {
        one_of(
            "SCMP_ACT_",
            &["KILL", "KILL_PROCESS", "ERRNO", "ALLOW", "NOTIFY"],
        )
    };
    let arg = object(
        vec![
            ("index", u64()),
            ("value", u64()),
            ("op", one_of("SCMP_CMP_", &["NE", "MASKED_EQ", "GT"])),
        ],
        vec![("valueTwo", u64())],
    );
    let syscall = object(
        vec![("names", list(text())), ("action", action())],
        vec![("errnoRet", u32()), ("args", list(arg))],
    );
    object(
        vec![("defaultAction", action())],
        vec![
            ("defaultErrnoRet", u32()),
            (
                "architectures",
                list(one_of("SCMP_ARCH_", &["X86_64", "MIPS64N32", "PPC64LE"])),
            ),
            (
                "flags",
                list(one_of(
                    "SECCOMP_FILTER_FLAG_",
                    &["LOG", "TSYNC", "SPEC_ALLOW"],
                )),
            ),
            ("listenerPath", text()),
            ("listenerMetadata", text()),
            ("syscalls", list(syscall)),
        ],
    )
}
