//! Checking a configuration on a machine that has not the programs and images it names.

use kata_types::config::default::{
    DEFAULT_CH_BINARY_PATH, DEFAULT_QEMU_BINARY_PATH, DEFAULT_REMOTE_HYPERVISOR_SOCKET,
    DEFAULT_VHOST_USER_STORE_PATH,
};
use kata_types::config::{Hypervisor, TomlConfig};

/// What exists everywhere.
const PLACEHOLDER: &str = "/";

/// The paths of a configuration in the order of [`each_path`], while something else stands in
/// their place.
#[derive(Debug)]
pub(crate) struct Placeholders {
    paths: Vec<String>,
}

impl Placeholders {
    /// Puts something that exists in the place of every path.
    pub(crate) fn put_into(config: &mut TomlConfig) -> Self {
        let mut paths = Vec::new();
        each_path(config, |path, default| {
            let named = if path.is_empty() {
                default.to_owned()
            } else {
                path.clone()
            };
            if !named.is_empty() {
                *path = format!("{PLACEHOLDER}{}", mode(&named));
            }
            paths.push(named);
        });
        Placeholders { paths }
    }

    /// Puts the paths back, unless they have been changed since.
    pub(crate) fn take_out_of(&self, config: &mut TomlConfig) {
        let mut paths = self.paths.iter();
        each_path(config, |path, _| {
            if let Some(named) = paths.next()
                && *path == format!("{PLACEHOLDER}{}", mode(named))
            {
                path.clone_from(named);
            }
        });
    }
}

/// The mode at the end of a sandbox bind mount.
fn mode(path: &str) -> &str {
    [":ro", ":rw"]
        .into_iter()
        .find(|mode| path.ends_with(mode))
        .unwrap_or_default()
}

/// Calls `visit` for every path that has to exist, and what it is by default.
fn each_path(config: &mut TomlConfig, mut visit: impl FnMut(&mut String, &str)) {
    let mut names: Vec<_> = config.hypervisor.keys().cloned().collect();
    names.sort();
    for name in names {
        if let Some(hypervisor) = config.hypervisor.get_mut(&name) {
            each_path_of(&name, hypervisor, &mut visit);
        }
    }
    for path in &mut config.runtime.sandbox_bind_mounts {
        visit(path, "");
    }
}

fn each_path_of(
    name: &str,
    hypervisor: &mut Hypervisor,
    visit: &mut impl FnMut(&mut String, &str),
) {
    let (program, socket) = match name {
        "qemu" => (DEFAULT_QEMU_BINARY_PATH, ""),
        "clh" => (DEFAULT_CH_BINARY_PATH, ""),
        "remote" => ("", DEFAULT_REMOTE_HYPERVISOR_SOCKET),
        _ => ("", ""),
    };
    let store = match &hypervisor.blockdev_info {
        info if info.enable_vhost_user_store && !info.disable_block_device_use => {
            DEFAULT_VHOST_USER_STORE_PATH
        }
        _ => "",
    };
    visit(&mut hypervisor.path, program);
    visit(&mut hypervisor.remote_info.hypervisor_socket, socket);
    visit(&mut hypervisor.blockdev_info.vhost_user_store_path, store);
    for path in [
        &mut hypervisor.ctlpath,
        &mut hypervisor.jailer_path,
        &mut hypervisor.prefetch_list_path,
        &mut hypervisor.boot_info.kernel,
        &mut hypervisor.boot_info.image,
        &mut hypervisor.boot_info.initrd,
        &mut hypervisor.boot_info.firmware,
        &mut hypervisor.machine_info.entropy_source,
        &mut hypervisor.memory_info.file_mem_backend,
        &mut hypervisor.shared_fs.virtio_fs_daemon,
    ] {
        visit(path, "");
    }
    for path in &mut hypervisor.machine_info.pflashes {
        visit(path, "");
    }
}
