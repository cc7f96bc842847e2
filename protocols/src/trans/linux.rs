//! The Linux part of a specification, its namespaces, ID mappings and Intel RDT.

use super::{
    ConvertError, FromProto, IntoProto, blank, conversions,
    error::{Locate, OutOfRange},
    grpc,
    lossy::Losses,
    oci,
    rules::{
        built, copy_optional_path, list, message, non_empty, non_empty_map, path,
        take_optional_path, text, to_list, to_message,
    },
};

conversions! {
    /// A `None` part is an absent message, or an empty text, list or map.
    ///
    /// Dropped: `net_devices`, `memory_policy`, `personality`, `time_offsets`, and what resources,
    /// seccomp and Intel RDT drop.
    (oci::Linux) -> (grpc::Linux) by value;

    /// An absent or empty part gives `None`, never the sample namespaces and paths of `oci-spec`
    ///, with one exception: absent `Resources` give `Some`, with nothing in it but
    /// `devices` = `Some([])`.
    ///
    /// # Panics
    ///
    /// On an unknown type of a namespace, device or device rule, and on an unknown name in the
    /// seccomp filter. [`TryFromProto`](crate::trans::TryFromProto) returns an error instead.
    <-;
}

impl IntoProto for oci::Linux {
    type Proto = grpc::Linux;

    fn into_proto<L: Losses>(mut self, losses: &mut L) -> Self::Proto {
        losses.dropped("net_devices", self.net_devices().as_ref());
        losses.dropped("memory_policy", self.memory_policy().as_ref());
        losses.dropped("personality", self.personality().as_ref());
        losses.dropped("time_offsets", self.time_offsets().as_ref());
        grpc::Linux {
            UIDMappings: to_list(self.uid_mappings().as_ref(), "uid_mappings", losses),
            GIDMappings: to_list(self.gid_mappings().as_ref(), "gid_mappings", losses),
            Sysctl: self.sysctl_mut().take().unwrap_or_default(),
            Resources: to_message(self.resources_mut().take(), "resources", losses),
            CgroupsPath: take_optional_path(self.cgroups_path_mut(), "cgroups_path", losses),
            Namespaces: to_list(self.namespaces().as_ref(), "namespaces", losses),
            Devices: to_list(self.devices_mut().take(), "devices", losses),
            Seccomp: to_message(self.seccomp().as_ref(), "seccomp", losses),
            RootfsPropagation: self.rootfs_propagation_mut().take().unwrap_or_default(),
            MaskedPaths: self.masked_paths_mut().take().unwrap_or_default(),
            ReadonlyPaths: self.readonly_paths_mut().take().unwrap_or_default(),
            MountLabel: self.mount_label_mut().take().unwrap_or_default(),
            IntelRdt: to_message(self.intel_rdt_mut().take(), "intel_rdt", losses),
            ..Default::default()
        }
    }
}

impl FromProto<grpc::Linux> for oci::Linux {
    fn from_proto(proto: grpc::Linux, out_of_range: OutOfRange) -> Result<Self, ConvertError> {
        let resources = message(proto.Resources, "Resources", out_of_range)?.unwrap_or_else(|| {
            let mut resources = oci::LinuxResources::default();
            resources.set_devices(Some(Vec::new()));
            resources
        });
        let mut linux = blank::linux();
        linux
            .set_uid_mappings(non_empty(list(
                proto.UIDMappings,
                "UIDMappings",
                out_of_range,
            )?))
            .set_gid_mappings(non_empty(list(
                proto.GIDMappings,
                "GIDMappings",
                out_of_range,
            )?))
            .set_sysctl(non_empty_map(proto.Sysctl))
            .set_resources(Some(resources))
            .set_cgroups_path(path(proto.CgroupsPath))
            .set_namespaces(non_empty(list(
                proto.Namespaces,
                "Namespaces",
                out_of_range,
            )?))
            .set_devices(non_empty(list(proto.Devices, "Devices", out_of_range)?))
            .set_seccomp(message(proto.Seccomp, "Seccomp", out_of_range)?)
            .set_rootfs_propagation(text(proto.RootfsPropagation))
            .set_masked_paths(non_empty(proto.MaskedPaths))
            .set_readonly_paths(non_empty(proto.ReadonlyPaths))
            .set_mount_label(text(proto.MountLabel))
            .set_intel_rdt(message(proto.IntelRdt, "IntelRdt", out_of_range)?);
        Ok(linux)
    }
}

conversions! {
    /// All fields unchanged.
    (oci::LinuxIdMapping) -> (grpc::LinuxIDMapping) by reference;

    /// All fields unchanged.
    <-;
}

impl IntoProto for &oci::LinuxIdMapping {
    type Proto = grpc::LinuxIDMapping;

    fn into_proto<L: Losses>(self, _: &mut L) -> Self::Proto {
        grpc::LinuxIDMapping {
            HostID: self.host_id(),
            ContainerID: self.container_id(),
            Size: self.size(),
            ..Default::default()
        }
    }
}

