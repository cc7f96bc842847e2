//! Annotations defined by other projects, such as the
//! [Intel device plugins](https://github.com/intel/intel-device-plugins-for-kubernetes).

/// Size of the Intel SGX enclave page cache (EPC) of the pod, as a Kubernetes quantity.
pub const SGX_EPC: &str = "sgx.intel.com/epc";
