//! Problems of a configuration that do not stop it from being used.

mod report;
mod schema;
mod suggest;
#[cfg(test)]
mod tests;
mod types;
mod unknown;
mod values;
mod walk;

pub(crate) use report::report;
pub use schema::json_schema;
pub(crate) use types::write_place;
pub use types::{ConfigDiagnostic, DiagnosticKind, Severity};
pub(crate) use walk::{Flaw, Walk};
