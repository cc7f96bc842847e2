//! Asking a run to stop.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::sys;

/// A flag that is raised once, and a descriptor that becomes readable with it.
#[derive(Clone)]
pub(crate) struct Cancel(Arc<Flag>);

struct Flag {
    is_raised: AtomicBool,
    /// None where the process has no descriptor left: waits then end by themselves.
    event: Option<OwnedFd>,
}

impl Cancel {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Flag {
            is_raised: AtomicBool::new(false),
            event: sys::eventfd().ok(),
        }))
    }

    pub(crate) fn raise(&self) {
        self.0.is_raised.store(true, Ordering::Release);
        if let Some(event) = &self.0.event {
            sys::signal_eventfd(event.as_fd());
        }
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.0.is_raised.load(Ordering::Acquire)
    }

    /// Readable, for good, once it is raised.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.0.event.as_ref().map(AsFd::as_fd)
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancel").field(&self.is_raised()).finish()
    }
}
