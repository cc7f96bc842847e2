//! The summary for people.

use std::fmt::{self, Display, Write};
use std::path::Path;

use super::Summary;
use crate::bundle::namespace_name;
use crate::guest::Status;

/// Lines of a name and a text.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn heading(&mut self, text: &str) {
        self.0.push_str(text);
        self.0.push('\n');
    }

    fn line(&mut self, name: &str, text: impl Display) {
        // The input may be hostile: it must not reach the terminal as control sequences.
        let mut clean = String::new();
        for c in text.to_string().chars() {
            match c.is_control() {
                true => clean.extend(c.escape_default()),
                false => clean.push(c),
            }
        }
        // A `String` takes everything.
        let _: fmt::Result = writeln!(self.0, "  {name:<12} {clean}");
    }
}

impl Summary {
    /// The summary as text.
    pub(crate) fn to_text(&self) -> String {
        let mut lines = Lines::default();
        lines.heading(&format!(
            "The agent received CreateContainer for {:?} in sandbox {:?}: {} bytes of config.json \
             became {} bytes.",
            self.identity.container,
            self.identity.sandbox,
            self.bundle.config_bytes,
            self.created.wire_bytes
        ));
        self.write_configuration(&mut lines);
        self.write_container(&mut lines);
        self.write_mounts(&mut lines);
        self.write_linux(&mut lines);
        self.write_devices(&mut lines);
        self.write_hooks(&mut lines);
        self.write_guest(&mut lines);
        self.write_stages(&mut lines);
        lines.0
    }

    fn write_configuration(&self, lines: &mut Lines) {
        lines.heading("\nConfiguration");
        let Self { configuration, .. } = self;
        for file in &configuration.files {
            lines.line("file", file.display());
        }
        let name = &configuration.config.runtime.hypervisor_name;
        if let Some(hypervisor) = configuration.hypervisor() {
            let vcpus = hypervisor.cpu_info.default_vcpus;
            let memory = hypervisor.memory_info.default_memory;
            lines.line(
                "hypervisor",
                format_args!("{name}, {vcpus} vCPUs, {memory} MiB"),
            );
        }
        for (key, origin) in &configuration.changed {
            lines.line("changed", format_args!("{key} ({origin})"));
        }
        for warning in self.warnings() {
            lines.line("warning", warning);
        }
    }

    fn write_container(&self, lines: &mut Lines) {
        lines.heading("\nContainer");
        let spec = &self.created.spec;
        lines.line("oci version", spec.version());
        lines.line("rootfs", self.paths.rootfs.display());
        if let Some(process) = spec.process() {
            let args = process.args().as_deref().unwrap_or_default();
            lines.line("args", format_args!("{args:?}"));
            lines.line("cwd", process.cwd().display());
            let user = process.user();
            lines.line(
                "user",
                format_args!("uid {} gid {}", user.uid(), user.gid()),
            );
        }
    }

    fn write_mounts(&self, lines: &mut Lines) {
        for mount in &self.paths.mounts {
            let target = mount.target.strip_prefix(&self.paths.rootfs);
            let target = target.unwrap_or(&mount.target).display();
            let destination = mount.destination.display();
            match &mount.source {
                Some(source) => lines.line(
                    "bind mount",
                    format_args!(
                        "{destination} (rootfs/{target}) from {}",
                        source.target().display()
                    ),
                ),
                None => lines.line("mount", format_args!("{destination} (rootfs/{target})")),
            }
        }
        for storage in &self.created.request.storages {
            lines.line(
                "storage",
                format_args!(
                    "{} ({}), made by the agent",
                    storage.mount_point, storage.driver
                ),
            );
        }
    }

    fn write_linux(&self, lines: &mut Lines) {
        let Some(linux) = self.created.spec.linux() else {
            return;
        };
        let namespaces = linux.namespaces().iter().flatten().map(namespace_name);
        lines.line("namespaces", namespaces.collect::<Vec<_>>().join(" "));
        for device in linux.devices().iter().flatten() {
            let path = device.path().display();
            lines.line(
                "device",
                format_args!("{path} {}:{}", device.major(), device.minor()),
            );
        }
        if let Some(seccomp) = linux.seccomp() {
            let rules = seccomp.syscalls().iter().flatten();
            let names: usize = rules.map(|rule| rule.names().len()).sum();
            lines.line("seccomp", format_args!("{names} system calls named"));
        }
        for loss in &self.dropped {
            lines.line("not sent", format_args!("{} = {}", loss.path, loss.value));
        }
    }

    fn write_devices(&self, lines: &mut Lines) {
        lines.heading("\nDevices passed through");
        if self.passed.is_empty() {
            lines.line("vfio", "none");
        }
        for (passed, device) in self.passed.iter().zip(&self.created.request.devices) {
            let node = passed.node.display();
            for function in &passed.functions {
                lines.line(
                    "vfio",
                    format_args!(
                        "{node} is {} {:04x}:{:04x} {}, as {}",
                        function.address,
                        function.vendor,
                        function.device,
                        function.device_name,
                        device.type_
                    ),
                );
            }
        }
        let exposed = &self.created.infiniband;
        if !self.passed.is_empty() && exposed.is_empty() {
            lines.line("infiniband", "none");
        }
        for device in exposed {
            let path = device.path.display();
            let (major, minor, mode) = (device.major, device.minor, device.mode);
            lines.line(
                "infiniband",
                format_args!("{path} {major}:{minor} mode {mode:04o}"),
            );
        }
    }

    fn write_hooks(&self, lines: &mut Lines) {
        lines.heading("\nHooks");
        for (side, hook) in self.hooks() {
            let path = hook.path.display();
            match &hook.result {
                Ok(()) => lines.line(side, format_args!("{} {path}: done", hook.field)),
                Err(error) => lines.line(side, format_args!("{} failed: {error}", hook.field)),
            }
        }
        lines.line("state", self.state.to_json());
    }

    fn write_guest(&self, lines: &mut Lines) {
        lines.heading("\nGuest");
        lines.line("kernel", &self.command_line);
        lines.line("agent", &self.address);
        lines.line("bundle", self.created.bundle.display());
        let points = self.created.mount_points.iter();
        let points = points.map(|point| Path::new("/").join(point).display().to_string());
        lines.line("mount points", points.collect::<Vec<_>>().join(" "));
        let memory = &self.memory;
        match &memory.status {
            Status::Off => lines.line("memory", "not managed"),
            Status::Missing(reason) => lines.line("memory", format_args!("not managed: {reason}")),
            Status::Running(cgroups) => lines.line(
                "memory",
                format_args!(
                    "{cgroups} cgroups reclaimed every {} s, compacted every {} s",
                    memory.reclaim.default.period_secs, memory.compact.period_secs
                ),
            ),
        }
        for record in &self.agent_log {
            let message = record.message.trim_end();
            lines.line("log", format_args!("{} {message}", record.level));
        }
    }

    fn write_stages(&self, lines: &mut Lines) {
        lines.heading("\nStages");
        for stage in self.stages.iter() {
            let ms = stage.time.as_secs_f64() * 1e3;
            lines.line(
                "time",
                format_args!("{ms:9.3} ms  {} ({})", stage.name, stage.crates),
            );
        }
        let ms = self.stages.total().as_secs_f64() * 1e3;
        lines.line("time", format_args!("{ms:9.3} ms  in all"));
    }
}
