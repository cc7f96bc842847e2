//! In what kernels differ.

/// A kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    pub reclaim: Reclaim,
    pub stale_aging: StaleAging,
    pub absent: Absent,
    pub ids: Ids,
}

/// How much one eviction command takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reclaim {
    /// 64 pages at a time until enough are free.
    InStepsOf64,
    /// It looks at no more pages than are asked for.
    ScansAtMost,
}

/// What an aging command with a number below `max_seq` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StaleAging {
    /// Nothing, successfully.
    Ignored,
    /// The same as with `max_seq`.
    Obeyed,
}

/// How a count is printed if the type has no such generation any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    Zero,
    MinusZero,
}

/// How memory cgroups are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// The lowest number that is free; 0 after the cgroup has been removed.
    Private16,
    /// The inode number of the directory, also after it has been removed.
    Cgroup64,
}

impl Profile {
    /// As of Linux 6.1.
    pub const OLD: Self = Self {
        reclaim: Reclaim::InStepsOf64,
        stale_aging: StaleAging::Ignored,
        absent: Absent::Zero,
        ids: Ids::Private16,
    };

    /// Recent.
    pub const NEW: Self = Self {
        reclaim: Reclaim::ScansAtMost,
        stale_aging: StaleAging::Obeyed,
        absent: Absent::MinusZero,
        ids: Ids::Cgroup64,
    };
}
