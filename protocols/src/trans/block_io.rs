//! Weights and rate limits of block devices.

use super::{
    ConvertError, FromProto, IntoProto, conversions,
    error::OutOfRange,
    grpc,
    lossy::Losses,
    oci,
    rules::{built, list, narrow, positive, to_list},
};

conversions! {
    /// `None` gives a weight of 0 or an empty list.
    (oci::LinuxBlockIo) -> (grpc::LinuxBlockIO) by reference;

    /// A weight of 0 gives `None`, one above 65535 saturates. The lists are always `Some`,
    /// also when empty.
    <-;
}

impl IntoProto for &oci::LinuxBlockIo {
    type Proto = grpc::LinuxBlockIO;

    fn into_proto<L: Losses>(self, losses: &mut L) -> Self::Proto {
        let mut throttle =
            |devices: &Option<Vec<_>>, field| to_list(devices.as_ref(), field, losses);
        let read_bps = throttle(self.throttle_read_bps_device(), "throttle_read_bps_device");
        let write_bps = throttle(
            self.throttle_write_bps_device(),
            "throttle_write_bps_device",
        );
        let read_iops = throttle(
            self.throttle_read_iops_device(),
            "throttle_read_iops_device",
        );
        let write_iops = throttle(
            self.throttle_write_iops_device(),
            "throttle_write_iops_device",
        );
        grpc::LinuxBlockIO {
            Weight: self.weight().unwrap_or_default().into(),
            LeafWeight: self.leaf_weight().unwrap_or_default().into(),
            WeightDevice: to_list(self.weight_device().as_ref(), "weight_device", losses),
            ThrottleReadBpsDevice: read_bps,
            ThrottleWriteBpsDevice: write_bps,
            ThrottleReadIOPSDevice: read_iops,
            ThrottleWriteIOPSDevice: write_iops,
            ..Default::default()
        }
    }
}

impl FromProto<grpc::LinuxBlockIO> for oci::LinuxBlockIo {
    fn from_proto(
        proto: grpc::LinuxBlockIO,
        out_of_range: OutOfRange,
    ) -> Result<Self, ConvertError> {
        let weight = |weight, field| narrow(weight, field, out_of_range).map(positive);
        let throttle = |devices, field| list(devices, field, out_of_range).map(Some);
        let mut block_io = Self::default();
        block_io
            .set_weight(weight(proto.Weight, "Weight")?)
            .set_leaf_weight(weight(proto.LeafWeight, "LeafWeight")?)
            .set_weight_device(Some(list(
                proto.WeightDevice,
                "WeightDevice",
                out_of_range,
            )?))
            .set_throttle_read_bps_device(throttle(
                proto.ThrottleReadBpsDevice,
                "ThrottleReadBpsDevice",
            )?)
            .set_throttle_write_bps_device(throttle(
                proto.ThrottleWriteBpsDevice,
                "ThrottleWriteBpsDevice",
            )?)
            .set_throttle_read_iops_device(throttle(
                proto.ThrottleReadIOPSDevice,
                "ThrottleReadIOPSDevice",
            )?)
            .set_throttle_write_iops_device(throttle(
                proto.ThrottleWriteIOPSDevice,
                "ThrottleWriteIOPSDevice",
            )?);
        Ok(block_io)
    }
}

conversions! {
    /// A weight that is `None` gives 0.
    (oci::LinuxWeightDevice) -> (grpc::LinuxWeightDevice) by reference;

    /// Both weights are always `Some`; one above 65535 saturates.
    <-;
}

impl IntoProto for &oci::LinuxWeightDevice {
    type Proto = grpc::LinuxWeightDevice;

    fn into_proto<L: Losses>(self, _: &mut L) -> Self::Proto {
        grpc::LinuxWeightDevice {
            Major: self.major(),
            Minor: self.minor(),
            Weight: self.weight().unwrap_or_default().into(),
            LeafWeight: self.leaf_weight().unwrap_or_default().into(),
            ..Default::default()
        }
    }
}

impl FromProto<grpc::LinuxWeightDevice> for oci::LinuxWeightDevice {
    fn from_proto(
        proto: grpc::LinuxWeightDevice,
        out_of_range: OutOfRange,
    ) -> Result<Self, ConvertError> {
        let device = oci::LinuxWeightDeviceBuilder::default()
            .major(proto.Major)
            .minor(proto.Minor)
            .weight(narrow::<_, u16>(proto.Weight, "Weight", out_of_range)?)
            .leaf_weight(narrow::<_, u16>(
                proto.LeafWeight,
                "LeafWeight",
                out_of_range,
            )?)
            .build();
        built(device, "LinuxWeightDevice")
    }
}

conversions! {
    /// All fields unchanged.
    (oci::LinuxThrottleDevice) -> (grpc::LinuxThrottleDevice) by reference;

    /// All fields unchanged.
    <-;
}

impl IntoProto for &oci::LinuxThrottleDevice {
    type Proto = grpc::LinuxThrottleDevice;

    fn into_proto<L: Losses>(self, _: &mut L) -> Self::Proto {
        grpc::LinuxThrottleDevice {
            Major: self.major(),
            Minor: self.minor(),
            Rate: self.rate(),
            ..Default::default()
        }
    }
}