impl FromProto<grpc::LinuxIDMapping> for oci::LinuxIdMapping {
    fn from_proto(proto: grpc::LinuxIDMapping, _: OutOfRange) -> Result<Self, ConvertError> {
        let mapping = oci::LinuxIdMappingBuilder::default()
            .host_id(proto.HostID)
            .container_id(proto.ContainerID)
            .size(proto.Size)
            .build();
        built(mapping, "LinuxIdMapping")
    }
}

conversions! {
    /// The type is sent in the kernel's spelling: `mnt`, `cgroup`, `uts`, `ipc`, `user`, `pid`,
    /// `net` or `time`. A path that is not UTF-8 is changed.
    (oci::LinuxNamespace) -> (grpc::LinuxNamespace) by reference;

    /// The type may also be `mount` or `network`. An empty path gives `None`.
    ///
    /// # Panics
    ///
    /// On an unknown or empty type. [`TryFromProto`](crate::trans::TryFromProto) returns an
    /// error instead.
    <-;
}

impl IntoProto for &oci::LinuxNamespace {
    type Proto = grpc::LinuxNamespace;

    fn into_proto<L: Losses>(self, losses: &mut L) -> Self::Proto {
        grpc::LinuxNamespace {
            Type: self.typ().to_string(),
            Path: copy_optional_path(self.path().as_ref(), "path", losses),
            ..Default::default()
        }
    }
}

impl FromProto<grpc::LinuxNamespace> for oci::LinuxNamespace {
    fn from_proto(proto: grpc::LinuxNamespace, _: OutOfRange) -> Result<Self, ConvertError> {
        // D7: anything else must not become a PID namespace.
        let typ = oci::LinuxNamespaceType::try_from(proto.Type.as_str())
            .map_err(|_| ConvertError::name(proto.Type, "LinuxNamespaceType"))
            .at("Type")?;
        let mut namespace = Self::default();
        namespace.set_typ(typ).set_path(path(proto.Path));
        Ok(namespace)
    }
}

conversions! {
    /// `None` gives an empty schema.
    ///
    /// Dropped: `clos_id`, `mem_bw_schema`, `enable_cmt`, `enable_mbm`.
    (oci::LinuxIntelRdt) -> (grpc::LinuxIntelRdt) by value;

    /// `l3_cache_schema` is always `Some`, also when empty.
    <-;
}

impl IntoProto for oci::LinuxIntelRdt {
    type Proto = grpc::LinuxIntelRdt;

    fn into_proto<L: Losses>(mut self, losses: &mut L) -> Self::Proto {
        losses.dropped("clos_id", self.clos_id().as_ref());
        losses.dropped("mem_bw_schema", self.mem_bw_schema().as_ref());
        losses.dropped("enable_cmt", *self.enable_cmt());
        losses.dropped("enable_mbm", *self.enable_mbm());
        grpc::LinuxIntelRdt {
            L3CacheSchema: self.l3_cache_schema_mut().take().unwrap_or_default(),
            ..Default::default()
        }
    }
}

