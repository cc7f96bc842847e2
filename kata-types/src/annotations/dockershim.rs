//! Labels that [dockershim](https://kubernetes.io/blog/2022/02/17/dockershim-faq/), the former Docker
//! adapter of the kubelet, put on containers.

/// Role of the container: [`SANDBOX`] or [`CONTAINER`].
pub const CONTAINER_TYPE_LABEL_KEY: &str = "io.kubernetes.docker.type";
/// Role of the sandbox container.
pub const SANDBOX: &str = "podsandbox";
/// Role of every other container.
pub const CONTAINER: &str = "container";

/// Id of the sandbox that a container belongs to.
pub const SANDBOX_ID_LABEL_KEY: &str = "io.kubernetes.sandbox.id";
