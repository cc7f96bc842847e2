//! The process to run: [`oci::Process`], its user, console and resource limits.

use std::mem;

use super::{
    ConvertError, FromProto, IntoProto, blank, conversions,
    error::{Locate, OutOfRange},
    grpc,
    lossy::Losses,
    oci,
    rules::{
        built, copy_path, list, message, name, narrow, non_empty, non_zero, text, to_list,
        to_message, to_narrow,
    },
};

conversions! {
    /// `user` is always sent. `oom_score_adj` = `None` is sent as 0, and so reads as `None`, like
    /// an explicit 0.
    ///
    /// Dropped: `command_line`, `io_priority`, `scheduler`, `exec_cpu_affinity`, and `umask` of
    /// the user.
    (oci::Process) -> (grpc::Process) by value;

    /// An absent or empty field gives `None`, with these exceptions: `terminal` and
    /// `no_new_privileges` are always `Some`, `cwd` is what was sent, and an absent `User` is root
    /// without additional groups. No arguments mean `None`, never a default command.
    ///
    /// An `OOMScoreAdj` outside of `i32` saturates; a score outside of −1000 to 1000 is for
    /// the kernel to refuse.
    ///
    /// # Panics
    ///
    /// On an unknown name of a capability or resource limit.
    /// [`TryFromProto`](crate::trans::TryFromProto) returns an error instead.
    <-;
}

impl IntoProto for oci::Process {
    type Proto = grpc::Process;

    fn into_proto<L: Losses>(mut self, losses: &mut L) -> Self::Proto {
        losses.dropped("command_line", self.command_line().as_ref());
        losses.dropped("io_priority", self.io_priority().as_ref());
        losses.dropped("scheduler", self.scheduler().as_ref());
        losses.dropped("exec_cpu_affinity", self.exec_cpu_affinity().as_ref());
        grpc::Process {
            Terminal: self.terminal().unwrap_or_default(),
            ConsoleSize: to_message(self.console_size().as_ref(), "console_size", losses),
            User: to_message(Some(mem::take(self.user_mut())), "user", losses),
            Args: self.args().clone().unwrap_or_default(),
            Env: self.env_mut().take().unwrap_or_default(),
            Cwd: copy_path(self.cwd(), "cwd", losses),
            Capabilities: to_message(self.capabilities().as_ref(), "capabilities", losses),
            Rlimits: to_list(self.rlimits().as_ref(), "rlimits", losses),
            NoNewPrivileges: self.no_new_privileges().unwrap_or_default(),
            ApparmorProfile: self.apparmor_profile().clone().unwrap_or_default(),
            OOMScoreAdj: self.oom_score_adj().unwrap_or_default().into(),
            SelinuxLabel: self.selinux_label().clone().unwrap_or_default(),
            ..Default::default()
        }
    }
}

impl FromProto<grpc::Process> for oci::Process {
    fn from_proto(proto: grpc::Process, out_of_range: OutOfRange) -> Result<Self, ConvertError> {
        let user = proto.User.unwrap_or_default();
        let mut process = blank::process();
        process
            .set_terminal(Some(proto.Terminal))
            .set_console_size(message(proto.ConsoleSize, "ConsoleSize", out_of_range)?)
            .set_user(FromProto::from_proto(user, out_of_range).at("User")?)
            .set_args(non_empty(proto.Args))
            .set_env(non_empty(proto.Env))
            .set_cwd(proto.Cwd.into())
            .set_capabilities(message(proto.Capabilities, "Capabilities", out_of_range)?)
            .set_rlimits(non_empty(list(proto.Rlimits, "Rlimits", out_of_range)?))
            .set_no_new_privileges(Some(proto.NoNewPrivileges))
            .set_apparmor_profile(text(proto.ApparmorProfile))
            .set_oom_score_adj(
                non_zero(proto.OOMScoreAdj)
                    .map(|score| narrow(score, "OOMScoreAdj", out_of_range))
                    .transpose()?,
            )
            .set_selinux_label(text(proto.SelinuxLabel));
        Ok(process)
    }
}

conversions! {
    /// Sizes beyond `u32` saturate.
    (oci::Box) -> (grpc::Box) by reference;

    /// Sizes are in characters.
    <-;
}

impl IntoProto for &oci::Box {
    type Proto = grpc::Box;

    fn into_proto<L: Losses>(self, losses: &mut L) -> Self::Proto {
        grpc::Box {
            Height: to_narrow(self.height(), "height", losses),
            Width: to_narrow(self.width(), "width", losses),
            ..Default::default()
        }
    }
}

impl FromProto<grpc::Box> for oci::Box {
    fn from_proto(proto: grpc::Box, _: OutOfRange) -> Result<Self, ConvertError> {
        let console = oci::BoxBuilder::default()
            .height(proto.Height)
            .width(proto.Width)
            .build();
        built(console, "Box")
    }
}

