//! The interface as its consumers use it: what must go on compiling, and mean the same.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use kata_types::annotations::{Annotation, cri_containerd, crio};
use kata_types::capabilities::{Capabilities, CapabilityBits};
use kata_types::container::{ContainerType, State, update_ocispec_annotations};
use kata_types::cpu::{CpuSet, LinuxContainerCpuResources, LinuxSandboxCpuResources, NumaNodeSet};
use kata_types::device::DeviceHandlerManager;
use kata_types::gpt_disk::{ErofsLayer, GptMetadataFiles};
use kata_types::handler::HandlerManager;
use kata_types::initdata::{InitData, ProtectedPlatform};
use kata_types::mount::{
    DirectAssignedVolume, DirectVolumeMountInfo, ImagePullVolume, KataVirtualVolume, Mount,
    NydusExtraOptions, NydusImageVolume, StorageDevice, StorageHandlerManager, split_bind_mounts,
};
use kata_types::sl;

trait Handler: Send + Sync {
    fn name(&self) -> &str;
}

struct Scsi;

impl Handler for Scsi {
    fn name(&self) -> &str {
        "scsi"
    }
}

impl StorageDevice for Scsi {
    fn path(&self) -> Option<&str> {
        None
    }

    fn cleanup(&self) -> anyhow::Result<()> {
        Ok(())
    }
}

static DEVICES: LazyLock<DeviceHandlerManager<Arc<dyn Handler>>> = LazyLock::new(|| {
    let mut manager = DeviceHandlerManager::new();
    let handler: Arc<dyn Handler> = Arc::new(Scsi);
    manager
        .add_handler(&[kata_types::device::DRIVER_SCSI_TYPE], handler)
        .unwrap();
    manager
});

#[test]
fn handler_managers_live_in_statics_and_hold_trait_objects() {
    assert_eq!(DEVICES.handler("scsi").map(|h| h.name()), Some("scsi"));
    let names: Vec<String> = DEVICES.get_handlers();
    assert_eq!(names, ["scsi"]);
    let mut storage: StorageHandlerManager<Arc<dyn StorageDevice>> = HandlerManager::default();
    storage.add_handler(&["local"], Arc::new(Scsi)).unwrap();
    assert!(storage.handler("local").unwrap().cleanup().is_ok());
}

const TYPE_KEYS: [&str; 2] = [
    crio::CONTAINER_TYPE_LABEL_KEY,
    cri_containerd::CONTAINER_TYPE_LABEL_KEY,
];

#[test]
fn keys_are_usable_in_constants() {
    assert!(TYPE_KEYS.iter().all(|key| key.starts_with("io.kubernetes")));
}

const BITS: CapabilityBits =
    CapabilityBits::BlockDeviceSupport.or(CapabilityBits::HybridVsockSupport);

#[test]
fn capability_bits_are_a_bit_set() {
    let mut capabilities = Capabilities::new();
    capabilities.set(CapabilityBits::BlockDeviceSupport | CapabilityBits::HybridVsockSupport);
    capabilities.add(CapabilityBits::FsSharingSupport);
    assert!(capabilities.clone().is_hybrid_vsock_supported());
    assert_eq!(BITS.bits(), 17);
    assert_eq!(CapabilityBits::all_bits().bits(), 255);
    assert_eq!(CapabilityBits::all_flags().bits(), 255);
    assert!(CapabilityBits::all_bits().is_all_bits() && CapabilityBits::all_flags().is_all_flags());
    assert!(CapabilityBits::none().is_none() && CapabilityBits::none() < BITS);
    assert_eq!(
        BITS.and(CapabilityBits::BlockDeviceSupport),
        CapabilityBits::BlockDeviceSupport
    );
    assert_eq!(BITS.xor(BITS), CapabilityBits::none());
    assert_eq!((!BITS).bits(), !17);
    assert_eq!(BITS.not().truncate(), !BITS);
    let mut bits = BITS;
    bits &= CapabilityBits::HybridVsockSupport;
    bits ^= CapabilityBits::GuestMemoryProbe;
    assert_eq!(HashSet::from([bits]), HashSet::from([48.into()]));
}

