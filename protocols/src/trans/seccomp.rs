//! The system call filter.

use super::{
    ConvertError, FromProto, IntoProto, conversions,
    error::OutOfRange,
    grpc::{self, linux_syscall::ErrnoRet},
    lossy::Losses,
    oci,
    rules::{built, list, name, names, narrow, non_empty, to_list, to_names},
};

conversions! {
    /// Names are libseccomp's constants (`SCMP_ACT_ERRNO`, `SCMP_ARCH_X86_64`) and the kernel's
    /// (`SECCOMP_FILTER_FLAG_LOG`). `None` gives an empty list.
    ///
    /// Dropped: `default_errno_ret`, `listener_path`, `listener_metadata`.
    (oci::LinuxSeccomp) -> (grpc::LinuxSeccomp) by reference;

    /// The three lists are always `Some`, also when empty.
    ///
    /// # Panics
    ///
    /// On an unknown name, such as one that is newer than `oci-spec`
    /// (`SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`, `SCMP_ARCH_LOONGARCH64`).
    /// [`TryFromProto`](crate::trans::TryFromProto) returns an error instead.
    <-;
}

impl IntoProto for &oci::LinuxSeccomp {
    type Proto = grpc::LinuxSeccomp;

    fn into_proto<L: Losses>(self, losses: &mut L) -> Self::Proto {
        losses.dropped("default_errno_ret", self.default_errno_ret());
        losses.dropped("listener_path", self.listener_path().as_ref());
        losses.dropped("listener_metadata", self.listener_metadata().as_ref());
        grpc::LinuxSeccomp {
            DefaultAction: self.default_action().to_string(),
            Architectures: to_names(self.architectures().as_ref()),
            Flags: to_names(self.flags().as_ref()),
            Syscalls: to_list(self.syscalls().as_ref(), "syscalls", losses),
            ..Default::default()
        }
    }
}

impl FromProto<grpc::LinuxSeccomp> for oci::LinuxSeccomp {
    fn from_proto(
        proto: grpc::LinuxSeccomp,
        out_of_range: OutOfRange,
    ) -> Result<Self, ConvertError> {
        let mut seccomp = Self::default();
        seccomp
            .set_default_action(action(proto.DefaultAction, "DefaultAction")?)
            .set_architectures(Some(names(proto.Architectures, "Architectures", "Arch")?))
            .set_flags(Some(names(proto.Flags, "Flags", "LinuxSeccompFilterFlag")?))
            .set_syscalls(Some(list(proto.Syscalls, "Syscalls", out_of_range)?));
        Ok(seccomp)
    }
}

fn action(value: String, field: &'static str) -> Result<oci::LinuxSeccompAction, ConvertError> {
    name(value, field, "LinuxSeccompAction")
}

conversions! {
    /// An errno that is `None` is not sent, which is not the same as 0. No arguments give
    /// an empty list.
    (oci::LinuxSyscall) -> (grpc::LinuxSyscall) by reference;

    /// An errno that was not sent gives `None`, for which the agent uses `EPERM`; one that was sent
    /// is kept, also 0, for which a denied call returns success. An empty list of arguments
    /// gives `None`.
    ///
    /// # Panics
    ///
    /// On an unknown action, or an unknown operator of an argument.
    /// [`TryFromProto`](crate::trans::TryFromProto) returns an error instead.
    <-;
}

impl IntoProto for &oci::LinuxSyscall {
    type Proto = grpc::LinuxSyscall;

    fn into_proto<L: Losses>(self, losses: &mut L) -> Self::Proto {
        grpc::LinuxSyscall {
            Names: self.names().clone(),
            Action: self.action().to_string(),
            Args: to_list(self.args().as_ref(), "args", losses),
            ErrnoRet: self.errno_ret().map(ErrnoRet::Errnoret),
            ..Default::default()
        }
    }
}

impl FromProto<grpc::LinuxSyscall> for oci::LinuxSyscall {
    fn from_proto(
        proto: grpc::LinuxSyscall,
        out_of_range: OutOfRange,
    ) -> Result<Self, ConvertError> {
        // D2a: absent is not 0.
        let errno_ret = proto.ErrnoRet.map(|ErrnoRet::Errnoret(errno)| errno);
        let mut syscall = Self::default();
        syscall
            .set_names(proto.Names)
            .set_action(action(proto.Action, "Action")?)
            .set_errno_ret(errno_ret)
            .set_args(non_empty(list(proto.Args, "Args", out_of_range)?));
        Ok(syscall)
    }
}

