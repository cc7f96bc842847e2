//! The multi-generational LRU
//! ([Multi-Gen LRU](https://docs.kernel.org/admin-guide/mm/multigen_lru.html)): the text of `lru_gen`
//! and of its commands. No I/O here.

mod command;
mod dump;
mod scanner;
mod switch;

pub use command::Command;
pub use dump::{Dump, Generation, Memcg, Node, Wanted};
pub(crate) use switch::{ALL_FEATURES, parse_switch};

/// Most generations that a kernel keeps (L11).
pub const MAX_NR_GENS: u64 = 4;
