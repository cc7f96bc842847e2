//! Annotations that the CRI plugin of [containerd](https://containerd.io) puts on containers
//! ([source](https://github.com/containerd/containerd/blob/main/internal/cri/annotations/annotations.go)).

/// Role of the container: [`SANDBOX`] or [`CONTAINER`].
pub const CONTAINER_TYPE_LABEL_KEY: &str = "io.kubernetes.cri.container-type";
/// Name of the container in the pod spec.
pub const CONTAINER_NAME_LABEL_KEY: &str = "io.kubernetes.cri.container-name";
/// Role of the sandbox container.
pub const SANDBOX: &str = "sandbox";
/// Role of every other container.
pub const CONTAINER: &str = "container";

/// Id of the sandbox that a container belongs to.
pub const SANDBOX_ID_LABEL_KEY: &str = "io.kubernetes.cri.sandbox-id";
/// Name of the pod.
pub const SANDBOX_NAME_LABEL_KEY: &str = "io.kubernetes.cri.sandbox-name";
/// Kubernetes namespace of the pod.
pub const SANDBOX_NAMESPACE_LABEL_KEY: &str = "io.kubernetes.cri.sandbox-namespace";

/// CPU quota of the pod, in microseconds per period.
pub const SANDBOX_CPU_QUOTA_KEY: &str = "io.kubernetes.cri.sandbox-cpu-quota";
/// CPU period of the pod, in microseconds.
pub const SANDBOX_CPU_PERIOD_KEY: &str = "io.kubernetes.cri.sandbox-cpu-period";
/// CPU shares (relative weight) of the pod.
pub const SANDBOX_CPU_SHARE_KEY: &str = "io.kubernetes.cri.sandbox-cpu-shares";
/// Memory limit of the pod, in bytes.
pub const SANDBOX_MEM_KEY: &str = "io.kubernetes.cri.sandbox-memory";
