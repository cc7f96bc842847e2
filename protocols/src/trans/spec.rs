//! The whole specification, `config.json`.

use std::mem;

use super::{
    ConvertError, FromProto, IntoProto, blank, conversions,
    error::OutOfRange,
    grpc,
    lossy::Losses,
    oci,
    rules::{list, message, non_empty, text, to_list, to_message},
};

conversions! {
    /// A `None` part is an absent message, or an empty text, list or map.
    /// [`to_proto_checked`](crate::trans::to_proto_checked) does the same and lists what is lost.
    ///
    /// Dropped: `domainname`, `solaris`, `windows`, `vm`, `zos`, `uid_mappings`, `gid_mappings`,
    /// and what the parts drop: see [`trans`](crate::trans#what-the-wire-does-not-carry).
    (oci::Spec) -> (grpc::Spec) by value;

    /// An absent part gives `None`, never a sample value of `oci-spec`. `version` is what was
    /// sent; `annotations` is always `Some`, as the agent expects; an empty host name or list of
    /// mounts gives `None`.
    ///
    /// # Panics
    ///
    /// On an unknown name in one of the parts.
    /// [`TryFromProto`](crate::trans::TryFromProto) returns an error instead.
    <-;
}

impl IntoProto for oci::Spec {
    type Proto = grpc::Spec;

    fn into_proto<L: Losses>(mut self, losses: &mut L) -> Self::Proto {
        losses.dropped("domainname", self.domainname().as_ref());
        losses.dropped("solaris", self.solaris().as_ref());
        losses.dropped("windows", self.windows().as_ref());
        losses.dropped("vm", self.vm().as_ref());
        losses.dropped("zos", self.zos().as_ref());
        losses.dropped("uid_mappings", self.uid_mappings().as_ref());
        losses.dropped("gid_mappings", self.gid_mappings().as_ref());
        grpc::Spec {
            Version: mem::take(self.version_mut()),
            Process: to_message(self.process_mut().take(), "process", losses),
            Root: to_message(self.root().as_ref(), "root", losses),
            Hostname: self.hostname_mut().take().unwrap_or_default(),
            Mounts: to_list(self.mounts_mut().take(), "mounts", losses),
            Hooks: to_message(self.hooks_mut().take(), "hooks", losses),
            Annotations: self.annotations_mut().take().unwrap_or_default(),
            Linux: to_message(self.linux_mut().take(), "linux", losses),
            ..Default::default()
        }
    }
}

