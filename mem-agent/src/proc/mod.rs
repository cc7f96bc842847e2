//! Text of `/proc/meminfo`, `/proc/pagetypeinfo` and `memory.stat`: parsing only.

mod meminfo;
mod memory_stat;
mod pagetypeinfo;

pub(crate) use meminfo::{MEM_FREE, SWAP_FREE, meminfo_kb};
pub use memory_stat::MemoryStat;
pub(crate) use pagetypeinfo::free_movable_pages;
