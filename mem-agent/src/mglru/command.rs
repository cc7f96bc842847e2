//! Commands of `lru_gen` (L10).

use std::fmt;

/// A command for one memory cgroup on one NUMA node. [`Display`](fmt::Display) is its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Makes a new generation: `+ id node max_seq can_swap force_scan`.
    Age {
        /// The kernel's id of the cgroup.
        id: u64,
        /// The NUMA node.
        node: u32,
        /// The youngest generation so far.
        max_seq: u64,
        /// Whether anonymous pages are scanned too.
        can_swap: bool,
    },
    /// Reclaims generations up to `min_seq`: `- id node min_seq swappiness nr_to_reclaim`.
    Evict {
        /// The kernel's id of the cgroup.
        id: u64,
        /// The NUMA node.
        node: u32,
        /// The oldest generation.
        min_seq: u64,
        /// 0 (file pages only) to 200 (anonymous pages only).
        swappiness: u8,
        /// Pages to reclaim.
        pages: u64,
    },
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Age {
                id,
                node,
                max_seq,
                can_swap,
            } => write!(f, "+ {id} {node} {max_seq} {} 1", u8::from(can_swap)),
            Self::Evict {
                id,
                node,
                min_seq,
                swappiness,
                pages,
            } => write!(f, "- {id} {node} {min_seq} {swappiness} {pages}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_what_the_kernel_parses() {
        let age = Command::Age {
            id: 70_211,
            node: 1,
            max_seq: 12,
            can_swap: true,
        };
        assert_eq!(age.to_string(), "+ 70211 1 12 1 1");
        let evict = Command::Evict {
            id: 19,
            node: 0,
            min_seq: 9,
            swappiness: 50,
            pages: 64,
        };
        assert_eq!(evict.to_string(), "- 19 0 9 50 64");
    }
}
