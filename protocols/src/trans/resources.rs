//! The limits of the container's cgroup: memory, CPU, processes, huge pages, and the rest.

use super::{
    ConvertError, FromProto, IntoProto, conversions,
    error::OutOfRange,
    grpc,
    lossy::Losses,
    oci,
    rules::{list, message, non_empty, non_zero, positive, text, to_list, to_message},
};

conversions! {
    /// A `None` part is an absent message or an empty list.
    ///
    /// Dropped: `rdma`, `unified`, and of the parts: `use_hierarchy` and `check_before_update` of
    /// the memory limits, `idle` and `burst` of the CPU limits.
    (oci::LinuxResources) -> (grpc::LinuxResources) by value;

    /// An absent part or empty list gives `None`, except that absent `Pids` give a limit of 0: the
    /// agent reads it as "no limit", where `None` would let systemd apply its `DefaultTasksMax`.
    ///
    /// # Panics
    ///
    /// On an unknown type of a device rule. [`TryFromProto`](crate::trans::TryFromProto) returns
    /// an error instead.
    <-;
}

impl IntoProto for oci::LinuxResources {
    type Proto = grpc::LinuxResources;

    fn into_proto<L: Losses>(mut self, losses: &mut L) -> Self::Proto {
        losses.dropped("rdma", self.rdma().as_ref());
        losses.dropped("unified", self.unified().as_ref());
        grpc::LinuxResources {
            Devices: to_list(self.devices_mut().take(), "devices", losses),
            Memory: to_message(self.memory().as_ref(), "memory", losses),
            CPU: to_message(self.cpu().as_ref(), "cpu", losses),
            Pids: to_message(self.pids().as_ref(), "pids", losses),
            BlockIO: to_message(self.block_io().as_ref(), "block_io", losses),
            HugepageLimits: to_list(self.hugepage_limits().as_ref(), "hugepage_limits", losses),
            Network: to_message(self.network().as_ref(), "network", losses),
            ..Default::default()
        }
    }
}

impl FromProto<grpc::LinuxResources> for oci::LinuxResources {
    fn from_proto(
        proto: grpc::LinuxResources,
        out_of_range: OutOfRange,
    ) -> Result<Self, ConvertError> {
        let pids: Option<oci::LinuxPids> = message(proto.Pids, "Pids", out_of_range)?;
        let mut resources = Self::default();
        resources
            .set_devices(non_empty(list(proto.Devices, "Devices", out_of_range)?))
            .set_memory(message(proto.Memory, "Memory", out_of_range)?)
            .set_cpu(message(proto.CPU, "CPU", out_of_range)?)
            // D2: present arrives, absent is "no limit".
            .set_pids(Some(pids.unwrap_or_default()))
            .set_block_io(message(proto.BlockIO, "BlockIO", out_of_range)?)
            .set_hugepage_limits(non_empty(list(
                proto.HugepageLimits,
                "HugepageLimits",
                out_of_range,
            )?))
            .set_network(message(proto.Network, "Network", out_of_range)?);
        Ok(resources)
    }
}

conversions! {
    /// `None` gives 0 or `false`. Negative limits are sent.
    ///
    /// Dropped: `use_hierarchy`, `check_before_update`.
    (oci::LinuxMemory) -> (grpc::LinuxMemory) by reference;

    /// Limits, in bytes, give `None` unless they are positive: a negative one, "unlimited", is
    /// ignored because the agent's systemd driver rejects it. `disable_oom_killer` is always
    /// `Some`.
    <-;
}

impl IntoProto for &oci::LinuxMemory {
    type Proto = grpc::LinuxMemory;

    fn into_proto<L: Losses>(self, losses: &mut L) -> Self::Proto {
        losses.dropped("use_hierarchy", self.use_hierarchy());
        losses.dropped("check_before_update", self.check_before_update());
        grpc::LinuxMemory {
            Limit: self.limit().unwrap_or_default(),
            Reservation: self.reservation().unwrap_or_default(),
            Swap: self.swap().unwrap_or_default(),
            Kernel: self.kernel().unwrap_or_default(),
            KernelTCP: self.kernel_tcp().unwrap_or_default(),
            Swappiness: self.swappiness().unwrap_or_default(),
            DisableOOMKiller: self.disable_oom_killer().unwrap_or_default(),
            ..Default::default()
        }
    }
}

