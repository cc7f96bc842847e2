//! The normal form of a specification, written a second time: as rules on `config.json`.

use serde_json::{Map, Value, json};

/// The normal form, and how many losses the checked conversion must report.
pub(crate) fn normal_form(spec: &Value) -> (Value, usize) {
    let mut form = Form { lost: 0 };
    let mut spec = spec.clone();
    form.spec(fields(&mut spec));
    (spec, form.lost)
}

fn fields(value: &mut Value) -> &mut Map<String, Value> {
    value.as_object_mut().expect("an object")
}

fn number(value: &Value) -> i128 {
    let signed = value.as_i64().map(i128::from);
    signed.or(value.as_u64().map(i128::from)).expect("a number")
}

fn means_not_set(value: &Value) -> bool {
    [json!(0), json!(""), json!([]), json!({})].contains(value)
}

/// `None` if it is zero or empty.
fn opt0(object: &mut Map<String, Value>, keys: &[&str]) {
    for key in keys {
        if object.get(*key).is_some_and(means_not_set) {
            object.remove(*key);
        }
    }
}

/// `None` unless it is a positive number.
fn positive(object: &mut Map<String, Value>, keys: &[&str]) {
    for key in keys {
        if object.get(*key).is_some_and(|value| number(value) <= 0) {
            object.remove(*key);
        }
    }
}

/// Always `Some`.
fn always(object: &mut Map<String, Value>, keys: &[&str], default: Value) {
    for key in keys {
        object.entry(*key).or_insert_with(|| default.clone());
    }
}

/// The elements of the list, if there is one.
fn each(object: &mut Map<String, Value>, key: &str, mut rule: impl FnMut(&mut Map<String, Value>)) {
    let list = object.get_mut(key).and_then(Value::as_array_mut);
    list.into_iter()
        .flatten()
        .for_each(|element| rule(fields(element)));
}

struct Form {
    lost: usize,
}

impl Form {
    /// Has no wire form.
    fn dropped(&mut self, object: &mut Map<String, Value>, keys: &[&str]) {
        for key in keys {
            self.lost += usize::from(object.remove(*key).is_some());
        }
    }

    fn spec(&mut self, spec: &mut Map<String, Value>) {
        self.dropped(spec, &["domainname", "solaris", "windows", "vm", "zos"]);
        self.dropped(spec, &["uidMappings", "gidMappings"]);
        opt0(spec, &["hostname", "mounts"]);
        always(spec, &["annotations"], json!({}));
        each(spec, "mounts", |mount| {
            opt0(mount, &["type", "source", "options"])
        });
        if let Some(root) = spec.get_mut("root") {
            always(fields(root), &["readonly"], json!(false));
        }
        if let Some(hooks) = spec.get_mut("hooks").map(fields) {
            let points: Vec<_> = hooks.keys().cloned().collect();
            for point in points {
                opt0(hooks, &[&point]);
                each(hooks, &point, |hook| {
                    opt0(hook, &["args", "env"]);
                    positive(hook, &["timeout"]);
                });
            }
        }
        if let Some(process) = spec.get_mut("process") {
            self.process(fields(process));
        }
        if let Some(linux) = spec.get_mut("linux") {
            self.linux(fields(linux));
        }
    }

    fn process(&mut self, process: &mut Map<String, Value>) {
        self.dropped(
            process,
            &["commandLine", "ioPriority", "scheduler", "execCPUAffinity"],
        );
        always(process, &["terminal", "noNewPrivileges"], json!(false));
        opt0(
            process,
            &["args", "env", "rlimits", "apparmorProfile", "selinuxLabel"],
        );
        opt0(process, &["oomScoreAdj"]);
        let user = fields(process.get_mut("user").expect("always there"));
        self.dropped(user, &["umask"]);
        always(user, &["additionalGids"], json!([]));
        always(user, &["username"], json!(""));
        for size in process
            .get_mut("consoleSize")
            .into_iter()
            .flat_map(|size| fields(size).values_mut())
        {
            if number(size) > i128::from(u32::MAX) {
                self.lost += 1;
                *size = json!(u32::MAX);
            }
        }
        if let Some(capabilities) = process.get_mut("capabilities") {
            let sets = [
                "bounding",
                "effective",
                "inheritable",
                "permitted",
                "ambient",
            ];
            always(fields(capabilities), &sets, json!([]));
        }
    }

