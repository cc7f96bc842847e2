//! Pressure stall information
//! ([PSI](https://docs.kernel.org/accounting/psi.html)): parsing and sampling. No I/O here.

mod pressure;
mod sampler;
mod window;

pub(crate) use pressure::parse_total;
pub use pressure::{Pressure, Totals};
pub use sampler::Sampler;
pub use window::Window;

/// The pressure files of a cgroup.
pub(crate) const MEMORY_PRESSURE: &str = "memory.pressure";
pub(crate) const IO_PRESSURE: &str = "io.pressure";
