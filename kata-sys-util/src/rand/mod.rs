//! Random identifiers.
//!
//! The bytes come from the kernel ([`getrandom(2)`](https://man7.org/linux/man-pages/man2/getrandom.2.html))
//! for each identifier anew, so that a process that was forked, or a virtual machine that was
//! cloned, does not repeat those of its origin.

mod random_bytes;
mod source;
mod uuid;

pub use random_bytes::RandomBytes;
pub(crate) use source::fill;
pub use uuid::UUID;
