//! The baseline: conversions that take a value, copy each part out of it, and hand the copy to the
//! part's conversion, which does the same with its parts.
//!
//! Only where the bulk of a specification is: process, mounts, annotations, seccomp, device rules.
//! The rest goes through the conversions that are measured, which favours the baseline.

use oci_spec::runtime as oci;
use protobuf::MessageField;
use protocols::oci as grpc;

fn each<A: Clone, B>(list: &[A], convert: fn(A) -> B) -> Vec<B> {
    let copy = list.to_vec();
    copy.into_iter().map(convert).collect()
}

fn each_of<A: Clone, B>(list: &Option<Vec<A>>, convert: fn(A) -> B) -> Vec<B> {
    list.as_deref()
        .map(|list| each(list, convert))
        .unwrap_or_default()
}

pub(crate) fn to_proto(spec: oci::Spec) -> grpc::Spec {
    grpc::Spec {
        Version: spec.version().clone(),
        Process: MessageField::from_option(spec.process().clone().map(process_to_proto)),
        Root: MessageField::from_option(spec.root().clone().map(Into::into)),
        Hostname: spec.hostname().clone().unwrap_or_default(),
        Mounts: each_of(spec.mounts(), mount_to_proto),
        Hooks: MessageField::from_option(spec.hooks().clone().map(Into::into)),
        Annotations: spec.annotations().clone().unwrap_or_default(),
        Linux: MessageField::from_option(spec.linux().clone().map(linux_to_proto)),
        ..Default::default()
    }
}

fn process_to_proto(process: oci::Process) -> grpc::Process {
    grpc::Process {
        User: MessageField::some(process.user().clone().into()),
        Args: process.args().clone().unwrap_or_default(),
        Env: process.env().clone().unwrap_or_default(),
        Cwd: process.cwd().display().to_string(),
        Capabilities: MessageField::from_option(process.capabilities().clone().map(Into::into)),
        Rlimits: each_of(process.rlimits(), Into::into),
        NoNewPrivileges: process.no_new_privileges().unwrap_or_default(),
        OOMScoreAdj: process.oom_score_adj().unwrap_or_default().into(),
        ..Default::default()
    }
}

fn mount_to_proto(mount: oci::Mount) -> grpc::Mount {
    let source = mount
        .source()
        .clone()
        .map(|path| path.display().to_string());
    grpc::Mount {
        destination: mount.destination().display().to_string(),
        source: source.unwrap_or_default(),
        type_: mount.typ().clone().unwrap_or_default(),
        options: mount.options().clone().unwrap_or_default(),
        ..Default::default()
    }
}

fn linux_to_proto(linux: oci::Linux) -> grpc::Linux {
    let cgroups_path = linux
        .cgroups_path()
        .clone()
        .map(|path| path.display().to_string());
    grpc::Linux {
        Sysctl: linux.sysctl().clone().unwrap_or_default(),
        Resources: MessageField::from_option(linux.resources().clone().map(resources_to_proto)),
        CgroupsPath: cgroups_path.unwrap_or_default(),
        Namespaces: each_of(linux.namespaces(), Into::into),
        Devices: each_of(linux.devices(), Into::into),
        Seccomp: MessageField::from_option(linux.seccomp().clone().map(seccomp_to_proto)),
        MaskedPaths: linux.masked_paths().clone().unwrap_or_default(),
        ReadonlyPaths: linux.readonly_paths().clone().unwrap_or_default(),
        ..Default::default()
    }
}

fn resources_to_proto(resources: oci::LinuxResources) -> grpc::LinuxResources {
    grpc::LinuxResources {
        Devices: each_of(resources.devices(), Into::into),
        Memory: MessageField::from_option((*resources.memory()).map(Into::into)),
        CPU: MessageField::from_option(resources.cpu().clone().map(Into::into)),
        Pids: MessageField::from_option((*resources.pids()).map(Into::into)),
        HugepageLimits: each_of(resources.hugepage_limits(), Into::into),
        ..Default::default()
    }
}

fn seccomp_to_proto(seccomp: oci::LinuxSeccomp) -> grpc::LinuxSeccomp {
    grpc::LinuxSeccomp {
        DefaultAction: seccomp.default_action().to_string(),
        Architectures: each_of(seccomp.architectures(), |arch| arch.to_string()),
        Flags: each_of(seccomp.flags(), |flag| flag.to_string()),
        Syscalls: each_of(seccomp.syscalls(), syscall_to_proto),
        ..Default::default()
    }
}