    fn linux(&mut self, linux: &mut Map<String, Value>) {
        self.dropped(
            linux,
            &["netDevices", "memoryPolicy", "personality", "timeOffsets"],
        );
        opt0(
            linux,
            &[
                "uidMappings",
                "gidMappings",
                "sysctl",
                "cgroupsPath",
                "namespaces",
            ],
        );
        opt0(
            linux,
            &[
                "devices",
                "rootfsPropagation",
                "maskedPaths",
                "readonlyPaths",
            ],
        );
        opt0(linux, &["mountLabel"]);
        each(linux, "namespaces", |namespace| opt0(namespace, &["path"]));
        each(linux, "devices", |device| {
            always(device, &["fileMode", "uid", "gid"], json!(0))
        });
        if let Some(rdt) = linux.get_mut("intelRdt").map(fields) {
            self.dropped(rdt, &["closID", "memBwSchema", "enableCmt", "enableMbm"]);
            always(rdt, &["l3CacheSchema"], json!(""));
        }
        if let Some(seccomp) = linux.get_mut("seccomp").map(fields) {
            self.dropped(
                seccomp,
                &["defaultErrnoRet", "listenerPath", "listenerMetadata"],
            );
            always(seccomp, &["architectures", "flags", "syscalls"], json!([]));
            each(seccomp, "syscalls", |syscall| {
                opt0(syscall, &["args"]);
                each(syscall, "args", |arg| always(arg, &["valueTwo"], json!(0)));
            });
        }
        match linux.get_mut("resources") {
            Some(resources) => self.resources(fields(resources)),
            None => always(linux, &["resources"], json!({"devices": []})),
        }
    }

    fn resources(&mut self, resources: &mut Map<String, Value>) {
        self.dropped(resources, &["rdma", "unified"]);
        opt0(resources, &["devices", "hugepageLimits"]);
        always(resources, &["pids"], json!({"limit": 0}));
        each(resources, "devices", device_rule);
        if let Some(memory) = resources.get_mut("memory").map(fields) {
            self.dropped(memory, &["useHierarchy", "checkBeforeUpdate"]);
            positive(
                memory,
                &["limit", "reservation", "swap", "kernel", "kernelTCP"],
            );
            positive(memory, &["swappiness"]);
            always(memory, &["disableOOMKiller"], json!(false));
        }
        if let Some(cpu) = resources.get_mut("cpu").map(fields) {
            self.dropped(cpu, &["idle", "burst"]);
            positive(
                cpu,
                &["shares", "period", "realtimeRuntime", "realtimePeriod"],
            );
            opt0(cpu, &["quota", "cpus", "mems"]);
        }
        if let Some(block_io) = resources.get_mut("blockIO").map(fields) {
            opt0(block_io, &["weight", "leafWeight"]);
            always(block_io, &["weightDevice"], json!([]));
            always(
                block_io,
                &["throttleReadBpsDevice", "throttleWriteBpsDevice"],
                json!([]),
            );
            always(
                block_io,
                &["throttleReadIOPSDevice", "throttleWriteIOPSDevice"],
                json!([]),
            );
            each(block_io, "weightDevice", |device| {
                always(device, &["weight", "leafWeight"], json!(0));
            });
        }
        if let Some(network) = resources.get_mut("network").map(fields) {
            opt0(network, &["classID", "priorities"]);
        }
    }
}

fn device_rule(rule: &mut Map<String, Value>) {
    always(rule, &["type"], json!("a"));
    // This key alone is `null`, not absent, in the JSON form of `None`.
    opt0(rule, &["access"]);
    always(rule, &["access"], Value::Null);
    let mut numbers = ["major", "minor"].map(|key| rule.remove(key).as_ref().map_or(0, number));
    if numbers.iter().any(|number| *number > 0) {
        for (key, number) in ["major", "minor"].into_iter().zip(&mut numbers) {
            if *number >= 0 {
                rule.insert(
                    key.to_string(),
                    json!(i64::try_from(*number).expect("an i64")),
                );
            }
        }
    }
}

/// Whether the normal form of the specification is documented not to be its own normal form.
pub(crate) fn is_documented_exception(spec: &Value) -> bool {
    let Some(linux) = spec.get("linux") else {
        return false;
    };
    let Some(resources) = linux.get("resources") else {
        return true;
    };
    let rules = resources.get("devices").and_then(Value::as_array);
    rules.into_iter().flatten().any(|rule| {
        let sign = |key| rule.get(key).map_or(0, number).signum();
        sign("major") * sign("minor") < 0
    })
}