impl FromProto<grpc::LinuxIntelRdt> for oci::LinuxIntelRdt {
    fn from_proto(proto: grpc::LinuxIntelRdt, _: OutOfRange) -> Result<Self, ConvertError> {
        let mut rdt = Self::default();
        rdt.set_l3_cache_schema(Some(proto.L3CacheSchema));
        Ok(rdt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trans::check::{both, from_proto, refused, to_proto};
    use protobuf::MessageField;
    use serde_json::json;
    use std::collections::HashMap;

    #[test]
    fn linux_with_every_part_set() {
        let mapping = |id| grpc::LinuxIDMapping {
            HostID: id,
            ContainerID: 2,
            Size: 3,
            ..Default::default()
        };
        both::<oci::Linux, _>(
            json!({
                "uidMappings": [{"hostID": 1, "containerID": 2, "size": 3}],
                "gidMappings": [{"hostID": 4, "containerID": 2, "size": 3}],
                "sysctl": {"a": "1", "": ""},
                "resources": {"pids": {"limit": 1}},
                "cgroupsPath": "/c",
                "namespaces": [{"type": "pid", "path": "/n"}],
                "devices": [{
                    "path": "/d", "type": "b", "major": 1, "minor": 2,
                    "fileMode": 3, "uid": 4, "gid": 5
                }],
                "seccomp": {
                    "defaultAction": "SCMP_ACT_KILL",
                    "architectures": [], "flags": [], "syscalls": []
                },
                "rootfsPropagation": "rslave",
                "maskedPaths": ["/m", ""],
                "readonlyPaths": ["/r"],
                "mountLabel": "l",
                "intelRdt": {"l3CacheSchema": "L3:0=f"},
            }),
            grpc::Linux {
                UIDMappings: vec![mapping(1)],
                GIDMappings: vec![mapping(4)],
                Sysctl: HashMap::from([("a".into(), "1".into()), (String::new(), String::new())]),
                Resources: MessageField::some(grpc::LinuxResources {
                    Pids: MessageField::some(grpc::LinuxPids {
                        Limit: 1,
                        ..Default::default()
                    }),
                    ..Default::default()
                }),
                CgroupsPath: "/c".into(),
                Namespaces: vec![grpc::LinuxNamespace {
                    Type: "pid".into(),
                    Path: "/n".into(),
                    ..Default::default()
                }],
                Devices: vec![grpc::LinuxDevice {
                    Path: "/d".into(),
                    Type: "b".into(),
                    Major: 1,
                    Minor: 2,
                    FileMode: 3,
                    UID: 4,
                    GID: 5,
                    ..Default::default()
                }],
                Seccomp: MessageField::some(grpc::LinuxSeccomp {
                    DefaultAction: "SCMP_ACT_KILL".into(),
                    ..Default::default()
                }),
                RootfsPropagation: "rslave".into(),
                MaskedPaths: vec!["/m".into(), String::new()],
                ReadonlyPaths: vec!["/r".into()],
                MountLabel: "l".into(),
                IntelRdt: MessageField::some(grpc::LinuxIntelRdt {
                    L3CacheSchema: "L3:0=f".into(),
                    ..Default::default()
                }),
                ..Default::default()
            },
        );
    }

    /// D5: no sample namespaces or paths, but the resources that the agent expects.
    #[test]
    fn linux_with_nothing_set() {
        to_proto::<oci::Linux, _>(json!({}), grpc::Linux::new());
        to_proto::<oci::Linux, _>(
            json!({
                "uidMappings": [], "gidMappings": [], "sysctl": {}, "cgroupsPath": "",
                "namespaces": [], "devices": [], "rootfsPropagation": "", "maskedPaths": [],
                "readonlyPaths": [], "mountLabel": "",
            }),
            grpc::Linux::new(),
        );
        from_proto::<oci::Linux, _>(grpc::Linux::new(), json!({"resources": {"devices": []}}));
    }

    #[test]
    fn linux_fields_without_wire_form_are_dropped() {
        to_proto::<oci::Linux, _>(
            json!({
                "netDevices": {"eth0": {"name": "e"}},
                "memoryPolicy": {"mode": "MPOL_DEFAULT"},
                "personality": {"domain": "LINUX32"},
                "timeOffsets": {"boottime": {"secs": 1}},
            }),
            grpc::Linux::new(),
        );
    }

    fn namespace(typ: &str) -> grpc::LinuxNamespace {
        grpc::LinuxNamespace {
            Type: typ.into(),
            ..Default::default()
        }
    }

    #[test]
    fn namespace_types_have_the_kernels_spelling_on_the_wire() {
        for (typ, sent) in [
            ("mount", "mnt"),
            ("cgroup", "cgroup"),
            ("uts", "uts"),
            ("ipc", "ipc"),
            ("user", "user"),
            ("pid", "pid"),
            ("network", "net"),
            ("time", "time"),
        ] {
            both::<oci::LinuxNamespace, _>(json!({"type": typ}), namespace(sent));
            from_proto::<oci::LinuxNamespace, _>(namespace(typ), json!({"type": typ}));
        }
        to_proto::<oci::LinuxNamespace, _>(json!({"type": "pid", "path": ""}), namespace("pid"));
    }

    /// D7: a misspelt namespace must not become a PID namespace.
    #[test]
    fn unknown_namespace_types_are_refused() {
        for typ in ["", "tiem", "PID", "network ", "pid\0"] {
            refused::<oci::LinuxNamespace, _>(namespace(typ), "Type", typ, "LinuxNamespaceType");
            let linux = grpc::Linux {
                Namespaces: vec![namespace("pid"), namespace(typ)],
                ..Default::default()
            };
            refused::<oci::Linux, _>(linux, "Namespaces[1].Type", typ, "LinuxNamespaceType");
        }
    }

    #[test]
    fn id_mapping() {
        both::<oci::LinuxIdMapping, _>(
            json!({"hostID": 1, "containerID": u32::MAX, "size": 0}),
            grpc::LinuxIDMapping {
                HostID: 1,
                ContainerID: u32::MAX,
                ..Default::default()
            },
        );
    }

    #[test]
    fn intel_rdt_keeps_only_the_l3_schema() {
        to_proto::<oci::LinuxIntelRdt, _>(
            json!({"closID": "c", "memBwSchema": "m", "enableCmt": true, "enableMbm": false}),
            grpc::LinuxIntelRdt::new(),
        );
        from_proto::<oci::LinuxIntelRdt, _>(
            grpc::LinuxIntelRdt::new(),
            json!({"l3CacheSchema": ""}),
        );
    }
}