fn syscall_to_proto(syscall: oci::LinuxSyscall) -> grpc::LinuxSyscall {
    grpc::LinuxSyscall {
        Names: syscall.names().clone(),
        Action: syscall.action().to_string(),
        Args: each_of(syscall.args(), Into::into),
        ErrnoRet: syscall
            .errno_ret()
            .map(grpc::linux_syscall::ErrnoRet::Errnoret),
        ..Default::default()
    }
}

pub(crate) fn from_proto(proto: grpc::Spec) -> oci::Spec {
    let mut spec = oci::Spec::default();
    spec.set_version(proto.Version.clone())
        .set_process(proto.Process.clone().into_option().map(process_from_proto))
        .set_root(proto.Root.clone().into_option().map(Into::into))
        .set_hostname(Some(proto.Hostname.clone()))
        .set_mounts(Some(each(&proto.Mounts, mount_from_proto)))
        .set_hooks(proto.Hooks.clone().into_option().map(Into::into))
        .set_annotations(Some(proto.Annotations.clone()))
        .set_linux(proto.Linux.clone().into_option().map(linux_from_proto));
    spec
}

fn process_from_proto(proto: grpc::Process) -> oci::Process {
    let mut process = oci::Process::default();
    process
        .set_terminal(Some(proto.Terminal))
        .set_user(proto.User.clone().unwrap_or_default().into())
        .set_args(Some(proto.Args.clone()))
        .set_env(Some(proto.Env.clone()))
        .set_cwd(proto.Cwd.clone().into())
        .set_capabilities(proto.Capabilities.clone().into_option().map(Into::into))
        .set_rlimits(Some(each(&proto.Rlimits, Into::into)))
        .set_no_new_privileges(Some(proto.NoNewPrivileges))
        .set_oom_score_adj(i32::try_from(proto.OOMScoreAdj).ok());
    process
}

fn mount_from_proto(proto: grpc::Mount) -> oci::Mount {
    let mut mount = oci::Mount::default();
    mount
        .set_destination(proto.destination.clone().into())
        .set_source(Some(proto.source.clone().into()))
        .set_typ(Some(proto.type_.clone()))
        .set_options(Some(proto.options.clone()));
    mount
}

fn linux_from_proto(proto: grpc::Linux) -> oci::Linux {
    let mut linux = oci::Linux::default();
    linux
        .set_sysctl(Some(proto.Sysctl.clone()))
        .set_resources(
            proto
                .Resources
                .clone()
                .into_option()
                .map(resources_from_proto),
        )
        .set_cgroups_path(Some(proto.CgroupsPath.clone().into()))
        .set_namespaces(Some(each(&proto.Namespaces, Into::into)))
        .set_devices(Some(each(&proto.Devices, Into::into)))
        .set_seccomp(proto.Seccomp.clone().into_option().map(seccomp_from_proto))
        .set_masked_paths(Some(proto.MaskedPaths.clone()))
        .set_readonly_paths(Some(proto.ReadonlyPaths.clone()));
    linux
}

fn resources_from_proto(proto: grpc::LinuxResources) -> oci::LinuxResources {
    let mut resources = oci::LinuxResources::default();
    resources
        .set_devices(Some(each(&proto.Devices, Into::into)))
        .set_memory(proto.Memory.clone().into_option().map(Into::into))
        .set_cpu(proto.CPU.clone().into_option().map(Into::into))
        .set_pids(proto.Pids.clone().into_option().map(Into::into))
        .set_hugepage_limits(Some(each(&proto.HugepageLimits, Into::into)));
    resources
}

fn seccomp_from_proto(proto: grpc::LinuxSeccomp) -> oci::LinuxSeccomp {
    let mut seccomp = oci::LinuxSeccomp::default();
    seccomp
        .set_default_action(proto.DefaultAction.parse().expect("an action"))
        .set_architectures(Some(each(&proto.Architectures, |arch| {
            arch.parse().expect("known")
        })))
        .set_flags(Some(each(&proto.Flags, |flag| {
            flag.parse().expect("known")
        })))
        .set_syscalls(Some(each(&proto.Syscalls, syscall_from_proto)));
    seccomp
}

fn syscall_from_proto(proto: grpc::LinuxSyscall) -> oci::LinuxSyscall {
    let mut syscall = oci::LinuxSyscall::default();
    syscall
        .set_names(proto.Names.clone())
        .set_action(proto.Action.parse().expect("an action"))
        .set_args(Some(each(&proto.Args, Into::into)))
        .set_errno_ret(proto.has_errnoret().then(|| proto.errnoret()));
    syscall
}
