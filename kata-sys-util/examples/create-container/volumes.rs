//! What becomes of Kubernetes' `emptyDir` volumes: `kata_sys_util::k8s` tells those in memory
//! (`ephemeral`) and on disk (`local`) from other bind mounts. Neither is shared with the host; the
//! agent makes them in the guest.

use std::path::Path;

use kata_sys_util::SysRoot;
use kata_sys_util::k8s::{update_ephemeral_storage_type, update_ephemeral_storage_type_in};
use kata_types::config::Runtime;
use kata_types::mount::{
    DEFAULT_KATA_GUEST_SANDBOX_DIR, KATA_EPHEMERAL_VOLUME_TYPE, KATA_K8S_LOCAL_STORAGE_TYPE,
};
use oci_spec::runtime::{Mount, Spec};
use protocols::agent::Storage;
use runtime_spec::OCI_MOUNT_BIND_TYPE;

/// Replaces the `emptyDir` volumes of `spec` by bind mounts of what the agent is to make, and returns
/// that. Mounts are looked up in `fake_root` if there is one, else on this machine.
pub(crate) fn replace_empty_dirs(
    spec: &mut Spec,
    runtime: &Runtime,
    fake_root: Option<&SysRoot>,
) -> Vec<Storage> {
    let stay = runtime.disable_guest_empty_dir;
    let mode = &runtime.emptydir_mode;
    match fake_root {
        None => update_ephemeral_storage_type(spec, stay, mode),
        Some(root) => update_ephemeral_storage_type_in(root, spec, stay, mode),
    }
    let mounts = spec.mounts_mut().iter_mut().flatten();
    mounts.filter_map(replace).collect()
}

fn replace(mount: &mut Mount) -> Option<Storage> {
    let (driver, source, fs_type) = match mount.typ().as_deref()? {
        KATA_EPHEMERAL_VOLUME_TYPE => (KATA_EPHEMERAL_VOLUME_TYPE, "tmpfs", "tmpfs"),
        KATA_K8S_LOCAL_STORAGE_TYPE => (KATA_K8S_LOCAL_STORAGE_TYPE, "local", "local"),
        _ => return None,
    };
    let name = mount.source().as_deref().and_then(Path::file_name)?;
    let in_guest = Path::new(DEFAULT_KATA_GUEST_SANDBOX_DIR)
        .join(driver)
        .join(name);
    let storage = Storage {
        driver: driver.to_owned(),
        source: source.to_owned(),
        fstype: fs_type.to_owned(),
        options: vec!["mode=0777".to_owned()],
        mount_point: in_guest.display().to_string(),
        shared: true,
        ..Default::default()
    };
    mount.set_typ(Some(OCI_MOUNT_BIND_TYPE.to_owned()));
    mount.set_source(Some(in_guest));
    Some(storage)
}
