//! Annotation keys, and how the annotations of a pod change the runtime configuration.
//!
//! Annotations of a pod
//! ([Kubernetes](https://kubernetes.io/docs/concepts/overview/working-with-objects/annotations/))
//! arrive in the OCI spec of its containers
//! ([*Annotations*](https://github.com/opencontainers/runtime-spec/blob/main/config.md#annotations)).
//! Whoever may create a pod writes them, so nothing in them is trusted.
//!
//! [`Annotation`] holds the annotations of a pod or container. Its
//! [`update_config_by_annotation`](Annotation::update_config_by_annotation) applies them to a
//! configuration; which keys it knows, what they accept and when they are honoured is one table,
//! printed by [`markdown_reference`] and kept in `docs/annotations.md`.
//!
//! Keys under [`KATA_ANNO_CFG_HYPERVISOR_PREFIX`] are honoured only when the operator lists their
//! base name in `enable_annotations`; the others always.

mod annotation;
mod apply;
pub mod cri_containerd;
pub mod crio;
pub mod dockershim;
mod keys;
mod memory_size;
mod reference;
mod setting;
mod table;
pub mod thirdparty;

pub use annotation::Annotation;
pub(crate) use keys::hypervisor_names;
pub use keys::*;
pub use reference::markdown_reference;
pub(crate) use table::act_on;

/// Prefix of all annotations of Kata Containers.
pub const KATA_ANNO_PREFIX: &str = "io.katacontainers.";
/// Prefix of annotations that change the configuration.
pub const KATA_ANNO_CFG_PREFIX: &str = "io.katacontainers.config.";
/// Prefix of annotations of a single container.
pub const KATA_ANNO_CONTAINER_PREFIX: &str = "io.katacontainers.container.";

/// Path of the configuration file to use.
///
/// The value comes from the pod author: whoever acts on it lets a pod choose any file of the host
/// as configuration. Nothing in this crate does.
pub const SANDBOX_CFG_PATH_KEY: &str = "io.katacontainers.config_path";
/// Path of the OCI bundle.
pub const BUNDLE_PATH_KEY: &str = "io.katacontainers.pkg.oci.bundle_path";
/// Role of the container; see [`ContainerType`](crate::container::ContainerType).
pub const CONTAINER_TYPE_KEY: &str = "io.katacontainers.pkg.oci.container_type";

/// Prefix of container resource annotations, without a trailing dot.
pub const KATA_ANNO_CONTAINER_RES_PREFIX: &str = "io.katacontainers.container.resource";
/// Swappiness of the container, 0 to 100.
pub const KATA_ANNO_CONTAINER_RES_SWAPPINESS: &str =
    "io.katacontainers.container.resource.swappiness";
/// Swap space of the container, in bytes.
pub const KATA_ANNO_CONTAINER_RES_SWAP_IN_BYTES: &str =
    "io.katacontainers.container.resource.swap_in_bytes";

/// Name of a hash algorithm, for `asset_hash_type`.
pub const SHA512: &str = "sha512";
/// Kernel parameter (not an annotation) for the capacity of container pipes, in bytes.
pub const CONTAINER_PIPE_SIZE_KERNEL_PARAM: &str = "agent.container_pipe_size";
/// Most PCIe root ports that an annotation may ask for.
pub const MAX_PCIE_ROOT_PORT: u32 = 16;
/// Most PCIe switch ports that an annotation may ask for.
pub const MAX_PCIE_SWITCH_PORT: u32 = 16;
