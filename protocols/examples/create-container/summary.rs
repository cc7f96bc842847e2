//! What a reader wants to know of the container that arrived.

use std::fmt::Display;
use std::io::{self, Write};
use std::time::Duration;

use protocols::trans::Lossy;
use runtime_spec::{ContainerState, State};

use crate::agent::Arrived;
use crate::bundle::{Bundle, namespace_name};
use crate::resolve::ResolvedPaths;

/// A step on the way and how long it took.
#[derive(Debug)]
pub(crate) struct Stage {
    /// What was done.
    pub(crate) name: &'static str,
    /// How long it took.
    pub(crate) time: Duration,
}

/// Everything that the summary speaks of.
#[derive(Debug)]
pub(crate) struct Summary<'a> {
    /// The bundle as read.
    pub(crate) bundle: &'a Bundle,
    /// Its resolved paths.
    pub(crate) paths: &'a ResolvedPaths,
    /// Configured values for which the request has no field.
    pub(crate) dropped: &'a [Lossy],
    /// What the agent saw.
    pub(crate) arrived: &'a Arrived,
    /// The steps and their times.
    pub(crate) stages: &'a [Stage],
}

impl Summary<'_> {
    /// Writes the summary as text.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        self.write_container(out)?;
        self.write_mounts(out)?;
        self.write_linux(out)?;
        for loss in self.dropped {
            line(
                out,
                "not sent",
                format_args!("{} = {}", loss.path, loss.value),
            )?;
        }
        self.write_state(out)?;
        writeln!(out)?;
        for stage in self.stages {
            line(
                out,
                "time",
                format_args!("{:9.3} ms  {}", stage.time.as_secs_f64() * 1e3, stage.name),
            )?;
        }
        let total: Duration = self.stages.iter().map(|stage| stage.time).sum();
        line(
            out,
            "time",
            format_args!("{:9.3} ms  in all", total.as_secs_f64() * 1e3),
        )
    }

    fn write_container(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(
            out,
            "The agent received CreateContainer for {:?}: {} bytes of config.json became {} bytes.\n",
            self.arrived.request.container_id, self.bundle.config_bytes, self.arrived.wire_bytes
        )?;
        let spec = &self.arrived.spec;
        line(out, "oci version", spec.version())?;
        line(out, "rootfs", self.paths.rootfs.display())?;
        if let Some(process) = spec.process() {
            let args = process.args().as_deref().unwrap_or_default();
            line(out, "args", format_args!("{args:?}"))?;
            line(out, "cwd", process.cwd().display())?;
            let user = process.user();
            line(
                out,
                "user",
                format_args!("uid {} gid {}", user.uid(), user.gid()),
            )?;
        }
        Ok(())
    }

    fn write_mounts(&self, out: &mut impl Write) -> io::Result<()> {
        for mount in &self.paths.mounts {
            let target = mount
                .target
                .strip_prefix(&self.paths.rootfs)
                .unwrap_or(&mount.target);
            let destination = mount.destination.display();
            match &mount.source {
                Some(source) => line(
                    out,
                    "bind mount",
                    format_args!(
                        "{destination} (rootfs/{}) from {}",
                        target.display(),
                        source.target().display()
                    ),
                )?,
                None => line(
                    out,
                    "mount",
                    format_args!("{destination} (rootfs/{})", target.display()),
                )?,
            }
        }
        Ok(())
    }

    fn write_linux(&self, out: &mut impl Write) -> io::Result<()> {
        let Some(linux) = self.arrived.spec.linux() else {
            return Ok(());
        };
        let namespaces: Vec<String> = linux
            .namespaces()
            .iter()
            .flatten()
            .map(namespace_name)
            .collect();
        line(out, "namespaces", namespaces.join(" "))?;
        for device in linux.devices().iter().flatten() {
            line(
                out,
                "device",
                format_args!(
                    "{} {}:{}",
                    device.path().display(),
                    device.major(),
                    device.minor()
                ),
            )?;
        }
        if let Some(seccomp) = linux.seccomp() {
            let names: usize = seccomp
                .syscalls()
                .iter()
                .flatten()
                .map(|rule| rule.names().len())
                .sum();
            line(out, "seccomp", format_args!("{names} system calls named"))?;
        }
        Ok(())
    }

    /// The OCI state document that hooks of this container would read.
    fn write_state(&self, out: &mut impl Write) -> io::Result<()> {
        let state = State {
            version: self.arrived.spec.version().clone(),
            id: self.arrived.request.container_id.clone(),
            status: ContainerState::Creating,
            pid: 0,
            bundle: self.bundle.root.path().display().to_string(),
            annotations: self.arrived.spec.annotations().clone().unwrap_or_default(),
        };
        line(out, "state", state.to_json())
    }
}

fn line(out: &mut impl Write, name: &str, value: impl Display) -> io::Result<()> {
    // The bundle may be hostile: its text must not reach the terminal as control sequences.
    let mut text = String::new();
    for c in value.to_string().chars() {
        if c.is_control() {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    writeln!(out, "  {name:<12} {text}")
}