#[derive(thiserror::Error, Debug)]
enum NumaError {
    #[error("numa: {0}")]
    List(#[from] kata_types::Error),
}

fn nodes(list: &str) -> Result<NumaNodeSet, NumaError> {
    Ok(list.parse::<NumaNodeSet>()?)
}

#[test]
fn id_sets_mix_with_slices_and_collections() {
    let mut set = CpuSet::new();
    set.add(3);
    set.extend(&CpuSet::from(vec![1, 2]));
    set.extend(&[0]);
    let mut ids = HashSet::<u32>::new();
    ids.extend(set.iter());
    assert_eq!(ids.len(), set.len());
    assert_eq!(set.iter().copied().max(), set.last().copied());
    assert!(set.contains(&3) && !set.is_empty());
    let slice: &[u32] = &set;
    assert_eq!(slice, [0, 1, 2, 3]);
    assert_eq!(
        nodes("1-x").unwrap_err().to_string(),
        "numa: invalid list 1-x"
    );
    let error: anyhow::Error = "x".parse::<CpuSet>().unwrap_err().into();
    assert_eq!(error.to_string(), "invalid list x");
    let mut sandbox = LinuxSandboxCpuResources::default();
    let container = LinuxContainerCpuResources::default();
    assert_eq!(sandbox.merge(&container).merge(&container).get_vcpus(), 0.0);
}

trait Mounter {
    fn target(&self) -> &Path;
}

impl Mounter for Mount {
    fn target(&self) -> &Path {
        &self.destination
    }
}

#[test]
fn structs_with_closed_field_sets_are_written_in_full() {
    let mount = Mount {
        source: String::new(),
        destination: PathBuf::from("/d"),
        fs_type: String::new(),
        options: vec![],
        device_id: None,
        host_shared_fs_path: None,
        read_only: false,
    };
    assert_eq!(mount.target(), Path::new("/d"));
    let metadata = HashMap::<String, String>::new();
    let info = DirectVolumeMountInfo {
        volume_type: "block".to_string(),
        device: "/dev/sda".to_string(),
        fs_type: "ext4".to_string(),
        metadata: metadata.clone(),
        options: vec![],
    };
    let direct = DirectAssignedVolume {
        metadata: metadata.clone(),
    };
    let volume: KataVirtualVolume = (&info).try_into().unwrap();
    assert_eq!(volume.direct_volume, Some(direct));
    let pull: ImagePullVolume = serde_json::from_str("{}").unwrap();
    assert_eq!(pull, ImagePullVolume { metadata });
    let extra = NydusExtraOptions {
        source: "s".to_string(),
        config: "c".to_string(),
        snapshot_dir: "d".to_string(),
        fs_version: "v6".to_string(),
    };
    let image = NydusImageVolume {
        config: extra.config.clone(),
        snapshot_dir: extra.snapshot_dir.clone(),
    };
    let volume = KataVirtualVolume::try_from(&extra).unwrap();
    assert_eq!(volume.nydus_image, Some(image));
    let layer = ErofsLayer {
        path: "/s/1/layer.erofs".to_string(),
        size_sectors: 1,
        snapshot_id: "1".to_string(),
    };
    let dir = tempfile::tempdir().unwrap();
    let (layout, mut files): (_, GptMetadataFiles) =
        kata_types::gpt_disk::generate_gpt_metadata("s", "c", vec![layer], dir.path()).unwrap();
    files.pad_paths = vec![dir.path().join("pad-0.img")];
    assert_eq!(layout.partitions.len(), 1);
    let ty = "kata:guest-mount:x".to_string();
    assert!(kata_types::mount::is_kata_guest_mount_volume(&ty));
    let bind = String::from("/a:ro");
    assert_eq!(split_bind_mounts(&bind), ("/a", ":ro"));
}

#[test]
fn initdata_is_read_by_other_versions_of_toml() {
    let mut document = InitData::new(String::from("sha384"), "0.1.0");
    document.insert_data("policy.rego", "package x\n".to_string());
    let bytes = document.to_string().unwrap().into_bytes();
    let other: InitData = toml05::from_slice(&bytes).unwrap();
    other.validate().unwrap();
    assert_eq!(
        other.get_coco_data("policy.rego").cloned(),
        Some("package x\n".to_string())
    );
    // Its own serializer finds the keys in order, too.
    document.insert_data("b", "");
    document.insert_data("a", "");
    assert_eq!(
        toml05::to_string_pretty(&document).unwrap(),
        document.to_string().unwrap()
    );
    let platform = ProtectedPlatform::Snp;
    let copy = platform;
    assert_eq!(format!("{platform:?} {copy:?}"), "Snp Snp");
}

#[test]
fn annotations_and_containers() {
    let map = HashMap::from([("k".to_string(), " 1 ".to_string())]);
    let mut annotation = Annotation::new(map.clone());
    annotation
        .get_annotations_mut()
        .extend(update_ocispec_annotations(&map, &["k"], &[]));
    assert_eq!(annotation.get_value::<i32>("k"), Ok(Some(1)));
    assert_eq!(Annotation::from(map).get("k").as_deref(), Some("1"));
    let kind: ContainerType = "container".parse().unwrap();
    assert!(kind == ContainerType::PodContainer && kind.clone().is_pod_container());
    State::Ready.check_transition(State::Running).unwrap();
    slog::debug!(sl!(), "a line of the scoped logger");
}
