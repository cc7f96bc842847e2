//! What the agent does with a request: it decodes the specification, makes storages and mount points
//! in the guest's directory, exposes InfiniBand devices, and runs the hooks of its side.
//!
//! A real agent would mount, too, and start the program. Here nothing needs a privilege.

use std::fs;
use std::path::{Path, PathBuf};

use kata_sys_util::SysRoot;
use kata_sys_util::infiniband::{
    InfinibandDevice, InfinibandRoots, container_has_vfio_device,
    expose_guest_infiniband_devices_in,
};
use kata_sys_util::mount::create_mount_destination;
use kata_sys_util::validate::verify_id;
use oci_spec::runtime::{Mount, Spec};
use protobuf::Message;
use protocols::agent::{CreateContainerRequest, Storage};
use protocols::trans::TryFromProto;
use runtime_spec::{ContainerState, OCI_SPEC_CONFIG_FILE_NAME, State};
use safe_path::ScopedDirBuilder;
use slog::info;

use super::inside;
use crate::hooks::{self, Phase, Ran};

/// Where an agent keeps its containers.
const CONTAINERS_DIR: &str = "/run/kata-containers";

/// A container as the agent has created it.
#[derive(Debug)]
pub(crate) struct Created {
    /// The request, decoded from the wire.
    pub(crate) request: CreateContainerRequest,
    /// Size of the request on the wire, in bytes.
    pub(crate) wire_bytes: u64,
    /// The OCI specification made of it, with the devices of the guest.
    pub(crate) spec: Spec,
    /// Where it was written to, in the guest.
    pub(crate) bundle: PathBuf,
    /// The mount points that were made, below the root filesystem.
    pub(crate) mount_points: Vec<PathBuf>,
    /// The InfiniBand device nodes that the container was given.
    pub(crate) infiniband: Vec<InfinibandDevice>,
    /// The hooks that were run.
    pub(crate) hooks: Vec<Ran>,
}

/// Creates a container in the guest whose file system is `guest`.
pub(super) fn create(
    guest: &Path,
    devices: &SysRoot,
    request: CreateContainerRequest,
) -> Result<Created, String> {
    // An agent trusts its host as little as its host trusts the author of the pod.
    verify_id(&request.container_id).map_err(|e| e.to_string())?;
    let mut spec = Spec::try_from_proto(request.OCI().clone()).map_err(|e| e.to_string())?;
    for storage in &request.storages {
        make_storage(guest, storage)?;
    }
    let bundle = Path::new(CONTAINERS_DIR).join(&request.container_id);
    let rootfs = inside(guest, &bundle).join("rootfs");
    fs::create_dir_all(&rootfs).map_err(|e| format!("{}: {e}", rootfs.display()))?;
    let rootfs = rootfs.canonicalize().map_err(|e| e.to_string())?;

    let mut mount_points = Vec::new();
    for (i, mount) in spec.mounts().iter().flatten().enumerate() {
        let made = make_mount_point(guest, &rootfs, &request.storages, mount)
            .map_err(|e| format!("mounts[{i}].destination = {:?}: {e}", mount.destination()))?;
        mount_points.push(made);
    }
    let infiniband = expose_infiniband(devices, &request, &mut spec)?;
    write_spec(&inside(guest, &bundle), &spec)?;
    let hooks = run_hooks(&request.container_id, &bundle, &spec)?;
    Ok(Created {
        wire_bytes: request.compute_size(),
        request,
        spec,
        bundle,
        mount_points,
        infiniband,
        hooks,
    })
}

fn make_storage(guest: &Path, storage: &Storage) -> Result<(), String> {
    let made = ScopedDirBuilder::new(guest).and_then(|mut builder| {
        builder.recursive(true);
        builder.create(&storage.mount_point)
    });
    made.map_err(|e| format!("storage {:?}: {e}", storage.mount_point))?;
    info!(slog_scope::logger(), "storage made"; "driver" => &storage.driver,
        "mount_point" => &storage.mount_point);
    Ok(())
}

/// A directory, or a file for a bind mount of a file. Returns its path below `rootfs`.
fn make_mount_point(
    guest: &Path,
    rootfs: &Path,
    storages: &[Storage],
    mount: &Mount,
) -> Result<PathBuf, String> {
    let source = mount.source().as_deref().unwrap_or(Path::new(""));
    // What the agent has made is in the guest; all else is shared by the host, which sees it where
    // it is.
    let is_storage = |s: &Storage| source == Path::new(&s.mount_point);
    let source = match storages.iter().any(is_storage) {
        true => inside(guest, source),
        false => source.to_owned(),
    };
    let is_bind = mount
        .options()
        .iter()
        .flatten()
        .any(|o| o == "bind" || o == "rbind");
    let fs_type = match mount.typ().as_deref() {
        _ if is_bind => "bind",
        Some(fs_type) => fs_type,
        None => "bind",
    };
    let destination = inside(rootfs, mount.destination());
    let made = create_mount_destination(source, destination, rootfs, fs_type)
        .map_err(|e| e.to_string())?;
    let made = made.as_ref();
    Ok(made.strip_prefix(rootfs).unwrap_or(made).to_owned())
}

fn expose_infiniband(
    devices: &SysRoot,
    request: &CreateContainerRequest,
    spec: &mut Spec,
) -> Result<Vec<InfinibandDevice>, String> {
    if !container_has_vfio_device(request.devices.iter().map(|device| device.type_())) {
        return Ok(Vec::new());
    }
    expose_guest_infiniband_devices_in(&InfinibandRoots::from(devices), spec)
        .map_err(|e| format!("InfiniBand devices cannot be exposed: {e:#}"))
}

fn write_spec(dir: &Path, spec: &Spec) -> Result<(), String> {
    let file = dir.join(OCI_SPEC_CONFIG_FILE_NAME);
    let text = serde_json::to_vec_pretty(spec).map_err(|e| e.to_string())?;
    fs::write(&file, text).map_err(|e| format!("{}: {e}", file.display()))
}

fn run_hooks(id: &str, bundle: &Path, spec: &Spec) -> Result<Vec<Ran>, String> {
    let state = State {
        version: spec.version().clone(),
        id: id.to_owned(),
        status: ContainerState::Creating,
        pid: 0,
        bundle: bundle.display().to_string(),
        annotations: spec.annotations().clone().unwrap_or_default(),
    };
    let ran = hooks::run(Phase::InGuest, spec, &state);
    match ran.last() {
        Some(Ran {
            field,
            result: Err(error),
            ..
        }) => Err(format!("{field}: {error}")),
        _ => Ok(ran),
    }
}