impl FromProto<grpc::LinuxMemory> for oci::LinuxMemory {
    fn from_proto(proto: grpc::LinuxMemory, _: OutOfRange) -> Result<Self, ConvertError> {
        let mut memory = Self::default();
        memory
            .set_limit(positive(proto.Limit))
            .set_reservation(positive(proto.Reservation))
            .set_swap(positive(proto.Swap))
            .set_kernel(positive(proto.Kernel))
            .set_kernel_tcp(positive(proto.KernelTCP))
            .set_swappiness(positive(proto.Swappiness))
            .set_disable_oom_killer(Some(proto.DisableOOMKiller));
        Ok(memory)
    }
}

conversions! {
    /// `None` gives 0 or an empty text.
    ///
    /// Dropped: `idle`, `burst`.
    (oci::LinuxCpu) -> (grpc::LinuxCPU) by reference;

    /// 0 and empty texts give `None`. A negative quota is kept, as it removes the limit; a
    /// negative real-time runtime gives `None`. Times are in microseconds.
    <-;
}

impl IntoProto for &oci::LinuxCpu {
    type Proto = grpc::LinuxCPU;

    fn into_proto<L: Losses>(self, losses: &mut L) -> Self::Proto {
        losses.dropped("idle", self.idle());
        losses.dropped("burst", self.burst());
        grpc::LinuxCPU {
            Shares: self.shares().unwrap_or_default(),
            Quota: self.quota().unwrap_or_default(),
            Period: self.period().unwrap_or_default(),
            RealtimeRuntime: self.realtime_runtime().unwrap_or_default(),
            RealtimePeriod: self.realtime_period().unwrap_or_default(),
            Cpus: self.cpus().clone().unwrap_or_default(),
            Mems: self.mems().clone().unwrap_or_default(),
            ..Default::default()
        }
    }
}

impl FromProto<grpc::LinuxCPU> for oci::LinuxCpu {
    fn from_proto(proto: grpc::LinuxCPU, _: OutOfRange) -> Result<Self, ConvertError> {
        let mut cpu = Self::default();
        cpu.set_shares(positive(proto.Shares))
            // D8: -1 removes the limit.
            .set_quota(non_zero(proto.Quota))
            .set_period(positive(proto.Period))
            .set_realtime_runtime(positive(proto.RealtimeRuntime))
            .set_realtime_period(positive(proto.RealtimePeriod))
            .set_cpus(text(proto.Cpus))
            .set_mems(text(proto.Mems));
        Ok(cpu)
    }
}

conversions! {
    /// The limit unchanged.
    (oci::LinuxPids) -> (grpc::LinuxPids) by reference;

    /// The limit unchanged.
    <-;
}

impl IntoProto for &oci::LinuxPids {
    type Proto = grpc::LinuxPids;

    fn into_proto<L: Losses>(self, _: &mut L) -> Self::Proto {
        grpc::LinuxPids {
            Limit: self.limit(),
            ..Default::default()
        }
    }
}

impl FromProto<grpc::LinuxPids> for oci::LinuxPids {
    fn from_proto(proto: grpc::LinuxPids, _: OutOfRange) -> Result<Self, ConvertError> {
        let mut pids = Self::default();
        pids.set_limit(proto.Limit);
        Ok(pids)
    }
}

conversions! {
    /// The limit, in bytes, keeps its 64 bits: −1 gives 2⁶⁴−1.
    (oci::LinuxHugepageLimit) -> (grpc::LinuxHugepageLimit) by reference;

    /// The limit keeps its 64 bits: 2⁶⁴−1 gives −1.
    <-;
}

impl IntoProto for &oci::LinuxHugepageLimit {
    type Proto = grpc::LinuxHugepageLimit;

