//! Device nodes in the container, and the device rules of its cgroup.

use super::{
    ConvertError, FromProto, IntoProto, conversions,
    error::OutOfRange,
    grpc,
    lossy::Losses,
    oci,
    rules::{name, take_path, text},
};

conversions! {
    /// Mode and owner are sent as 0 if they are `None`. A path that is not UTF-8 is changed.
    (oci::LinuxDevice) -> (grpc::LinuxDevice) by value;

    /// Mode and owner are always `Some`; the agent takes mode 0 as "that of the existing node".
    ///
    /// # Panics
    ///
    /// On an unknown or empty type. [`TryFromProto`](crate::trans::TryFromProto) returns an error
    /// instead.
    <-;
}

impl IntoProto for oci::LinuxDevice {
    type Proto = grpc::LinuxDevice;

    fn into_proto<L: Losses>(mut self, losses: &mut L) -> Self::Proto {
        grpc::LinuxDevice {
            Path: take_path(self.path_mut(), "path", losses),
            Type: self.typ().as_str().to_owned(),
            Major: self.major(),
            Minor: self.minor(),
            FileMode: self.file_mode().unwrap_or_default(),
            UID: self.uid().unwrap_or_default(),
            GID: self.gid().unwrap_or_default(),
            ..Default::default()
        }
    }
}

impl FromProto<grpc::LinuxDevice> for oci::LinuxDevice {
    fn from_proto(proto: grpc::LinuxDevice, _: OutOfRange) -> Result<Self, ConvertError> {
        let mut device = Self::default();
        device
            .set_path(proto.Path.into())
            .set_typ(name(proto.Type, "Type", "LinuxDeviceType")?)
            .set_major(proto.Major)
            .set_minor(proto.Minor)
            .set_file_mode(Some(proto.FileMode))
            .set_uid(Some(proto.UID))
            .set_gid(Some(proto.GID));
        Ok(device)
    }
}

conversions! {
    /// `None` gives an empty text or the number 0; so a wildcard number is sent as 0.
    (oci::LinuxDeviceCgroup) -> (grpc::LinuxDeviceCgroup) by value;

    /// An empty type gives `Some(A)`, all devices; an unknown one must not. Empty access gives
    /// `None`.
    ///
    /// If one of the device numbers is positive, the other is `Some` too, also if it is 0: the
    /// agent renumbers only rules that have both, and `b 8:0` is a device, not a wildcard.
    /// Negative numbers, and two zeros, give `None`.
    ///
    /// # Panics
    ///
    /// On an unknown type. [`TryFromProto`](crate::trans::TryFromProto) returns an error instead.
    <-;
}

impl IntoProto for oci::LinuxDeviceCgroup {
    type Proto = grpc::LinuxDeviceCgroup;

    fn into_proto<L: Losses>(mut self, _: &mut L) -> Self::Proto {
        grpc::LinuxDeviceCgroup {
            Allow: self.allow(),
            Type: self
                .typ()
                .map(|typ| typ.as_str().to_owned())
                .unwrap_or_default(),
            Major: self.major().unwrap_or_default(),
            Minor: self.minor().unwrap_or_default(),
            Access: self.access_mut().take().unwrap_or_default(),
            ..Default::default()
        }
    }
}