conversions! {
    /// `None` gives no groups and an empty name.
    ///
    /// Dropped: `umask`.
    (oci::User) -> (grpc::User) by value;

    /// `additional_gids` and `username` are always `Some`: the agent calls `setgroups` only for
    /// `Some`, and for a process without additional groups it is that call that drops its own.
    <-;
}

impl IntoProto for oci::User {
    type Proto = grpc::User;

    fn into_proto<L: Losses>(mut self, losses: &mut L) -> Self::Proto {
        losses.dropped("umask", self.umask());
        grpc::User {
            UID: self.uid(),
            GID: self.gid(),
            AdditionalGids: self.additional_gids_mut().take().unwrap_or_default(),
            Username: self.username_mut().take().unwrap_or_default(),
            ..Default::default()
        }
    }
}

impl FromProto<grpc::User> for oci::User {
    fn from_proto(proto: grpc::User, _: OutOfRange) -> Result<Self, ConvertError> {
        let mut user = Self::default();
        user.set_uid(proto.UID)
            .set_gid(proto.GID)
            // Also when empty: it is what makes the agent drop its own groups.
            .set_additional_gids(Some(proto.AdditionalGids))
            .set_username(Some(proto.Username));
        Ok(user)
    }
}

conversions! {
    /// The type is sent as its constant's name (`RLIMIT_NOFILE`).
    (oci::PosixRlimit) -> (grpc::POSIXRlimit) by reference;

    /// # Panics
    ///
    /// On an unknown type. [`TryFromProto`](crate::trans::TryFromProto) returns an error instead.
    <-;
}

impl IntoProto for &oci::PosixRlimit {
    type Proto = grpc::POSIXRlimit;

    fn into_proto<L: Losses>(self, _: &mut L) -> Self::Proto {
        grpc::POSIXRlimit {
            Type: self.typ().to_string(),
            Hard: self.hard(),
            Soft: self.soft(),
            ..Default::default()
        }
    }
}