    fn into_proto<L: Losses>(self, _: &mut L) -> Self::Proto {
        grpc::LinuxHugepageLimit {
            Pagesize: self.page_size().clone(),
            Limit: self.limit().cast_unsigned(),
            ..Default::default()
        }
    }
}

impl FromProto<grpc::LinuxHugepageLimit> for oci::LinuxHugepageLimit {
    fn from_proto(proto: grpc::LinuxHugepageLimit, _: OutOfRange) -> Result<Self, ConvertError> {
        let mut limit = Self::default();
        limit
            .set_page_size(proto.Pagesize)
            .set_limit(proto.Limit.cast_signed());
        Ok(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trans::check::{both, from_proto, to_proto};
    use protobuf::MessageField;
    use serde_json::{Value, json};

    fn pids(limit: i64) -> MessageField<grpc::LinuxPids> {
        MessageField::some(grpc::LinuxPids {
            Limit: limit,
            ..Default::default()
        })
    }

    #[test]
    fn resources_with_every_part_set() {
        both::<oci::LinuxResources, _>(
            json!({
                "devices": [{"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rw"}],
                "memory": {"limit": 1, "disableOOMKiller": false},
                "cpu": {"quota": -1},
                "pids": {"limit": 100},
                "blockIO": {
                    "weight": 1, "weightDevice": [], "throttleReadBpsDevice": [],
                    "throttleWriteBpsDevice": [], "throttleReadIOPSDevice": [],
                    "throttleWriteIOPSDevice": []
                },
                "hugepageLimits": [{"pageSize": "2MB", "limit": 5}],
                "network": {"classID": 1},
            }),
            grpc::LinuxResources {
                Devices: vec![grpc::LinuxDeviceCgroup {
                    Allow: true,
                    Type: "c".into(),
                    Major: 1,
                    Minor: 3,
                    Access: "rw".into(),
                    ..Default::default()
                }],
                Memory: MessageField::some(grpc::LinuxMemory {
                    Limit: 1,
                    ..Default::default()
                }),
                CPU: MessageField::some(grpc::LinuxCPU {
                    Quota: -1,
                    ..Default::default()
                }),
                Pids: pids(100),
                BlockIO: MessageField::some(grpc::LinuxBlockIO {
                    Weight: 1,
                    ..Default::default()
                }),
                HugepageLimits: vec![grpc::LinuxHugepageLimit {
                    Pagesize: "2MB".into(),
                    Limit: 5,
                    ..Default::default()
                }],
                Network: MessageField::some(grpc::LinuxNetwork {
                    ClassID: 1,
                    ..Default::default()
                }),
                ..Default::default()
            },
        );
    }

    /// D2: the limit arrives; without one, the agent gets "no limit" rather than systemd's default.
    #[test]
    fn pids_limit_arrives_and_its_absence_is_zero() {
        let resources = |pids| grpc::LinuxResources {
            Pids: pids,
            ..Default::default()
        };
        for limit in [100, 0, -1] {
            let json = json!({"pids": {"limit": limit}});
            both::<oci::LinuxResources, _>(json, resources(pids(limit)));
        }
        let absent = resources(MessageField::none());
        from_proto::<oci::LinuxResources, _>(absent.clone(), json!({"pids": {"limit": 0}}));
        to_proto::<oci::LinuxResources, _>(json!({}), absent);
    }

    #[test]
    fn resources_without_wire_form_are_dropped() {
        to_proto::<oci::LinuxResources, _>(
            json!({
                "devices": [], "hugepageLimits": [],
                "rdma": {"mlx5": {"hcaHandles": 1}}, "unified": {"memory.high": "1"},
            }),
            grpc::LinuxResources::new(),
        );
        to_proto::<oci::LinuxMemory, _>(
            json!({"useHierarchy": true, "checkBeforeUpdate": true}),
            grpc::LinuxMemory::new(),
        );
        to_proto::<oci::LinuxCpu, _>(json!({"idle": 1, "burst": 1}), grpc::LinuxCPU::new());
    }

    /// D8: negative memory limits are sent, but ignored on arrival.
    #[test]
    fn memory_limits_must_be_positive() {
        let memory = |limit: i64, swappiness| grpc::LinuxMemory {
            Limit: limit,
            Reservation: limit,
            Swap: limit,
            Kernel: limit,
            KernelTCP: limit,
            Swappiness: swappiness,
            ..Default::default()
        };
        let json = |limit: i64, swappiness: u64| {
            json!({
                "limit": limit, "reservation": limit, "swap": limit, "kernel": limit,
                "kernelTCP": limit, "swappiness": swappiness, "disableOOMKiller": false
            })
        };
        both::<oci::LinuxMemory, _>(json(1, 1), memory(1, 1));
        both::<oci::LinuxMemory, _>(json(i64::MAX, u64::MAX), memory(i64::MAX, u64::MAX));
        for limit in [0, -1, i64::MIN] {
            to_proto::<oci::LinuxMemory, _>(json(limit, 0), memory(limit, 0));
            let arrived = json!({"disableOOMKiller": false});
            from_proto::<oci::LinuxMemory, _>(memory(limit, 0), arrived);
        }
        to_proto::<oci::LinuxMemory, _>(json!({}), memory(0, 0));
        both::<oci::LinuxMemory, _>(
            json!({"disableOOMKiller": true}),
            grpc::LinuxMemory {
                DisableOOMKiller: true,
                ..Default::default()
            },
        );
    }

    /// D8: quota −1 removes the limit.
    #[test]
    fn cpu_quota_may_be_negative_but_realtime_runtime_may_not() {
        let cpu = |quota, runtime| grpc::LinuxCPU {
            Quota: quota,
            RealtimeRuntime: runtime,
            ..Default::default()
        };
        let cases: [(grpc::LinuxCPU, Value); 5] = [
            (cpu(0, 0), json!({})),
            (cpu(-1, -1), json!({"quota": -1})),
            (cpu(i64::MIN, i64::MIN), json!({"quota": i64::MIN})),
            (cpu(1, 1), json!({"quota": 1, "realtimeRuntime": 1})),
            (cpu(i64::MAX, 0), json!({"quota": i64::MAX})),
        ];
        for (proto, json) in cases {
            from_proto::<oci::LinuxCpu, _>(proto, json);
        }
        let json = json!({"quota": -1, "realtimeRuntime": -1});
        to_proto::<oci::LinuxCpu, _>(json, cpu(-1, -1));
    }

    #[test]
    fn cpu_with_every_field_set() {
        both::<oci::LinuxCpu, _>(
            json!({
                "shares": 1, "quota": 2, "period": 3, "realtimeRuntime": 4, "realtimePeriod": 5,
                "cpus": "0-1", "mems": "0"
            }),
            grpc::LinuxCPU {
                Shares: 1,
                Quota: 2,
                Period: 3,
                RealtimeRuntime: 4,
                RealtimePeriod: 5,
                Cpus: "0-1".into(),
                Mems: "0".into(),
                ..Default::default()
            },
        );
        let zeros = json!({"shares": 0, "quota": 0, "period": 0, "realtimeRuntime": 0,
            "realtimePeriod": 0, "cpus": "", "mems": ""});
        to_proto::<oci::LinuxCpu, _>(zeros, grpc::LinuxCPU::new());
    }

    #[test]
    fn pids_limit_is_unchanged() {
        for limit in [0, -1, i64::MIN, i64::MAX] {
            let proto = pids(limit).unwrap_or_default();
            both::<oci::LinuxPids, _>(json!({"limit": limit}), proto);
        }
    }

    #[test]
    fn hugepage_limit_keeps_its_bits() {
        for (limit, sent) in [
            (0, 0),
            (-1, u64::MAX),
            (i64::MIN, 1 << 63),
            (i64::MAX, (1 << 63) - 1),
        ] {
            both::<oci::LinuxHugepageLimit, _>(
                json!({"pageSize": "1GB", "limit": limit}),
                grpc::LinuxHugepageLimit {
                    Pagesize: "1GB".into(),
                    Limit: sent,
                    ..Default::default()
                },
            );
        }
    }
}