impl FromProto<grpc::LinuxDeviceCgroup> for oci::LinuxDeviceCgroup {
    fn from_proto(proto: grpc::LinuxDeviceCgroup, _: OutOfRange) -> Result<Self, ConvertError> {
        // D7: only an empty type means all devices.
        let typ = if proto.Type.is_empty() {
            oci::LinuxDeviceType::A
        } else {
            name(proto.Type, "Type", "LinuxDeviceType")?
        };
        // D10: the agent renumbers only rules that have both numbers.
        let has_numbers = proto.Major > 0 || proto.Minor > 0;
        let number = |number: i64| (has_numbers && number >= 0).then_some(number);
        let mut device = Self::default();
        device
            .set_allow(proto.Allow)
            .set_typ(Some(typ))
            .set_major(number(proto.Major))
            .set_minor(number(proto.Minor))
            .set_access(text(proto.Access));
        Ok(device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trans::check::{both, from_proto, refused, to_proto};
    use serde_json::json;

    /// D6
    #[test]
    fn device_types() {
        let device = |typ: &str| grpc::LinuxDevice {
            Type: typ.into(),
            ..Default::default()
        };
        for typ in ["a", "b", "c", "u", "p"] {
            both::<oci::LinuxDevice, _>(
                json!({
                    "path": "", "type": typ, "major": 0, "minor": 0,
                    "fileMode": 0, "uid": 0, "gid": 0
                }),
                device(typ),
            );
        }
        for typ in ["", "x", "C"] {
            refused::<oci::LinuxDevice, _>(device(typ), "Type", typ, "LinuxDeviceType");
            let linux = grpc::Linux {
                Devices: vec![device(typ)],
                ..Default::default()
            };
            refused::<oci::Linux, _>(linux, "Devices[0].Type", typ, "LinuxDeviceType");
        }
        to_proto::<oci::LinuxDevice, _>(json!({"type": "c"}), device("c"));
    }

    fn rule(major: i64, minor: i64) -> grpc::LinuxDeviceCgroup {
        grpc::LinuxDeviceCgroup {
            Allow: true,
            Type: "c".into(),
            Major: major,
            Minor: minor,
            Access: "rw".into(),
            ..Default::default()
        }
    }

    /// D10
    #[test]
    fn device_rule_numbers() {
        let cases: [(i64, i64, Option<i64>, Option<i64>); 9] = [
            (8, 1, Some(8), Some(1)),
            (8, 0, Some(8), Some(0)),
            (0, 1, Some(0), Some(1)),
            (8, -1, Some(8), None),
            (-1, 1, None, Some(1)),
            (0, 0, None, None),
            (0, -1, None, None),
            (-1, 0, None, None),
            (-1, -1, None, None),
        ];
        for (major, minor, expected_major, expected_minor) in cases {
            let device = oci::LinuxDeviceCgroup::from(rule(major, minor));
            let numbers = (device.major(), device.minor());
            assert_eq!(numbers, (expected_major, expected_minor), "{major}:{minor}");
        }
        for (major, sent) in [
            (json!(null), 0),
            (json!(0), 0),
            (json!(-1), -1),
            (json!(8), 8),
        ] {
            let json = json!({"allow": true, "type": "c", "major": major, "access": "rw"});
            to_proto::<oci::LinuxDeviceCgroup, _>(json, rule(sent, 0));
        }
    }

    /// D7: `{Allow: true, Type: "x", Access: "rwm"}` must not allow every device.
    #[test]
    fn only_an_empty_device_rule_type_means_all() {
        let typed = |typ: &str| grpc::LinuxDeviceCgroup {
            Type: typ.into(),
            ..Default::default()
        };
        for typ in ["a", "b", "c", "u", "p"] {
            let json = json!({"allow": false, "type": typ, "access": null});
            both::<oci::LinuxDeviceCgroup, _>(json, typed(typ));
        }
        let all = json!({"allow": false, "type": "a", "access": null});
        from_proto::<oci::LinuxDeviceCgroup, _>(typed(""), all);
        to_proto::<oci::LinuxDeviceCgroup, _>(json!({"access": ""}), typed(""));
        for typ in ["x", "A", "block", " b"] {
            refused::<oci::LinuxDeviceCgroup, _>(typed(typ), "Type", typ, "LinuxDeviceType");
            let resources = grpc::LinuxResources {
                Devices: vec![typed("a"), typed(typ)],
                ..Default::default()
            };
            let path = "Devices[1].Type";
            refused::<oci::LinuxResources, _>(resources, path, typ, "LinuxDeviceType");
        }
    }
}