impl FromProto<grpc::Spec> for oci::Spec {
    fn from_proto(proto: grpc::Spec, out_of_range: OutOfRange) -> Result<Self, ConvertError> {
        let mut spec = blank::spec();
        spec.set_version(proto.Version)
            .set_process(message(proto.Process, "Process", out_of_range)?)
            .set_root(message(proto.Root, "Root", out_of_range)?)
            .set_hostname(text(proto.Hostname))
            .set_mounts(non_empty(list(proto.Mounts, "Mounts", out_of_range)?))
            .set_hooks(message(proto.Hooks, "Hooks", out_of_range)?)
            // Also when empty: the agent unwraps it.
            .set_annotations(Some(proto.Annotations))
            .set_linux(message(proto.Linux, "Linux", out_of_range)?);
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trans::check::{from_proto, refused, to_proto};
    use protobuf::MessageField;
    use serde_json::json;
    use std::collections::HashMap;

    #[test]
    fn spec_with_every_part_set() {
        let root = MessageField::some(grpc::Root {
            Path: "/r".into(),
            ..Default::default()
        });
        let hook = || grpc::Hook {
            Path: "/h".into(),
            ..Default::default()
        };
        let proto = grpc::Spec {
            Version: "1.2.0".into(),
            Process: MessageField::some(grpc::Process {
                User: MessageField::some(grpc::User::new()),
                Cwd: "/w".into(),
                ..Default::default()
            }),
            Root: root,
            Hostname: "h".into(),
            Mounts: vec![grpc::Mount {
                destination: "/m".into(),
                ..Default::default()
            }],
            Hooks: MessageField::some(grpc::Hooks {
                Poststop: vec![hook()],
                ..Default::default()
            }),
            Annotations: HashMap::from([("k".into(), "v".into())]),
            Linux: MessageField::some(grpc::Linux {
                CgroupsPath: "/c".into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        to_proto::<oci::Spec, _>(
            json!({
                "ociVersion": "1.2.0",
                "process": {"user": {}, "cwd": "/w"},
                "root": {"path": "/r"},
                "hostname": "h",
                "mounts": [{"destination": "/m"}],
                "hooks": {"poststop": [{"path": "/h"}]},
                "annotations": {"k": "v"},
                "linux": {"cgroupsPath": "/c"},
            }),
            proto.clone(),
        );
        from_proto::<oci::Spec, _>(
            proto,
            json!({
                "ociVersion": "1.2.0",
                "process": {
                    "terminal": false,
                    "user": {"uid": 0, "gid": 0, "additionalGids": [], "username": ""},
                    "cwd": "/w",
                    "noNewPrivileges": false,
                },
                "root": {"path": "/r", "readonly": false},
                "hostname": "h",
                "mounts": [{"destination": "/m"}],
                "hooks": {"poststop": [{"path": "/h"}]},
                "annotations": {"k": "v"},
                "linux": {"resources": {"devices": []}, "cgroupsPath": "/c"},
            }),
        );
    }

    /// D5: no process that runs `sh`, no `rootfs`, no host name `youki`; but annotations, which
    /// the agent unwraps.
    #[test]
    fn spec_with_nothing_set() {
        to_proto::<oci::Spec, _>(json!({}), grpc::Spec::new());
        to_proto::<oci::Spec, _>(
            json!({"hostname": "", "mounts": [], "annotations": {}}),
            grpc::Spec::new(),
        );
        from_proto::<oci::Spec, _>(
            grpc::Spec::new(),
            json!({"ociVersion": "", "annotations": {}}),
        );
    }

    #[test]
    fn parts_of_other_systems_are_dropped_both_ways() {
        to_proto::<oci::Spec, _>(
            json!({
                "domainname": "d", "solaris": {}, "windows": {}, "vm": {
                    "hypervisor": {"path": "/h"}, "kernel": {"path": "/k"}
                },
                "zos": {}, "uidMappings": [], "gidMappings": [],
            }),
            grpc::Spec::new(),
        );
        from_proto::<oci::Spec, _>(
            grpc::Spec {
                Solaris: MessageField::some(grpc::Solaris::new()),
                Windows: MessageField::some(grpc::Windows::new()),
                ..Default::default()
            },
            json!({"ociVersion": "", "annotations": {}}),
        );
    }

    #[test]
    fn errors_have_the_path_from_the_specification() {
        let syscall = |action: &str| grpc::LinuxSyscall {
            Action: action.into(),
            ..Default::default()
        };
        let seccomp = grpc::LinuxSeccomp {
            DefaultAction: "SCMP_ACT_KILL".into(),
            Syscalls: ["LOG", "KILL", "TRAP", "NONE"]
                .map(|action| syscall(&format!("SCMP_ACT_{action}")))
                .into(),
            ..Default::default()
        };
        let spec = grpc::Spec {
            Linux: MessageField::some(grpc::Linux {
                Seccomp: MessageField::some(seccomp),
                ..Default::default()
            }),
            ..Default::default()
        };
        refused::<oci::Spec, _>(
            spec,
            "Linux.Seccomp.Syscalls[3].Action",
            "SCMP_ACT_NONE",
            "LinuxSeccompAction",
        );
        let spec = grpc::Spec {
            Process: MessageField::some(grpc::Process {
                Rlimits: vec![grpc::POSIXRlimit::new()],
                ..Default::default()
            }),
            ..Default::default()
        };
        refused::<oci::Spec, _>(spec, "Process.Rlimits[0].Type", "", "PosixRlimitType");
        let spec = grpc::Spec {
            Linux: MessageField::some(grpc::Linux {
                Resources: MessageField::some(grpc::LinuxResources {
                    Devices: vec![grpc::LinuxDeviceCgroup {
                        Type: "?".into(),
                        ..Default::default()
                    }],
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        let path = "Linux.Resources.Devices[0].Type";
        refused::<oci::Spec, _>(spec, path, "?", "LinuxDeviceType");
    }
}
