//! Kernels that lack calls which the library would rather use.

use test_utils::seccomp::{Rule, run_under};

pub(crate) const OPEN_TREE: libc::c_long = 428;
pub(crate) const MOVE_MOUNT: libc::c_long = 429;
pub(crate) const FSOPEN: libc::c_long = 430;
pub(crate) const FSCONFIG: libc::c_long = 431;
pub(crate) const FSMOUNT: libc::c_long = 432;
pub(crate) const MOUNT_SETATTR: libc::c_long = 442;
pub(crate) const STATMOUNT: libc::c_long = 457;

/// What a kernel, or the seccomp filter of a container, lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// The one that runs.
    Current,
    /// `open_tree` is filtered.
    WithoutOpenTree,
    /// Linux 5.2 to 5.11.
    WithoutMountSetattr,
    /// `move_mount` is filtered.
    WithoutMoveMount,
    /// Linux 4.10, before all of it.
    Old,
}

impl Kernel {
    pub(crate) const ALL: [Self; 5] = [
        Self::Current,
        Self::WithoutOpenTree,
        Self::WithoutMountSetattr,
        Self::WithoutMoveMount,
        Self::Old,
    ];

    pub(crate) fn rules(self) -> Vec<Rule> {
        match self {
            Self::Current => vec![],
            Self::WithoutOpenTree => vec![Rule::fail(OPEN_TREE, libc::EPERM)],
            Self::WithoutMountSetattr => vec![Rule::fail(MOUNT_SETATTR, libc::ENOSYS)],
            Self::WithoutMoveMount => vec![Rule::fail(MOVE_MOUNT, libc::EPERM)],
            Self::Old => [
                OPEN_TREE,
                MOVE_MOUNT,
                FSOPEN,
                FSCONFIG,
                FSMOUNT,
                MOUNT_SETATTR,
                STATMOUNT,
                libc::SYS_statx,
            ]
            .map(|call| Rule::fail(call, libc::ENOSYS))
            .to_vec(),
        }
    }
}

/// Runs `test` on every kernel.
pub(crate) fn on_kernels(test: impl Fn(Kernel) + Sync) {
    for kernel in Kernel::ALL {
        println!("on kernel: {kernel:?}");
        run_under(&kernel.rules(), || test(kernel));
    }
}
