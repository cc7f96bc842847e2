// The README's links lead to source files, where there is no rustdoc; here, these come before them.
//! [`allocation::CountingAllocator`]: allocation::CountingAllocator
//! [`allocation::allocated_by`]: allocation::allocated_by
//! [`exchange`]: fn@exchange
//! [`isolate!`]: isolate!
//! [`isolation`]: mod@isolation
//! [`seccomp`]: mod@seccomp
#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

pub mod allocation;
mod assert_result;
mod capability;
#[cfg(target_os = "linux")]
mod exchange;
#[cfg(target_os = "linux")]
pub mod faults;
mod guest;
mod ioctl;
#[cfg(target_os = "linux")]
pub mod isolation;
mod kvm;
#[cfg(target_os = "linux")]
mod mountinfo;
#[cfg(target_os = "linux")]
pub mod seccomp;
mod skip;
#[cfg(target_os = "linux")]
mod sys;
mod user;

#[cfg(target_os = "linux")]
pub use exchange::exchange;
pub use guest::is_guest;
pub use user::TestUserType;

/// What the macros expand to. Not for direct use: it may change in any release.
#[doc(hidden)]
pub mod __private {
    pub use crate::assert_result::compare;
    pub use crate::capability::{Capability, skip_without_capability};
    pub use crate::guest::skip_outside_guest;
    #[cfg(target_os = "linux")]
    pub use crate::isolation::run_in_child;
    pub use crate::kvm::skip_without_kvm;
    pub use crate::user::{
        announce_turn_as_ordinary_user, announce_turn_as_root, effective_user_is_root,
        skip_as_ordinary_user, skip_as_root,
    };
}
