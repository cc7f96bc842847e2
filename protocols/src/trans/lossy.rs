//! The checked conversion `oci` → `grpc`, and how the conversions report what they lose.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;
use serde_json::Value;

use super::{IntoProto, grpc, oci};

/// Something of a specification that its wire form does not carry.
///
/// The text reads `linux.seccomp.default_errno_ret = 38: dropped`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lossy {
    /// Where the value was: field names of [`oci_spec::runtime`](https://docs.rs/oci-spec/0.8/oci_spec/runtime/index.html) joined by dots, with list
    /// positions from 0, such as `process.user.umask` or `mounts[2].source`.
    pub path: String,
    /// The value before the conversion: a dropped field as JSON, a number in decimal, a path in
    /// quotes with the offending bytes escaped (`"/data/\xFF"`).
    pub value: String,
    /// What happened to it.
    pub reason: LossReason,
}

impl fmt::Display for Lossy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            value,
            reason,
        } = self;
        write!(f, "{path} = {value}: {reason}")
    }
}

/// What a conversion did to a value that the wire form cannot carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LossReason {
    /// The wire form has no such field; the value is gone.
    Dropped,
    /// The wire form's number is smaller; it holds its greatest value instead.
    Truncated,
    /// The path is not UTF-8, as wire strings must be; U+FFFD stands for the offending bytes, so
    /// it is another path.
    NotUtf8,
}

impl fmt::Display for LossReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dropped => "dropped",
            Self::Truncated => "truncated",
            Self::NotUtf8 => "not UTF-8",
        })
    }
}

/// Converts a specification like [`From`] does, and lists what its wire form does not carry, in
/// the order of the conversion.
///
/// A field is reported when it is `Some`, whatever it holds. Values that the wire form carries but
/// [the way back](super#what-the-wire-cannot-say) reads as "not set" are not reported.
///
/// ```
/// use oci_spec::runtime::SpecBuilder;
/// use protocols::trans::{LossReason, to_proto_checked};
///
/// let spec = SpecBuilder::default().hostname("a").domainname("b").build().unwrap();
/// let (proto, losses) = to_proto_checked(spec);
///
/// assert_eq!(proto.Hostname, "a");
/// assert_eq!(losses.len(), 1);
/// assert_eq!(losses[0].path, "domainname");
/// assert_eq!(losses[0].value, "\"b\"");
/// assert_eq!(losses[0].reason, LossReason::Dropped);
/// assert_eq!(losses[0].to_string(), "domainname = \"b\": dropped");
/// ```
pub fn to_proto_checked(spec: oci::Spec) -> (grpc::Spec, Vec<Lossy>) {
    let mut losses = Reported::default();
    let proto = spec.into_proto(&mut losses);
    (proto, losses.found)
}

/// One step of the way to a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Field(&'static str),
    Index(usize),
}

/// Where a conversion `oci` → `grpc` tells what it loses.
pub(super) trait Losses {
    /// Runs `convert` on the value that is one `step` further in.
    fn within<T>(&mut self, step: Step, convert: impl FnOnce(&mut Self) -> T) -> T;

    /// `field` of the current value does not survive.
    fn lost(&mut self, field: &'static str, reason: LossReason, value: impl FnOnce() -> String);

    /// `field` has no wire form: it is lost if it is there.
    #[inline]
    fn dropped<T: Serialize + fmt::Debug>(&mut self, field: &'static str, value: Option<T>) {
        if let Some(value) = value {
            self.lost(field, LossReason::Dropped, || json(&value));
        }
    }
}

/// Nobody wants to know: compiles to nothing.
pub(super) struct Unreported;

impl Losses for Unreported {
    #[inline]
    fn within<T>(&mut self, _: Step, convert: impl FnOnce(&mut Self) -> T) -> T {
        convert(self)
    }

    #[inline]
    fn lost(&mut self, _: &'static str, _: LossReason, _: impl FnOnce() -> String) {}
}

/// Collects the losses.
#[derive(Default)]
struct Reported {
    way: Vec<Step>,
    found: Vec<Lossy>,
}

impl Losses for Reported {
    fn within<T>(&mut self, step: Step, convert: impl FnOnce(&mut Self) -> T) -> T {
        self.way.push(step);
        let converted = convert(self);
        self.way.pop();
        converted
    }

