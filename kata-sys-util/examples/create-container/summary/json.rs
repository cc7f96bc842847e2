//! The summary for programs: one JSON object, whose keys do not change.

use serde_json::{Value, json};

use super::Summary;
use crate::guest::{Memory, Status};
use crate::hooks::Ran;
use crate::stages::Stage;
use crate::vfio::Passed;

impl Summary {
    /// The summary as JSON, on one line.
    pub(crate) fn to_json(&self) -> String {
        let value = json!({
            "container": self.identity.container,
            "sandbox": self.identity.sandbox,
            "configuration": self.configuration(),
            "warnings": self.warnings(),
            "mounts": self.mounts(),
            "vfio": self.passed.iter().map(vfio).collect::<Vec<_>>(),
            "hooks": self.hooks().map(|(side, ran)| hook(side, ran)).collect::<Vec<_>>(),
            "state": self.state,
            "request": self.request(),
            "guest": self.guest(),
            "stages": self.stages.iter().map(stage).collect::<Vec<_>>(),
        });
        format!("{value}\n")
    }

    fn configuration(&self) -> Value {
        let configuration = &self.configuration;
        let runtime = &configuration.config.runtime;
        let hypervisor = configuration.hypervisor();
        let changed = configuration.changed.iter();
        json!({
            "files": configuration.files.iter().map(lossy).collect::<Vec<_>>(),
            "hypervisor": runtime.hypervisor_name,
            "agent": runtime.agent_name,
            "vcpus": hypervisor.map(|h| h.cpu_info.default_vcpus),
            "memory_mib": hypervisor.map(|h| h.memory_info.default_memory),
            "changed": changed
                .map(|(key, origin)| json!({ "key": key, "origin": origin.to_string() }))
                .collect::<Vec<_>>(),
        })
    }

    fn mounts(&self) -> Vec<Value> {
        let mounts = self.paths.mounts.iter();
        mounts
            .map(|mount| {
                json!({
                    "destination": lossy(&mount.destination),
                    "target": lossy(&mount.target),
                    "source": mount.source.as_ref().map(|source| lossy(source.target())),
                })
            })
            .collect()
    }

    fn request(&self) -> Value {
        json!({
            "config_bytes": self.bundle.config_bytes,
            "wire_bytes": self.created.wire_bytes,
            "storages": self.created.request.storages.iter().map(|storage| {
                json!({ "driver": storage.driver, "mount_point": storage.mount_point })
            }).collect::<Vec<_>>(),
            "devices": self.created.request.devices.iter().map(|device| {
                json!({ "type": device.type_, "options": device.options })
            }).collect::<Vec<_>>(),
            "not_sent": self.dropped.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    }

    fn guest(&self) -> Value {
        json!({
            "kernel_parameters": self.command_line,
            "agent": self.address,
            "spec": self.created.spec,
            "mount_points": self.created.mount_points.iter().map(lossy).collect::<Vec<_>>(),
            "infiniband": self.created.infiniband.iter().map(|device| json!({
                "path": lossy(&device.path),
                "major": device.major,
                "minor": device.minor,
                "mode": device.mode,
            })).collect::<Vec<_>>(),
            "memory": memory(&self.memory),
            "log": self.agent_log.iter().map(|record| &record.json).collect::<Vec<_>>(),
        })
    }
}

/// JSON is UTF-8, a path may be anything.
fn lossy(path: impl AsRef<std::path::Path>) -> String {
    path.as_ref().to_string_lossy().into_owned()
}

fn vfio(passed: &Passed) -> Value {
    let functions = passed.functions.iter().map(|function| {
        json!({
            "address": function.address,
            "vendor": function.vendor,
            "device": function.device,
            "name": function.device_name,
        })
    });
    json!({ "node": lossy(&passed.node), "functions": functions.collect::<Vec<_>>() })
}

fn hook(side: &str, ran: &Ran) -> Value {
    json!({
        "side": side,
        "field": ran.field,
        "path": lossy(&ran.path),
        "error": ran.result.as_ref().err().map(ToString::to_string),
    })
}

fn memory(memory: &Memory) -> Value {
    let (status, cgroups, missing) = match &memory.status {
        Status::Off => ("off", None, None),
        Status::Running(cgroups) => ("running", Some(cgroups), None),
        Status::Missing(reason) => ("missing", None, Some(reason)),
    };
    json!({
        "status": status,
        "cgroups": cgroups,
        "missing": missing,
        "reclaim_period_s": memory.reclaim.default.period_secs,
        "compact_period_s": memory.compact.period_secs,
        "compact_order": memory.compact.compact_order,
    })
}

fn stage(stage: &Stage) -> Value {
    json!({
        "name": stage.name,
        "crates": stage.crates.split(", ").collect::<Vec<_>>(),
        "ms": stage.time.as_secs_f64() * 1e3,
    })
}
