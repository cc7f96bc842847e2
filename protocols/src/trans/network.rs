//! Class and priority of network traffic (cgroup v1 `net_cls` and `net_prio`).

use super::{
    ConvertError, FromProto, IntoProto, conversions,
    error::OutOfRange,
    grpc,
    lossy::Losses,
    oci,
    rules::{list, non_empty, non_zero, to_list},
};

conversions! {
    /// `None` gives class 0 and an empty list.
    (oci::LinuxNetwork) -> (grpc::LinuxNetwork) by reference;

    /// Class 0 and an empty list give `None`.
    <-;
}

impl IntoProto for &oci::LinuxNetwork {
    type Proto = grpc::LinuxNetwork;

    fn into_proto<L: Losses>(self, losses: &mut L) -> Self::Proto {
        grpc::LinuxNetwork {
            ClassID: self.class_id().unwrap_or_default(),
            Priorities: to_list(self.priorities().as_ref(), "priorities", losses),
            ..Default::default()
        }
    }
}

impl FromProto<grpc::LinuxNetwork> for oci::LinuxNetwork {
    fn from_proto(
        proto: grpc::LinuxNetwork,
        out_of_range: OutOfRange,
    ) -> Result<Self, ConvertError> {
        let mut network = Self::default();
        network
            .set_class_id(non_zero(proto.ClassID))
            .set_priorities(non_empty(list(
                proto.Priorities,
                "Priorities",
                out_of_range,
            )?));
        Ok(network)
    }
}

conversions! {
    /// Both fields unchanged.
    (oci::LinuxInterfacePriority) -> (grpc::LinuxInterfacePriority) by reference;

    /// Both fields unchanged.
    <-;
}

impl IntoProto for &oci::LinuxInterfacePriority {
    type Proto = grpc::LinuxInterfacePriority;

    fn into_proto<L: Losses>(self, _: &mut L) -> Self::Proto {
        grpc::LinuxInterfacePriority {
            Name: self.name().clone(),
            Priority: self.priority(),
            ..Default::default()
        }
    }
}

impl FromProto<grpc::LinuxInterfacePriority> for oci::LinuxInterfacePriority {
    fn from_proto(
        proto: grpc::LinuxInterfacePriority,
        _: OutOfRange,
    ) -> Result<Self, ConvertError> {
        let mut priority = Self::default();
        priority.set_name(proto.Name).set_priority(proto.Priority);
        Ok(priority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trans::check::{both, to_proto};
    use serde_json::json;

    #[test]
    fn network() {
        both::<oci::LinuxNetwork, _>(
            json!({"classID": 7, "priorities": [{"name": "eth0", "priority": 1}, {"name": "", "priority": 0}]}),
            grpc::LinuxNetwork {
                ClassID: 7,
                Priorities: vec![
                    grpc::LinuxInterfacePriority {
                        Name: "eth0".into(),
                        Priority: 1,
                        ..Default::default()
                    },
                    grpc::LinuxInterfacePriority::new(),
                ],
                ..Default::default()
            },
        );
        both::<oci::LinuxNetwork, _>(json!({}), grpc::LinuxNetwork::new());
        to_proto::<oci::LinuxNetwork, _>(
            json!({"classID": 0, "priorities": []}),
            grpc::LinuxNetwork::new(),
        );
    }

    #[test]
    fn interface_priority() {
        both::<oci::LinuxInterfacePriority, _>(
            json!({"name": "eth0", "priority": u32::MAX}),
            grpc::LinuxInterfacePriority {
                Name: "eth0".into(),
                Priority: u32::MAX,
                ..Default::default()
            },
        );
    }
}