impl FromProto<grpc::POSIXRlimit> for oci::PosixRlimit {
    fn from_proto(proto: grpc::POSIXRlimit, _: OutOfRange) -> Result<Self, ConvertError> {
        let typ: oci::PosixRlimitType = name(proto.Type, "Type", "PosixRlimitType")?;
        let rlimit = oci::PosixRlimitBuilder::default()
            .typ(typ)
            .hard(proto.Hard)
            .soft(proto.Soft)
            .build();
        built(rlimit, "PosixRlimit")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trans::check::{both, from_proto, refused, to_proto};
    use protobuf::MessageField;
    use serde_json::json;

    fn strings(strings: &[&str]) -> Vec<String> {
        strings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn process_with_every_field_set() {
        both::<oci::Process, _>(
            json!({
                "terminal": true,
                "consoleSize": {"height": 24, "width": 80},
                "user": {"uid": 1, "gid": 2, "additionalGids": [3, 4], "username": "u"},
                "args": ["a", ""],
                "env": ["A=1", "B="],
                "cwd": "/w",
                "capabilities": {
                    "bounding": ["CAP_KILL"], "effective": [], "inheritable": [],
                    "permitted": [], "ambient": ["CAP_MKNOD"]
                },
                "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 2, "soft": 1}],
                "noNewPrivileges": true,
                "apparmorProfile": "p",
                "oomScoreAdj": -5,
                "selinuxLabel": "l"
            }),
            grpc::Process {
                Terminal: true,
                ConsoleSize: MessageField::some(grpc::Box {
                    Height: 24,
                    Width: 80,
                    ..Default::default()
                }),
                User: MessageField::some(grpc::User {
                    UID: 1,
                    GID: 2,
                    AdditionalGids: vec![3, 4],
                    Username: "u".into(),
                    ..Default::default()
                }),
                Args: strings(&["a", ""]),
                Env: strings(&["A=1", "B="]),
                Cwd: "/w".into(),
                Capabilities: MessageField::some(grpc::LinuxCapabilities {
                    Bounding: strings(&["KILL"]),
                    Ambient: strings(&["MKNOD"]),
                    ..Default::default()
                }),
                Rlimits: vec![grpc::POSIXRlimit {
                    Type: "RLIMIT_NOFILE".into(),
                    Hard: 2,
                    Soft: 1,
                    ..Default::default()
                }],
                NoNewPrivileges: true,
                ApparmorProfile: "p".into(),
                OOMScoreAdj: -5,
                SelinuxLabel: "l".into(),
                ..Default::default()
            },
        );
    }

    #[test]
    fn process_with_nothing_set() {
        to_proto::<oci::Process, _>(
            json!({"user": {}, "cwd": ""}),
            grpc::Process {
                User: MessageField::some(grpc::User::new()),
                ..Default::default()
            },
        );
        // D5: no `sh`, no capabilities, no limits, no environment.
        from_proto::<oci::Process, _>(
            grpc::Process::new(),
            json!({
                "terminal": false,
                "user": {"uid": 0, "gid": 0, "additionalGids": [], "username": ""},
                "cwd": "",
                "noNewPrivileges": false,
            }),
        );
    }

    #[test]
    fn process_fields_without_wire_form_are_dropped() {
        to_proto::<oci::Process, _>(
            json!({
                "user": {"umask": 18}, "cwd": "",
                "commandLine": "x",
                "ioPriority": {"class": "IOPRIO_CLASS_RT", "priority": 1},
                "scheduler": {"policy": "SCHED_FIFO"},
                "execCPUAffinity": {"initial": "0"},
            }),
            grpc::Process {
                User: MessageField::some(grpc::User::new()),
                ..Default::default()
            },
        );
    }

    /// D9, and suspected (a): an explicit 0 cannot be told from "not set".
    #[test]
    fn oom_score_saturates_and_zero_is_none() {
        let score = |score| grpc::Process {
            OOMScoreAdj: score,
            ..Default::default()
        };
        let kept = |score| oci::Process::from(score).oom_score_adj();
        assert_eq!(kept(score(0)), None);
        assert_eq!(kept(score(-1000)), Some(-1000));
        assert_eq!(kept(score(i32::MAX.into())), Some(i32::MAX));
        for (sent, saturated) in [
            (1 << 32, i32::MAX),
            (i64::MAX, i32::MAX),
            (i64::from(i32::MIN) - 1, i32::MIN),
            (i64::MIN, i32::MIN),
        ] {
            assert_eq!(kept(score(sent)), Some(saturated));
            let error =
                <oci::Process as crate::trans::TryFromProto<_>>::try_from_proto(score(sent))
                    .unwrap_err();
            assert_eq!(error.path(), "OOMScoreAdj");
            assert_eq!(error.value(), sent.to_string());
            assert_eq!(error.expected(), "i32");
        }
        to_proto::<oci::Process, _>(
            json!({"user": {}, "cwd": "", "oomScoreAdj": 0}),
            grpc::Process {
                User: MessageField::some(grpc::User::new()),
                ..Default::default()
            },
        );
    }

    /// D9: 2³² columns must not become 0.
    #[test]
    fn console_size_saturates() {
        for (size, sent) in [
            (80, 80),
            (u64::from(u32::MAX), u32::MAX),
            (1 << 32, u32::MAX),
            (u64::MAX, u32::MAX),
        ] {
            to_proto::<oci::Box, _>(
                json!({"height": size, "width": size}),
                grpc::Box {
                    Height: sent,
                    Width: sent,
                    ..Default::default()
                },
            );
        }
        from_proto::<oci::Box, _>(
            grpc::Box {
                Height: u32::MAX,
                Width: 1,
                ..Default::default()
            },
            json!({"height": u32::MAX, "width": 1}),
        );
    }

    #[test]
    fn user_groups_and_name_are_always_some() {
        to_proto::<oci::User, _>(json!({"uid": 1, "gid": 2, "umask": 18}), {
            grpc::User {
                UID: 1,
                GID: 2,
                ..Default::default()
            }
        });
        from_proto::<oci::User, _>(
            grpc::User::new(),
            json!({"uid": 0, "gid": 0, "additionalGids": [], "username": ""}),
        );
    }

    #[test]
    fn rlimit_types_are_the_constants_names() {
        for typ in [
            "CPU",
            "FSIZE",
            "DATA",
            "STACK",
            "CORE",
            "RSS",
            "NPROC",
            "NOFILE",
            "MEMLOCK",
            "AS",
            "LOCKS",
            "SIGPENDING",
            "MSGQUEUE",
            "NICE",
            "RTPRIO",
            "RTTIME",
        ] {
            let typ = format!("RLIMIT_{typ}");
            both::<oci::PosixRlimit, _>(
                json!({"type": typ, "hard": u64::MAX, "soft": 0}),
                grpc::POSIXRlimit {
                    Type: typ,
                    Hard: u64::MAX,
                    ..Default::default()
                },
            );
        }
        for typ in ["", "NOFILE", "rlimit_nofile", "RLIMIT_NOFILES"] {
            let rlimit = grpc::POSIXRlimit {
                Type: typ.into(),
                ..Default::default()
            };
            refused::<oci::PosixRlimit, _>(rlimit.clone(), "Type", typ, "PosixRlimitType");
            let process = grpc::Process {
                Rlimits: vec![rlimit],
                ..Default::default()
            };
            refused::<oci::Process, _>(process, "Rlimits[0].Type", typ, "PosixRlimitType");
        }
    }

    #[test]
    fn errors_below_the_process_have_the_whole_path() {
        let process = grpc::Process {
            Capabilities: MessageField::some(grpc::LinuxCapabilities {
                Ambient: strings(&["KILL", "X"]),
                ..Default::default()
            }),
            ..Default::default()
        };
        refused::<oci::Process, _>(process, "Capabilities.Ambient[1]", "X", "Capability");
    }
}
