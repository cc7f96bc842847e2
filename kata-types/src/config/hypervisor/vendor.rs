//! Vendor extension of hypervisor sections.

use serde::{Deserialize, Serialize};

use crate::config::ConfigOps;

/// Place for keys of a vendor in a hypervisor section; there are none.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct HypervisorVendor {}

impl ConfigOps for HypervisorVendor {}