    fn lost(&mut self, field: &'static str, reason: LossReason, value: impl FnOnce() -> String) {
        let mut path = String::new();
        for step in &self.way {
            match step {
                Step::Field(field) => push_field(&mut path, field),
                Step::Index(index) => path.push_str(&format!("[{index}]")),
            }
        }
        push_field(&mut path, field);
        self.found.push(Lossy {
            path,
            value: value(),
            reason,
        });
    }
}

fn push_field(path: &mut String, field: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(field);
}

/// The value as JSON with sorted keys: the same value always gives the same text.
fn json<T: Serialize + fmt::Debug>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(json) => sorted(json).to_string(),
        // A path that is not UTF-8 has no JSON form.
        Err(_) => format!("{value:?}"),
    }
}

/// Objects in key order, also when some crate of the build turns on `serde_json/preserve_order`.
fn sorted(json: Value) -> Value {
    match json {
        Value::Object(object) => {
            let object: BTreeMap<_, _> = object.into_iter().collect();
            let object = object.into_iter().map(|(key, value)| (key, sorted(value)));
            Value::Object(object.collect())
        }
        Value::Array(array) => array.into_iter().map(sorted).collect(),
        scalar => scalar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf};

    fn losses(json: Value) -> Vec<(String, String, LossReason)> {
        let spec: oci::Spec = serde_json::from_value(json).unwrap();
        let plain = grpc::Spec::from(spec.clone());
        let (proto, losses) = to_proto_checked(spec);
        assert_eq!(proto, plain);
        losses
            .into_iter()
            .map(|lossy| (lossy.path, lossy.value, lossy.reason))
            .collect()
    }

    /// D16: each field that has no wire form, alone.
    #[test]
    fn every_dropped_field_is_reported() {
        let process = |field: &str, value: Value| {
            let mut process = json!({"user": {}, "cwd": ""});
            process[field] = value;
            json!({ "process": process })
        };
        let linux = |field: &str, value: Value| json!({"linux": {field: value}});
        let resources = |field: &str, value: Value| linux("resources", json!({field: value}));
        let seccomp = |field: &str, value: Value| {
            let mut seccomp = json!({"defaultAction": "SCMP_ACT_KILL"});
            seccomp[field] = value;
            linux("seccomp", seccomp)
        };
        let rdt = |field: &str, value: Value| linux("intelRdt", json!({field: value}));
        let rows: &[(Value, &str, &str)] = &[
            (json!({"domainname": "d"}), "domainname", r#""d""#),
            (
                json!({"solaris": {"milestone": "m"}}),
                "solaris",
                r#"{"milestone":"m"}"#,
            ),
            (
                json!({"windows": {"servicing": true}}),
                "windows",
                r#"{"servicing":true}"#,
            ),
            (
                json!({"vm": {"hypervisor": {"path": "/h"}, "kernel": {"path": "/k"}}}),
                "vm",
                r#"{"hypervisor":{"path":"/h"},"kernel":{"path":"/k"}}"#,
            ),
            (
                json!({"zos": {"namespaces": []}}),
                "zos",
                r#"{"namespaces":[]}"#,
            ),
            (json!({"uidMappings": []}), "uid_mappings", "[]"),
            (json!({"gidMappings": []}), "gid_mappings", "[]"),
            (
                process("commandLine", json!("c")),
                "process.command_line",
                r#""c""#,
            ),
            (
                process(
                    "ioPriority",
                    json!({"class": "IOPRIO_CLASS_RT", "priority": 1}),
                ),
                "process.io_priority",
                r#"{"class":"IOPRIO_CLASS_RT","priority":1}"#,
            ),
            (
                process("scheduler", json!({"policy": "SCHED_FIFO"})),
                "process.scheduler",
                r#"{"policy":"SCHED_FIFO"}"#,
            ),
            (
                process("execCPUAffinity", json!({"initial": "0"})),
                "process.exec_cpu_affinity",
                r#"{"initial":"0"}"#,
            ),
            (
                process("user", json!({"umask": 18})),
                "process.user.umask",
                "18",
            ),
            (
                linux("netDevices", json!({"e": {"name": "f"}})),
                "linux.net_devices",
                r#"{"e":{"name":"f"}}"#,
            ),
            (
                linux("memoryPolicy", json!({"mode": "MPOL_BIND"})),
                "linux.memory_policy",
                r#"{"mode":"MPOL_BIND"}"#,
            ),
            (
                linux("personality", json!({"domain": "LINUX32"})),
                "linux.personality",
                r#"{"domain":"LINUX32"}"#,
            ),
            (
                linux("timeOffsets", json!({"boottime": {"secs": 1}})),
                "linux.time_offsets",
                r#"{"boottime":{"secs":1}}"#,
            ),
            (
                resources("rdma", json!({"mlx5": {"hcaHandles": 1}})),
                "linux.resources.rdma",
                r#"{"mlx5":{"hcaHandles":1}}"#,
            ),
            (
                resources("unified", json!({"b": "2", "a": "1", "c": "3"})),
                "linux.resources.unified",
                r#"{"a":"1","b":"2","c":"3"}"#,
            ),
            (
                resources("memory", json!({"useHierarchy": false})),
                "linux.resources.memory.use_hierarchy",
                "false",
            ),
            (
                resources("memory", json!({"checkBeforeUpdate": true})),
                "linux.resources.memory.check_before_update",
                "true",
            ),
            (
                resources("cpu", json!({"idle": 1})),
                "linux.resources.cpu.idle",
                "1",
            ),
            (
                resources("cpu", json!({"burst": 2})),
                "linux.resources.cpu.burst",
                "2",
            ),
            (
                seccomp("defaultErrnoRet", json!(38)),
                "linux.seccomp.default_errno_ret",
                "38",
            ),
            (
                seccomp("listenerPath", json!("/l")),
                "linux.seccomp.listener_path",
                r#""/l""#,
            ),
            (
                seccomp("listenerMetadata", json!("m")),
                "linux.seccomp.listener_metadata",
                r#""m""#,
            ),
            (
                rdt("closID", json!("c")),
                "linux.intel_rdt.clos_id",
                r#""c""#,
            ),
            (
                rdt("memBwSchema", json!("m")),
                "linux.intel_rdt.mem_bw_schema",
                r#""m""#,
            ),
            (
                rdt("enableCmt", json!(true)),
                "linux.intel_rdt.enable_cmt",
                "true",
            ),
            (
                rdt("enableMbm", json!(false)),
                "linux.intel_rdt.enable_mbm",
                "false",
            ),
        ];
        for (spec, path, value) in rows {
            let expected = (path.to_string(), value.to_string(), LossReason::Dropped);
            assert_eq!(losses(spec.clone()), [expected], "{spec}");
        }
    }

    #[test]
    fn truncated_numbers_are_reported() {
        let spec = json!({"process": {
            "user": {}, "cwd": "", "consoleSize": {"height": 4294967295_u64, "width": 4294967296_u64}
        }});
        let expected = (
            "process.console_size.width".to_string(),
            "4294967296".to_string(),
            LossReason::Truncated,
        );
        assert_eq!(losses(spec), [expected]);
    }

    #[test]
    fn nothing_is_reported_of_a_specification_that_fits() {
        let (_, losses) = to_proto_checked(oci::Spec::default());
        assert_eq!(losses, []);
    }

    /// D11: every path of a specification, in the order of the conversion.
    #[test]
    fn paths_that_are_not_utf8_are_reported() {
        let bad = || PathBuf::from(OsString::from_vec(b"/a\xFFb".to_vec()));
        let mut spec: oci::Spec = serde_json::from_value(json!({
            "process": {"user": {}, "cwd": ""},
            "root": {},
            "mounts": [{"destination": "/"}, {"destination": "/"}],
            "hooks": {"poststop": [{"path": "/h"}]},
            "linux": {"namespaces": [{"type": "pid"}], "devices": [{"type": "c"}]},
        }))
        .unwrap();
        spec.process_mut().as_mut().unwrap().set_cwd(bad());
        spec.root_mut().as_mut().unwrap().set_path(bad());
        spec.mounts_mut().as_mut().unwrap()[1]
            .set_destination(bad())
            .set_source(Some(bad()));
        let hooks = spec.hooks_mut().as_mut().unwrap();
        hooks.poststop_mut().as_mut().unwrap()[0].set_path(bad());
        let linux = spec.linux_mut().as_mut().unwrap();
        linux.set_cgroups_path(Some(bad()));
        linux.namespaces_mut().as_mut().unwrap()[0].set_path(Some(bad()));
        linux.devices_mut().as_mut().unwrap()[0].set_path(bad());

        let (proto, losses) = to_proto_checked(spec);
        assert_eq!(proto.Mounts[1].source, "/a\u{FFFD}b");
        let expected = [
            "process.cwd",
            "root.path",
            "mounts[1].destination",
            "mounts[1].source",
            "hooks.poststop[0].path",
            "linux.cgroups_path",
            "linux.namespaces[0].path",
            "linux.devices[0].path",
        ]
        .map(|path| format!(r#"{path} = "/a\xFFb": not UTF-8"#));
        let losses: Vec<_> = losses.iter().map(ToString::to_string).collect();
        assert_eq!(losses, expected);
    }
}
