//! Annotations defined by other projects.

/// Size of the Intel SGX enclave page cache (EPC) of the pod, as a Kubernetes quantity.
pub const SGX_EPC: &str = "sgx.intel.com/epc";
