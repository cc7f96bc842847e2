//! The documented examples in `examples/config/`, written from the table of keys.
//!
//! What is set in them is here; everything else shows its default, commented out. After a change,
//! `UPDATE_EXAMPLES=1 cargo test -p kata-types --lib examples` writes the files anew.

use std::fmt::Write;
use std::path::PathBuf;

use super::*;
use crate::config::json_schema;

/// One configuration file.
struct Example {
    /// Name of the file, without `configuration-` and `.toml`.
    name: &'static str,
    hypervisor: &'static str,
    /// What it is for.
    about: &'static str,
    /// Keys of `[hypervisor.<name>]` that are set.
    hypervisor_keys: &'static [(&'static str, &'static str)],
    /// Keys of `[agent.kata]` that are set.
    agent_keys: &'static [(&'static str, &'static str)],
    /// Keys of `[runtime]` that are set, beside the names.
    runtime_keys: &'static [(&'static str, &'static str)],
}

const KERNEL: (&str, &str) = (
    "kernel",
    "\"/opt/kata/share/kata-containers/vmlinux.container\"",
);
const IMAGE: (&str, &str) = (
    "image",
    "\"/opt/kata/share/kata-containers/kata-containers.img\"",
);
const CC_KERNEL: (&str, &str) = (
    "kernel",
    "\"/opt/kata/share/kata-containers/vmlinuz-confidential.container\"",
);
const CC_IMAGE: (&str, &str) = (
    "image",
    "\"/opt/kata/share/kata-containers/kata-containers-confidential.img\"",
);
const QEMU: (&str, &str) = ("path", "\"/opt/kata/bin/qemu-system-x86_64\"");
const QEMU_PATHS: (&str, &str) = (
    "valid_hypervisor_paths",
    "[\"/opt/kata/bin/qemu-system-x86_64\"]",
);
const MEMORY: (&str, &str) = ("default_memory", "2048");
const ENTROPY: (&str, &str) = (
    "valid_entropy_sources",
    "[\"/dev/urandom\", \"/dev/random\"]",
);
const ANNOTATIONS: (&str, &str) = (
    "enable_annotations",
    "[\"enable_iommu\", \"virtio_fs_extra_args\", \"kernel_params\", \"default_vcpus\", \"default_memory\"]",
);
const CC_ANNOTATIONS: (&str, &str) = (
    "enable_annotations",
    "[\"kernel_params\", \"kernel_verity_params\", \"default_vcpus\", \"default_memory\", \"cc_init_data\"]",
);
const VIRTIO_FS: (&str, &str) = ("shared_fs", "\"virtio-fs\"");
const NO_SHARED_FS: (&str, &str) = ("shared_fs", "\"none\"");
const VIRTIOFSD: (&str, &str) = ("virtio_fs_daemon", "\"/opt/kata/libexec/virtiofsd\"");
const VIRTIOFSDS: (&str, &str) = (
    "valid_virtio_fs_daemon_paths",
    "[\"/opt/kata/libexec/virtiofsd\"]",
);
const VIRTIOFSD_ARGS: (&str, &str) = (
    "virtio_fs_extra_args",
    "[\"--thread-pool-size=1\", \"--announce-submounts\"]",
);
const CACHE: (&str, &str) = ("virtio_fs_cache", "\"auto\"");
const CONFIDENTIAL: (&str, &str) = ("confidential_guest", "true");
const NO_SECCOMP: (&str, &str) = ("disable_guest_seccomp", "true");
const STATIC: (&str, &str) = ("static_sandbox_resource_mgmt", "true");
const LONG_CREATE: (&str, &str) = ("create_container_timeout", "60");
const DIAL: (&str, &str) = ("dial_timeout_ms", "100");
const RECONNECT: (&str, &str) = ("reconnect_timeout_ms", "45000");

