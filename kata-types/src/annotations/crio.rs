//! Annotations that [CRI-O](https://cri-o.io) puts on containers.

/// Role of the container: [`SANDBOX`] or [`CONTAINER`].
pub const CONTAINER_TYPE_LABEL_KEY: &str = "io.kubernetes.cri-o.ContainerType";
/// Name of the container in the pod spec.
pub const CONTAINER_NAME_LABEL_KEY: &str = "io.kubernetes.cri-o.ContainerName";
/// Role of the sandbox container.
pub const SANDBOX: &str = "sandbox";
/// Role of every other container.
pub const CONTAINER: &str = "container";

/// Id of the sandbox that a container belongs to.
pub const SANDBOX_ID_LABEL_KEY: &str = "io.kubernetes.cri-o.SandboxID";
/// Name of the pod.
pub const SANDBOX_NAME_LABEL_KEY: &str = "io.kubernetes.cri-o.KubeName";
/// Kubernetes namespace of the pod.
pub const SANDBOX_NAMESPACE_LABEL_KEY: &str = "io.kubernetes.cri-o.Namespace";