impl FromProto<grpc::LinuxThrottleDevice> for oci::LinuxThrottleDevice {
    fn from_proto(proto: grpc::LinuxThrottleDevice, _: OutOfRange) -> Result<Self, ConvertError> {
        let device = oci::LinuxThrottleDeviceBuilder::default()
            .major(proto.Major)
            .minor(proto.Minor)
            .rate(proto.Rate)
            .build();
        built(device, "LinuxThrottleDevice")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trans::check::{both, from_proto, saturates, to_proto};
    use serde_json::json;

    fn throttle(rate: u64) -> grpc::LinuxThrottleDevice {
        grpc::LinuxThrottleDevice {
            Major: 8,
            Minor: -1,
            Rate: rate,
            ..Default::default()
        }
    }

    #[test]
    fn block_io_with_every_field_set() {
        let device = |rate| json!([{"major": 8, "minor": -1, "rate": rate}]);
        both::<oci::LinuxBlockIo, _>(
            json!({
                "weight": 10, "leafWeight": 65535,
                "weightDevice": [{"major": 8, "minor": 0, "weight": 1, "leafWeight": 2}],
                "throttleReadBpsDevice": device(1),
                "throttleWriteBpsDevice": device(2),
                "throttleReadIOPSDevice": device(3),
                "throttleWriteIOPSDevice": device(4),
            }),
            grpc::LinuxBlockIO {
                Weight: 10,
                LeafWeight: 65535,
                WeightDevice: vec![grpc::LinuxWeightDevice {
                    Major: 8,
                    Weight: 1,
                    LeafWeight: 2,
                    ..Default::default()
                }],
                ThrottleReadBpsDevice: vec![throttle(1)],
                ThrottleWriteBpsDevice: vec![throttle(2)],
                ThrottleReadIOPSDevice: vec![throttle(3)],
                ThrottleWriteIOPSDevice: vec![throttle(4)],
                ..Default::default()
            },
        );
    }

    #[test]
    fn block_io_with_nothing_set_has_empty_lists() {
        to_proto::<oci::LinuxBlockIo, _>(json!({}), grpc::LinuxBlockIO::new());
        from_proto::<oci::LinuxBlockIo, _>(
            grpc::LinuxBlockIO::new(),
            json!({
                "weightDevice": [],
                "throttleReadBpsDevice": [],
                "throttleWriteBpsDevice": [],
                "throttleReadIOPSDevice": [],
                "throttleWriteIOPSDevice": [],
            }),
        );
    }

    /// D9: neither 0 nor the low 16 bits.
    #[test]
    fn weights_saturate() {
        for weight in [65_536, 70_000, u32::MAX] {
            let text = weight.to_string();
            let device = grpc::LinuxWeightDevice {
                Weight: weight,
                ..Default::default()
            };
            let saturated = json!({"major": 0, "minor": 0, "weight": 65535, "leafWeight": 0});
            saturates::<oci::LinuxWeightDevice, _>(device, "Weight", &text, "u16", saturated);

            let device = grpc::LinuxWeightDevice {
                LeafWeight: weight,
                ..Default::default()
            };
            let saturated = json!({"major": 0, "minor": 0, "weight": 0, "leafWeight": 65535});
            saturates::<oci::LinuxWeightDevice, _>(
                device.clone(),
                "LeafWeight",
                &text,
                "u16",
                saturated.clone(),
            );

            let lists = json!({
                "weight": 65535,
                "weightDevice": [], "throttleReadBpsDevice": [], "throttleWriteBpsDevice": [],
                "throttleReadIOPSDevice": [], "throttleWriteIOPSDevice": [],
            });
            let block_io = grpc::LinuxBlockIO {
                Weight: weight,
                ..Default::default()
            };
            saturates::<oci::LinuxBlockIo, _>(block_io, "Weight", &text, "u16", lists.clone());

            let mut lists = lists;
            lists["leafWeight"] = lists["weight"].take();
            lists.as_object_mut().unwrap().remove("weight");
            lists["weightDevice"] = json!([saturated]);
            let block_io = grpc::LinuxBlockIO {
                LeafWeight: weight,
                WeightDevice: vec![device],
                ..Default::default()
            };
            saturates::<oci::LinuxBlockIo, _>(block_io, "LeafWeight", &text, "u16", lists);
        }
    }

    #[test]
    fn weight_device_weights_are_always_some() {
        to_proto::<oci::LinuxWeightDevice, _>(
            json!({"major": 8, "minor": 1}),
            grpc::LinuxWeightDevice {
                Major: 8,
                Minor: 1,
                ..Default::default()
            },
        );
        from_proto::<oci::LinuxWeightDevice, _>(
            grpc::LinuxWeightDevice::new(),
            json!({"major": 0, "minor": 0, "weight": 0, "leafWeight": 0}),
        );
    }

    #[test]
    fn throttle_device() {
        both::<oci::LinuxThrottleDevice, _>(
            json!({"major": 8, "minor": -1, "rate": u64::MAX}),
            throttle(u64::MAX),
        );
    }
}