const EXAMPLES: &[Example] = &[
    Example {
        name: "qemu",
        hypervisor: "qemu",
        about: "QEMU on x86_64, with host directories shared through virtio-fs.",
        hypervisor_keys: &[
            QEMU,
            QEMU_PATHS,
            KERNEL,
            IMAGE,
            MEMORY,
            ENTROPY,
            VIRTIO_FS,
            VIRTIOFSD,
            VIRTIOFSDS,
            VIRTIOFSD_ARGS,
            CACHE,
            ANNOTATIONS,
        ],
        agent_keys: &[DIAL, RECONNECT],
        runtime_keys: &[NO_SECCOMP],
    },
    Example {
        name: "qemu-snp",
        hypervisor: "qemu",
        about: "Confidential guests of QEMU on AMD processors with SEV-SNP. Nothing of the host is \
            shared; images are pulled inside the guest.",
        hypervisor_keys: &[
            QEMU,
            QEMU_PATHS,
            CC_KERNEL,
            CC_IMAGE,
            (
                "kernel_params",
                "\"cgroup_no_v1=all systemd.unified_cgroup_hierarchy=1\"",
            ),
            ("firmware", "\"/opt/kata/share/ovmf/AMDSEV.fd\""),
            ("cpu_features", "\"pmu=off\""),
            MEMORY,
            ENTROPY,
            NO_SHARED_FS,
            CONFIDENTIAL,
            ("sev_snp_guest", "true"),
            CC_ANNOTATIONS,
        ],
        agent_keys: &[DIAL, RECONNECT, LONG_CREATE],
        runtime_keys: &[STATIC, ("emptydir_mode", "\"block-encrypted\"")],
    },
    Example {
        name: "qemu-tdx",
        hypervisor: "qemu",
        about: "Confidential guests of QEMU on Intel processors with TDX. Nothing of the host is \
            shared; images are pulled inside the guest.",
        hypervisor_keys: &[
            QEMU,
            QEMU_PATHS,
            CC_KERNEL,
            CC_IMAGE,
            (
                "kernel_params",
                "\"cgroup_no_v1=all systemd.unified_cgroup_hierarchy=1\"",
            ),
            ("firmware", "\"/opt/kata/share/ovmf/OVMF.inteltdx.fd\""),
            ("cpu_features", "\"pmu=off\""),
            MEMORY,
            ENTROPY,
            NO_SHARED_FS,
            CONFIDENTIAL,
            CC_ANNOTATIONS,
        ],
        agent_keys: &[DIAL, RECONNECT, LONG_CREATE],
        runtime_keys: &[STATIC, ("emptydir_mode", "\"block-encrypted\"")],
    },
    Example {
        name: "qemu-se",
        hypervisor: "qemu",
        about: "Confidential guests of QEMU on IBM Z with Secure Execution. Kernel, parameters and \
            root file system are one encrypted image.",
        hypervisor_keys: &[
            ("path", "\"/opt/kata/bin/qemu-system-s390x\""),
            (
                "valid_hypervisor_paths",
                "[\"/opt/kata/bin/qemu-system-s390x\"]",
            ),
            (
                "kernel",
                "\"/opt/kata/share/kata-containers/kata-containers-se.img\"",
            ),
            ("vm_rootfs_driver", "\"virtio-blk-ccw\""),
            ("machine_type", "\"s390-ccw-virtio\""),
            MEMORY,
            ENTROPY,
            ("block_device_driver", "\"virtio-blk-ccw\""),
            NO_SHARED_FS,
            CONFIDENTIAL,
            CC_ANNOTATIONS,
        ],
        agent_keys: &[DIAL, RECONNECT, LONG_CREATE],
        runtime_keys: &[STATIC, ("emptydir_mode", "\"block-encrypted\"")],
    },
    Example {
        name: "qemu-nvidia-gpu",
        hypervisor: "qemu",
        about: "QEMU on x86_64 with NVIDIA GPUs, which are attached before the guest starts.",
        hypervisor_keys: &[
            QEMU,
            QEMU_PATHS,
            (
                "kernel",
                "\"/opt/kata/share/kata-containers/vmlinuz-nvidia-gpu.container\"",
            ),
            (
                "image",
                "\"/opt/kata/share/kata-containers/kata-containers-nvidia-gpu.img\"",
            ),
            (
                "kernel_params",
                "\"cgroup_no_v1=all pci=realloc pci=nocrs\"",
            ),
            ("firmware", "\"/opt/kata/share/ovmf/OVMF.fd\""),
            ("default_memory", "8192"),
            ENTROPY,
            VIRTIO_FS,
            VIRTIOFSD,
            VIRTIOFSDS,
            VIRTIOFSD_ARGS,
            CACHE,
            ("cold_plug_vfio", "\"root-port\""),
            ("pcie_root_port", "8"),
            ANNOTATIONS,
        ],
        agent_keys: &[
            ("dial_timeout_ms", "1000"),
            ("reconnect_timeout_ms", "1200000"),
            ("create_container_timeout", "1200"),
        ],
        runtime_keys: &[
            NO_SECCOMP,
            STATIC,
            ("vfio_mode", "\"guest-kernel\""),
            (
                "pod_resource_api_sock",
                "\"/var/lib/kubelet/pod-resources/kubelet.sock\"",
            ),
        ],
    },
    Example {
        name: "clh",
        hypervisor: "clh",
        about: "Cloud Hypervisor, with host directories shared through virtio-fs.",
        hypervisor_keys: &[
            ("path", "\"/opt/kata/bin/cloud-hypervisor\""),
            (
                "valid_hypervisor_paths",
                "[\"/opt/kata/bin/cloud-hypervisor\"]",
            ),
            KERNEL,
            IMAGE,
            MEMORY,
            ENTROPY,
            VIRTIO_FS,
            VIRTIOFSD,
            VIRTIOFSDS,
            VIRTIOFSD_ARGS,
            CACHE,
            ANNOTATIONS,
        ],
        agent_keys: &[DIAL, RECONNECT],
        runtime_keys: &[NO_SECCOMP],
    },
    Example {
        name: "fc",
        hypervisor: "firecracker",
        about: "Firecracker: disks only, no shared directories, nothing added later.",
        hypervisor_keys: &[
            ("path", "\"/opt/kata/bin/firecracker\""),
            ("valid_hypervisor_paths", "[\"/opt/kata/bin/firecracker\"]"),
            ("jailer_path", "\"/opt/kata/bin/jailer\""),
            ("valid_jailer_paths", "[\"/opt/kata/bin/jailer\"]"),
            KERNEL,
            IMAGE,
            ("rootfs_type", "\"ext4\""),
            ("vm_rootfs_driver", "\"virtio-blk-mmio\""),
            MEMORY,
            ENTROPY,
            ("block_device_driver", "\"virtio-blk-mmio\""),
            ANNOTATIONS,
        ],
        agent_keys: &[DIAL, RECONNECT],
        runtime_keys: &[NO_SECCOMP, STATIC],
    },
    Example {
        name: "dragonball",
        hypervisor: "dragonball",
        about: "Dragonball, the virtual machine monitor inside the runtime, with its own virtio-fs.",
        hypervisor_keys: &[
            KERNEL,
            IMAGE,
            ("rootfs_type", "\"ext4\""),
            MEMORY,
            ENTROPY,
            ("block_device_driver", "\"virtio-blk-mmio\""),
            ("shared_fs", "\"inline-virtio-fs\""),
            CACHE,
            ANNOTATIONS,
        ],
        agent_keys: &[DIAL, RECONNECT],
        runtime_keys: &[NO_SECCOMP],
    },
    Example {
        name: "remote",
        hypervisor: "remote",
        about: "Virtual machines that another service creates, in a cloud for example.",
        hypervisor_keys: &[
            ("hypervisor_socket", "\"/run/peerpod/hypervisor.sock\""),
            (
                "enable_annotations",
                "[\"machine_type\", \"default_memory\", \"default_vcpus\", \"default_gpus\", \"default_gpu_model\"]",
            ),
        ],
        agent_keys: &[DIAL, RECONNECT, LONG_CREATE],
        runtime_keys: &[NO_SECCOMP],
    },
];