conversions! {
    /// The operator is sent as libseccomp's constant (`SCMP_CMP_EQ`). `value_two` = `None` gives 0.
    (oci::LinuxSeccompArg) -> (grpc::LinuxSeccompArg) by reference;

    /// `value_two` is always `Some`. An index beyond `usize` saturates; it can be beyond only
    /// on a 32-bit machine.
    ///
    /// # Panics
    ///
    /// On an unknown operator. [`TryFromProto`](crate::trans::TryFromProto) returns an error
    /// instead.
    <-;
}

impl IntoProto for &oci::LinuxSeccompArg {
    type Proto = grpc::LinuxSeccompArg;

    fn into_proto<L: Losses>(self, _: &mut L) -> Self::Proto {
        grpc::LinuxSeccompArg {
            // Lossless: no machine that Rust supports has more than 64 bits.
            Index: self.index() as u64,
            Value: self.value(),
            ValueTwo: self.value_two().unwrap_or_default(),
            Op: self.op().to_string(),
            ..Default::default()
        }
    }
}

impl FromProto<grpc::LinuxSeccompArg> for oci::LinuxSeccompArg {
    fn from_proto(
        proto: grpc::LinuxSeccompArg,
        out_of_range: OutOfRange,
    ) -> Result<Self, ConvertError> {
        let op: oci::LinuxSeccompOperator = name(proto.Op, "Op", "LinuxSeccompOperator")?;
        let arg = oci::LinuxSeccompArgBuilder::default()
            .index(narrow::<_, usize>(proto.Index, "Index", out_of_range)?)
            .value(proto.Value)
            .value_two(proto.ValueTwo)
            .op(op)
            .build();
        built(arg, "LinuxSeccompArg")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trans::check::{both, from_proto, refused, to_proto};
    use serde_json::json;

    fn seccomp(action: &str) -> grpc::LinuxSeccomp {
        grpc::LinuxSeccomp {
            DefaultAction: action.into(),
            ..Default::default()
        }
    }

    fn syscall(action: &str) -> grpc::LinuxSyscall {
        grpc::LinuxSyscall {
            Action: action.into(),
            ..Default::default()
        }
    }

    fn arg(op: &str) -> grpc::LinuxSeccompArg {
        grpc::LinuxSeccompArg {
            Op: op.into(),
            ..Default::default()
        }
    }

    #[test]
    fn seccomp_with_every_field_set() {
        both::<oci::LinuxSeccomp, _>(
            json!({
                "defaultAction": "SCMP_ACT_ERRNO",
                "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"],
                "flags": ["SECCOMP_FILTER_FLAG_LOG"],
                "syscalls": [{
                    "names": ["a", "b"],
                    "action": "SCMP_ACT_ALLOW",
                    "errnoRet": 38,
                    "args": [{"index": 1, "value": 2, "valueTwo": 3, "op": "SCMP_CMP_GE"}],
                }],
            }),
            grpc::LinuxSeccomp {
                Architectures: vec!["SCMP_ARCH_X86_64".into(), "SCMP_ARCH_X32".into()],
                Flags: vec!["SECCOMP_FILTER_FLAG_LOG".into()],
                Syscalls: vec![grpc::LinuxSyscall {
                    Names: vec!["a".into(), "b".into()],
                    ErrnoRet: Some(ErrnoRet::Errnoret(38)),
                    Args: vec![grpc::LinuxSeccompArg {
                        Index: 1,
                        Value: 2,
                        ValueTwo: 3,
                        ..arg("SCMP_CMP_GE")
                    }],
                    ..syscall("SCMP_ACT_ALLOW")
                }],
                ..seccomp("SCMP_ACT_ERRNO")
            },
        );
    }

    #[test]
    fn seccomp_lists_are_always_some() {
        to_proto::<oci::LinuxSeccomp, _>(
            json!({"defaultAction": "SCMP_ACT_KILL"}),
            seccomp("SCMP_ACT_KILL"),
        );
        from_proto::<oci::LinuxSeccomp, _>(
            seccomp("SCMP_ACT_KILL"),
            json!({
                "defaultAction": "SCMP_ACT_KILL",
                "architectures": [], "flags": [], "syscalls": [],
            }),
        );
    }

    #[test]
    fn seccomp_fields_without_wire_form_are_dropped() {
        to_proto::<oci::LinuxSeccomp, _>(
            json!({
                "defaultAction": "SCMP_ACT_KILL", "defaultErrnoRet": 1,
                "listenerPath": "/l", "listenerMetadata": "m",
            }),
            seccomp("SCMP_ACT_KILL"),
        );
    }

