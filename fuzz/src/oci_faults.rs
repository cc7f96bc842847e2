//! What a wire message has that no specification can have.

use std::fmt::Display;
use std::str::FromStr;

use oci_spec::runtime as oci;
use protocols::oci as grpc;

/// Paths and values of all that cannot be converted.
pub type Faults = Vec<(String, String)>;

fn name<T: FromStr>(faults: &mut Faults, path: impl Display, value: &str) {
    if value.parse::<T>().is_err() {
        faults.push((path.to_string(), value.to_owned()));
    }
}

fn capability(faults: &mut Faults, path: String, value: &str) {
    let is_known = |name: &str| {
        let bare = name.strip_prefix("CAP_").unwrap_or(name);
        bare.parse::<oci::Capability>().is_ok()
    };
    let unquoted = serde_json::from_str::<String>(value);
    if !is_known(value) && !unquoted.is_ok_and(|name| is_known(&name)) {
        faults.push((path, value.to_owned()));
    }
}

fn weight(faults: &mut Faults, path: impl Display, value: u32) {
    if value > u32::from(u16::MAX) {
        faults.push((path.to_string(), value.to_string()));
    }
}

/// All faults of a specification.
pub fn faults(spec: &grpc::Spec) -> Faults {
    let mut faults = Faults::new();
    if let Some(process) = spec.Process.as_ref() {
        of_process(&mut faults, process);
    }
    if let Some(linux) = spec.Linux.as_ref() {
        of_linux(&mut faults, linux);
    }
    faults
}

fn of_process(faults: &mut Faults, process: &grpc::Process) {
    for (n, rlimit) in process.Rlimits.iter().enumerate() {
        let path = format!("Process.Rlimits[{n}].Type");
        name::<oci::PosixRlimitType>(faults, path, &rlimit.Type);
    }
    if i32::try_from(process.OOMScoreAdj).is_err() {
        let value = process.OOMScoreAdj.to_string();
        faults.push(("Process.OOMScoreAdj".to_owned(), value));
    }
    let Some(sets) = process.Capabilities.as_ref() else {
        return;
    };
    for (set, names) in [
        ("Bounding", &sets.Bounding),
        ("Effective", &sets.Effective),
        ("Inheritable", &sets.Inheritable),
        ("Permitted", &sets.Permitted),
        ("Ambient", &sets.Ambient),
    ] {
        for (n, value) in names.iter().enumerate() {
            capability(faults, format!("Process.Capabilities.{set}[{n}]"), value);
        }
    }
}

fn of_linux(faults: &mut Faults, linux: &grpc::Linux) {
    for (n, namespace) in linux.Namespaces.iter().enumerate() {
        if oci::LinuxNamespaceType::try_from(&*namespace.Type).is_err() {
            faults.push((
                format!("Linux.Namespaces[{n}].Type"),
                namespace.Type.clone(),
            ));
        }
    }
    for (n, device) in linux.Devices.iter().enumerate() {
        let path = format!("Linux.Devices[{n}].Type");
        name::<oci::LinuxDeviceType>(faults, path, &device.Type);
    }
    if let Some(resources) = linux.Resources.as_ref() {
        for (n, rule) in resources.Devices.iter().enumerate() {
            if !rule.Type.is_empty() {
                let path = format!("Linux.Resources.Devices[{n}].Type");
                name::<oci::LinuxDeviceType>(faults, path, &rule.Type);
            }
        }
        if let Some(block_io) = resources.BlockIO.as_ref() {
            let path = "Linux.Resources.BlockIO";
            weight(faults, format!("{path}.Weight"), block_io.Weight);
            weight(faults, format!("{path}.LeafWeight"), block_io.LeafWeight);
            for (n, device) in block_io.WeightDevice.iter().enumerate() {
                let path = format!("{path}.WeightDevice[{n}]");
                weight(faults, format!("{path}.Weight"), device.Weight);
                weight(faults, format!("{path}.LeafWeight"), device.LeafWeight);
            }
        }
    }
    if let Some(seccomp) = linux.Seccomp.as_ref() {
        of_seccomp(faults, seccomp);
    }
}

fn of_seccomp(faults: &mut Faults, seccomp: &grpc::LinuxSeccomp) {
    let path = "Linux.Seccomp";
    let action = name::<oci::LinuxSeccompAction>;
    action(
        faults,
        format!("{path}.DefaultAction"),
        &seccomp.DefaultAction,
    );
    for (n, value) in seccomp.Architectures.iter().enumerate() {
        name::<oci::Arch>(faults, format!("{path}.Architectures[{n}]"), value);
    }
    for (n, value) in seccomp.Flags.iter().enumerate() {
        let path = format!("{path}.Flags[{n}]");
        name::<oci::LinuxSeccompFilterFlag>(faults, path, value);
    }
    for (n, syscall) in seccomp.Syscalls.iter().enumerate() {
        let path = format!("{path}.Syscalls[{n}]");
        action(faults, format!("{path}.Action"), &syscall.Action);
        for (n, arg) in syscall.Args.iter().enumerate() {
            let path = format!("{path}.Args[{n}].Op");
            name::<oci::LinuxSeccompOperator>(faults, path, &arg.Op);
        }
    }
}