impl Example {
    fn file(&self) -> PathBuf {
        directory().join(format!("configuration-{}.toml", self.name))
    }

    fn render(&self) -> String {
        let hypervisor = format!("hypervisor.{}", self.hypervisor);
        let mut text = String::new();
        paragraph(&mut text, self.about);
        text.push_str("#\n");
        paragraph(
            &mut text,
            "Every key of the runtime is here. A key behind `#` without a space shows its default: \
             it makes no difference whether the `#` is there. Keys that are indented have no value \
             unless they are set. Changes are best made in files of the directory config.d beside \
             this one: they may hold any part of it, and the last one wins.",
        );

        self.table(
            &mut text,
            Section::Hypervisor,
            &hypervisor,
            self.hypervisor_keys,
        );
        self.table(
            &mut text,
            Section::Factory,
            &format!("{hypervisor}.factory"),
            &[],
        );
        absent(
            &mut text,
            Section::RootlessUser,
            &format!("[{hypervisor}.rootless_user]"),
        );
        self.table(&mut text, Section::Agent, "agent.kata", self.agent_keys);
        self.table(&mut text, Section::MemAgent, "agent.kata.mem_agent", &[]);
        let name = format!("\"{}\"", self.hypervisor);
        let mut runtime: Vec<(&str, &str)> = vec![
            ("name", "\"virt_container\""),
            ("hypervisor_name", &name),
            ("agent_name", "\"kata\""),
        ];
        runtime.extend(self.runtime_keys);
        self.table(&mut text, Section::Runtime, "runtime", &runtime);
        absent(&mut text, Section::SharedMount, "[[runtime.shared_mounts]]");
        text
    }

