//! Free memory: how much, in what fragments, and what compaction makes of them.

use std::fmt::Write;

/// Pages of the blocks that a balloon reports to the host.
pub const LARGE_BLOCK: u64 = 1 << LARGE_ORDER;
const LARGE_ORDER: u32 = 9;
/// The kernel counts no further in one cell of `pagetypeinfo`.
const MOST_COUNTED: u64 = 100_000;

/// In pages.
#[derive(Clone, Debug)]
pub struct Memory {
    pub total: u64,
    free: u64,
    /// Of those that are free, in blocks smaller than [`LARGE_BLOCK`].
    fragments: u64,
    /// Fragments that cannot be moved together.
    pub immovable: u64,
    pub compactions: u64,
}

impl Memory {
    /// All of it free, in large blocks.
    pub fn new(total: u64) -> Self {
        Self {
            total,
            free: total,
            fragments: 0,
            immovable: 0,
            compactions: 0,
        }
    }

    pub fn free_pages(&self) -> u64 {
        self.free
    }

    pub fn fragments(&self) -> u64 {
        self.fragments
    }

    /// Free pages that a balloon can hand back to the host.
    pub fn reportable(&self) -> u64 {
        self.free - self.fragments
    }

    /// Small blocks first; large ones are broken up when there are no more.
    pub fn allocate(&mut self, pages: u64) {
        let pages = pages.min(self.free);
        let broken = pages
            .saturating_sub(self.fragments)
            .next_multiple_of(LARGE_BLOCK);
        self.free -= pages;
        self.fragments = (self.fragments + broken - pages).min(self.free);
    }

    /// Pages of reclaim lie here and there.
    pub fn release(&mut self, pages: u64) {
        self.free = (self.free + pages).min(self.total);
        self.fragments = (self.fragments + pages).min(self.free);
    }

    /// Moves so many pages together.
    pub fn compact(&mut self, pages: u64) {
        let movable = self.fragments.saturating_sub(self.immovable);
        self.fragments -= movable.min(pages);
    }

    /// Whether compaction can do no more.
    pub fn is_compact(&self) -> bool {
        self.fragments <= self.immovable
    }

    /// `/proc/pagetypeinfo`, of one zone.
    pub fn pagetypeinfo(&self) -> String {
        let mut text = String::from(
            "Page block order: 9\nPages per block:  512\n\n\
             Free pages count per migrate type at order       0      1      2      3      4      5      6      7      8      9     10 \n\
             Node    0, zone   Normal, type    Unmovable      3      1      0      0      0      0      0      0      0      0      0 \n\
             Node    0, zone   Normal, type      Movable ",
        );
        for (order, blocks) in self.blocks().into_iter().enumerate() {
            let blank = if order == 0 { "" } else { " " };
            if blocks > MOST_COUNTED {
                let _ = write!(text, "{blank}>{MOST_COUNTED}");
            } else {
                let _ = write!(text, "{blank}{blocks:>6}");
            }
        }
        text.push_str(
            " \n\nNumber of blocks type     Unmovable      Movable \n\
             Node 0, zone   Normal            9         1000 \n",
        );
        text
    }

    /// The lines of `/proc/meminfo` that matter.
    pub fn meminfo(&self, swap_total: u64, swap_free: u64) -> String {
        let kb = |pages: u64| pages * 4;
        format!(
            "MemTotal:       {:>8} kB\nMemFree:        {:>8} kB\nMemAvailable:   {:>8} kB\n\
             SwapTotal:      {:>8} kB\nSwapFree:       {:>8} kB\n",
            kb(self.total),
            kb(self.free),
            kb(self.free),
            kb(swap_total),
            kb(swap_free)
        )
    }

    /// Free blocks by order: half of the fragments are single pages as far as those are counted, the
    /// others as large as can be.
    fn blocks(&self) -> [u64; 11] {
        let mut blocks = [0; 11];
        let single = (self.fragments / 2).min(MOST_COUNTED - 1);
        let mut rest = self.fragments - single;
        for order in (0..LARGE_ORDER).rev() {
            // The kernel would have merged more of them.
            let most = if order == LARGE_ORDER - 1 {
                u64::MAX
            } else {
                3
            };
            let count = (rest >> order).min(most);
            blocks[order as usize] = count;
            rest -= count << order;
        }
        blocks[0] += single + rest;
        blocks[LARGE_ORDER as usize] = self.reportable() / LARGE_BLOCK % 2;
        blocks[LARGE_ORDER as usize + 1] = self.reportable() / LARGE_BLOCK / 2;
        blocks
    }
}