    /// D2a: unset is `EPERM` for the agent, 0 makes a denied call look successful.
    #[test]
    fn errno_presence_is_kept() {
        let action = "SCMP_ACT_ERRNO";
        both::<oci::LinuxSyscall, _>(json!({"names": [], "action": action}), syscall(action));
        for errno in [0, 1, u32::MAX] {
            both::<oci::LinuxSyscall, _>(
                json!({"names": [], "action": action, "errnoRet": errno}),
                grpc::LinuxSyscall {
                    ErrnoRet: Some(ErrnoRet::Errnoret(errno)),
                    ..syscall(action)
                },
            );
        }
        let empty = json!({"names": [], "action": action, "args": []});
        to_proto::<oci::LinuxSyscall, _>(empty, syscall(action));
    }

    #[test]
    fn arg_second_value_is_always_some() {
        let op = "SCMP_CMP_EQ";
        let json = json!({"index": 0, "value": 0, "op": op});
        to_proto::<oci::LinuxSeccompArg, _>(json, arg(op));
        let json = json!({"index": 0, "value": 0, "valueTwo": 0, "op": op});
        from_proto::<oci::LinuxSeccompArg, _>(arg(op), json);
    }

    #[test]
    fn every_name_is_its_constant() {
        for action in [
            "KILL",
            "KILL_THREAD",
            "KILL_PROCESS",
            "TRAP",
            "ERRNO",
            "NOTIFY",
            "TRACE",
            "LOG",
            "ALLOW",
        ] {
            let action = format!("SCMP_ACT_{action}");
            let json = json!({"names": [], "action": action});
            both::<oci::LinuxSyscall, _>(json, syscall(&action));
        }
        for op in ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"] {
            let op = format!("SCMP_CMP_{op}");
            let json = json!({"index": 0, "value": 0, "valueTwo": 0, "op": op});
            both::<oci::LinuxSeccompArg, _>(json, arg(&op));
        }
        let architectures: Vec<_> = [
            "NATIVE",
            "X86",
            "X86_64",
            "X32",
            "ARM",
            "AARCH64",
            "MIPS",
            "MIPS64",
            "MIPS64N32",
            "MIPSEL",
            "MIPSEL64",
            "MIPSEL64N32",
            "PPC",
            "PPC64",
            "PPC64LE",
            "S390",
            "S390X",
            "RISCV64",
        ]
        .map(|arch| format!("SCMP_ARCH_{arch}"))
        .into();
        let flags: Vec<_> = ["LOG", "TSYNC", "SPEC_ALLOW"]
            .map(|flag| format!("SECCOMP_FILTER_FLAG_{flag}"))
            .into();
        both::<oci::LinuxSeccomp, _>(
            json!({
                "defaultAction": "SCMP_ACT_LOG", "syscalls": [],
                "architectures": architectures, "flags": flags,
            }),
            grpc::LinuxSeccomp {
                Architectures: architectures.clone(),
                Flags: flags.clone(),
                ..seccomp("SCMP_ACT_LOG")
            },
        );
    }

    /// D6
    #[test]
    fn unknown_names_are_refused_where_they_are() {
        for name in ["", "SCMP_ACT_BLOCK", "scmp_act_kill"] {
            let kind = "LinuxSeccompAction";
            refused::<oci::LinuxSeccomp, _>(seccomp(name), "DefaultAction", name, kind);
            refused::<oci::LinuxSyscall, _>(syscall(name), "Action", name, kind);
            let mut proto = seccomp("SCMP_ACT_KILL");
            proto.Syscalls = vec![syscall("SCMP_ACT_KILL"), syscall(name)];
            refused::<oci::LinuxSeccomp, _>(proto, "Syscalls[1].Action", name, kind);
        }
        for name in ["", "X86_64", "SCMP_ARCH_LOONGARCH64"] {
            let mut proto = seccomp("SCMP_ACT_KILL");
            proto.Architectures = vec!["SCMP_ARCH_X86".into(), name.into()];
            refused::<oci::LinuxSeccomp, _>(proto, "Architectures[1]", name, "Arch");
        }
        for name in ["", "LOG", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"] {
            let kind = "LinuxSeccompFilterFlag";
            let mut proto = seccomp("SCMP_ACT_KILL");
            proto.Flags = vec![name.into()];
            refused::<oci::LinuxSeccomp, _>(proto, "Flags[0]", name, kind);
        }
        for name in ["", "EQ", "SCMP_CMP_EQUAL"] {
            let kind = "LinuxSeccompOperator";
            refused::<oci::LinuxSeccompArg, _>(arg(name), "Op", name, kind);
            let mut proto = syscall("SCMP_ACT_KILL");
            proto.Args = vec![arg("SCMP_CMP_EQ"), arg("SCMP_CMP_NE"), arg(name)];
            refused::<oci::LinuxSyscall, _>(proto, "Args[2].Op", name, kind);
        }
    }
}