    /// Writes a table: keys that are set, and the others with their defaults.
    fn table(&self, text: &mut String, section: Section, header: &str, set: &[(&str, &str)]) {
        let _ = write!(text, "\n[{header}]\n");
        for group in section.groups() {
            let _ = write!(text, "\n### {}\n", group.title);
            for spec in group.keys {
                if matches!(spec.kind, Kind::Table(_) | Kind::Tables(_)) {
                    continue; // below
                }
                let default = self.default(spec);
                text.push('\n');
                paragraph(text, &explanation(spec, default));
                let line = match set.iter().find(|(name, _)| *name == spec.name) {
                    Some((name, value)) => format!("{name} = {value}\n"),
                    None if default.is_empty() => sample(spec),
                    None => format!("#{} = {default}\n", spec.name),
                };
                text.push_str(&line);
            }
        }
        for (name, _) in set {
            let known = section.keys().any(|spec| spec.name == *name);
            assert!(known, "{}: no key {name} in {section:?}", self.name);
        }
    }

    /// What an absent key amounts to with this hypervisor.
    fn default(&self, spec: &KeySpec) -> &'static str {
        let of = |wanted: &str| {
            spec.adjusted
                .iter()
                .find(|(hypervisor, _)| *hypervisor == wanted)
        };
        of(self.hypervisor)
            .or(of(ANY))
            .map_or(spec.default, |(_, value)| value)
    }
}

/// Writes a table that is not there by default.
fn absent(text: &mut String, section: Section, header: &str) {
    for group in section.groups() {
        text.push('\n');
        paragraph(text, &format!("{}. Unset.", group.title));
        let _ = writeln!(text, "#   {header}");
        for spec in group.keys {
            paragraph(text, &explanation(spec, spec.default));
            let _ = writeln!(text, "#   {} = {}", spec.name, spec.default);
        }
    }
}

/// The comment above a key.
fn explanation(spec: &KeySpec, default: &str) -> String {
    let mut text = spec.help.to_owned();
    if !spec.values.is_empty() {
        let _ = write!(text, " One of: {}.", spec.values.join(", "));
    }
    if !spec.aliases.is_empty() {
        let _ = write!(text, " Also accepted as {}.", spec.aliases.join(", "));
    }
    if spec.has_no_effect() {
        text.push_str(" Has no effect yet.");
    }
    if !spec.unit.is_empty() {
        let _ = write!(text, " Unit: {}.", spec.unit);
    }
    match default {
        "" => text.push_str(" Unset by default."),
        default => {
            let _ = write!(text, " Default: {default}.");
        }
    }
    text
}

/// A line that shows how to set a key that has no default.
fn sample(spec: &KeySpec) -> String {
    let value = match spec.kind {
        Kind::Bool => "false".to_owned(),
        Kind::Text => format!("\"{}\"", spec.values.first().unwrap_or(&"")),
        kind => {
            assert!(kind.integer_range().is_some(), "{kind:?}");
            "0".to_owned()
        }
    };
    format!("#   {} = {value}\n", spec.name)
}

/// Writes a comment, at most 100 characters wide.
fn paragraph(text: &mut String, words: &str) {
    let mut width = 0;
    for word in words.split(' ') {
        if width == 0 || width + 1 + word.len() > 100 {
            text.push_str(if width == 0 { "#" } else { "\n#" });
            width = 1;
        }
        text.push(' ');
        text.push_str(word);
        width += 1 + word.len();
    }
    text.push('\n');
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/config")
}

/// Compares a file with what it should be, or makes it so.
fn is_current(file: PathBuf, expected: &str) {
    if std::env::var_os("UPDATE_EXAMPLES").is_some() {
        std::fs::create_dir_all(directory()).unwrap();
        std::fs::write(file, expected).unwrap();
        return;
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == expected,
        "{} is not current: run `UPDATE_EXAMPLES=1 cargo test -p kata-types --lib examples`",
        file.display()
    );
}

#[test]
fn example_files_are_current() {
    for example in EXAMPLES {
        is_current(example.file(), &example.render());
    }
}

#[test]
fn the_json_schema_is_current() {
    let mut schema = serde_json::to_string_pretty(&json_schema()).unwrap();
    schema.push('\n');
    is_current(directory().join("configuration.schema.json"), &schema);
}

#[test]
fn examples_have_every_key() {
    for example in EXAMPLES {
        let text = example.render();
        for section in Section::ALL
            .into_iter()
            .filter(|section| *section != Section::Root)
        {
            for spec in section.keys() {
                let shown = [
                    format!("\n{} = ", spec.name),
                    format!("\n#{} = ", spec.name),
                ];
                let unset = format!("\n#   {} = ", spec.name);
                let is_table = matches!(spec.kind, Kind::Table(_) | Kind::Tables(_));
                assert!(
                    is_table || shown.iter().chain([&unset]).any(|line| text.contains(line)),
                    "{}: {}",
                    example.name,
                    spec.name
                );
            }
        }
    }
}
