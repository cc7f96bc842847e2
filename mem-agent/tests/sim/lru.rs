//! The generations of one memory cgroup on one NUMA node
//! ([Multi-Gen LRU](https://docs.kernel.org/mm/multigen_lru.html)).

use std::collections::VecDeque;
use std::time::Duration;

use super::profile::Reclaim;

/// Index of anonymous pages.
pub const ANON: usize = 0;
/// Index of file pages.
pub const FILE: usize = 1;

/// The two youngest generations are never evicted from.
pub const MIN_NR_GENS: u64 = 2;
pub const MAX_NR_GENS: u64 = 4;

/// Pages that one step of eviction takes in older kernels.
const STEP: u64 = 64;

/// Pages that were made, or found in use, at about the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    pub born: Duration,
    /// Anonymous pages and file pages.
    pub pages: [u64; 2],
}

/// A `lruvec`.
#[derive(Clone, Debug)]
pub struct Lru {
    max_seq: u64,
    min_seq: [u64; 2],
    /// From the lower one of `min_seq` to `max_seq`.
    generations: VecDeque<Generation>,
    /// Thousandths of each older generation that are in use between two agings.
    pub hot: [u64; 2],
    /// Pages that are always in use. Those that are missing come back when time goes by.
    pub working_set: [u64; 2],
    /// Pages that come back too, although aging does not find them in use.
    pub unseen: [u64; 2],
    /// Thousandths of the pages to be evicted that move to the next generation instead.
    pub protected: [u64; 2],
    /// Evicted pages that nobody has asked for yet.
    pub shadows: [u64; 2],
    /// By commands: pages freed.
    pub freed: [u64; 2],
    /// By commands: pages moved to the next generation.
    pub moved: [u64; 2],
    /// By commands: new generations.
    pub agings: u64,
    protected_carry: [u64; 2],
}

/// What an eviction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evicted {
    pub freed: [u64; 2],
    pub moved: [u64; 2],
}

impl Evicted {
    pub fn scanned(&self) -> u64 {
        self.freed.iter().chain(&self.moved).sum()
    }
}

impl Lru {
    /// Four empty generations, as those of a new cgroup.
    pub fn new(now: Duration) -> Self {
        Self::with_generations(
            0,
            vec![
                Generation {
                    born: now,
                    pages: [0, 0]
                };
                MAX_NR_GENS as usize
            ],
        )
    }

    /// These generations, from the oldest, of which the first has this number.
    pub fn with_generations(min_seq: u64, generations: Vec<Generation>) -> Self {
        assert!(generations.len() as u64 >= MIN_NR_GENS);
        Self {
            max_seq: min_seq + generations.len() as u64 - 1,
            min_seq: [min_seq; 2],
            generations: generations.into(),
            hot: [0, 0],
            working_set: [0, 0],
            unseen: [0, 0],
            protected: [0, 0],
            shadows: [0, 0],
            freed: [0, 0],
            moved: [0, 0],
            agings: 0,
            protected_carry: [0, 0],
        }
    }

    pub fn max_seq(&self) -> u64 {
        self.max_seq
    }

    /// Number of the first line: the lower one of both types.
    pub fn min_seq(&self) -> u64 {
        self.min_seq[ANON].min(self.min_seq[FILE])
    }

    pub fn min_seq_of(&self, kind: usize) -> u64 {
        self.min_seq[kind]
    }

    /// Numbers and generations, from the oldest.
    pub fn rows(&self) -> impl Iterator<Item = (u64, &Generation)> {
        (self.min_seq()..).zip(&self.generations)
    }

    /// Pages of the first line.
    pub fn oldest(&self) -> [u64; 2] {
        self.generations[0].pages
    }

    /// When the youngest generation was made.
    pub fn youngest_born(&self) -> Duration {
        self.generations[self.generations.len() - 1].born
    }

    pub fn resident(&self, kind: usize) -> u64 {
        self.generations.iter().map(|g| g.pages[kind]).sum()
    }

    /// Pages that are in use and not in memory.
    pub fn missing(&self, kind: usize) -> u64 {
        let wanted = self.working_set[kind].max(self.unseen[kind]);
        wanted.saturating_sub(self.resident(kind))
    }

    fn all(&self) -> u64 {
        self.resident(ANON) + self.resident(FILE)
    }

    /// Makes a new generation, and moves what is in use there. Anonymous pages are not looked at
    /// unless `can_swap`.
    pub fn age(&mut self, now: Duration, can_swap: bool) {
        for kind in [ANON, FILE] {
            if self.max_seq + 1 - self.min_seq[kind] == MAX_NR_GENS {
                let oldest = self.index(self.min_seq[kind]);
                let pages = std::mem::take(&mut self.generations[oldest].pages[kind]);
                self.generations[oldest + 1].pages[kind] += pages;
                self.min_seq[kind] += 1;
            }
        }
        self.max_seq += 1;
        self.generations.push_back(Generation {
            born: now,
            pages: [0, 0],
        });
        self.trim();
        self.agings += 1;
        let kinds: &[usize] = if can_swap { &[ANON, FILE] } else { &[FILE] };
        for kind in kinds {
            self.rejuvenate(*kind);
        }
    }

    fn rejuvenate(&mut self, kind: usize) {
        let last = self.generations.len() - 1;
        let mut young = 0;
        for generation in self.generations.range_mut(..last) {
            let used = generation.pages[kind] * self.hot[kind] / 1000;
            generation.pages[kind] -= used;
            young += used;
        }
        for generation in self.generations.range_mut(..last).rev() {
            let missing = self.working_set[kind].saturating_sub(young);
            let used = generation.pages[kind].min(missing);
            generation.pages[kind] -= used;
            young += used;
        }
        self.generations[last].pages[kind] += young;
    }

    /// Evicts from the generations up to `seq`. `swappiness` is 0 for file pages only, 200 for
    /// anonymous ones only. Pages that cannot be swapped out move to the next generation.
    pub fn evict(
        &mut self,
        seq: u64,
        swappiness: u64,
        most: u64,
        reclaim: Reclaim,
        swap_free: &mut u64,
    ) -> Evicted {
        let mut done = Evicted::default();
        loop {
            let pages = match reclaim {
                Reclaim::InStepsOf64 if done.freed.iter().sum::<u64>() < most => STEP,
                Reclaim::InStepsOf64 => break,
                Reclaim::ScansAtMost => (most - done.scanned()).min(self.all()),
            };
            let before = done.scanned();
            let anon = pages * swappiness / 200;
            let mut left = pages;
            left -= self.scan(ANON, anon, seq, swap_free, &mut done);
            left -= self.scan(FILE, pages - anon, seq, swap_free, &mut done);
            if (1..200).contains(&swappiness) {
                left -= self.scan(FILE, left, seq, swap_free, &mut done);
                self.scan(ANON, left, seq, swap_free, &mut done);
            }
            if done.scanned() == before {
                break;
            }
        }
        self.advance_min_seq();
        for kind in [ANON, FILE] {
            self.freed[kind] += done.freed[kind];
            self.moved[kind] += done.moved[kind];
            self.shadows[kind] += done.freed[kind];
        }
        done
    }

    /// Returns how many pages were taken off.
    fn scan(
        &mut self,
        kind: usize,
        most: u64,
        seq: u64,
        swap_free: &mut u64,
        done: &mut Evicted,
    ) -> u64 {
        let mut scanned = 0;
        for number in self.min_seq[kind]..=seq {
            let index = self.index(number);
            let taken = self.generations[index].pages[kind].min(most - scanned);
            let carry = self.protected_carry[kind] + taken * self.protected[kind];
            let mut kept = carry / 1000;
            self.protected_carry[kind] = carry % 1000;
            if kind == ANON {
                kept = kept.max(taken.saturating_sub(*swap_free));
                *swap_free -= taken - kept;
            }
            self.generations[index].pages[kind] -= taken;
            self.generations[index + 1].pages[kind] += kept;
            done.freed[kind] += taken - kept;
            done.moved[kind] += kept;
            scanned += taken;
            if scanned == most {
                break;
            }
        }
        scanned
    }

    /// Adds pages to the youngest generation.
    pub fn add(&mut self, kind: usize, pages: u64) {
        let last = self.generations.len() - 1;
        self.generations[last].pages[kind] += pages;
    }

    /// Adds file pages that nobody has mapped: they begin in the oldest generation.
    pub fn read_ahead(&mut self, pages: u64) {
        let oldest = self.index(self.min_seq[FILE]);
        self.generations[oldest].pages[FILE] += pages;
    }

    /// Takes pages away, as when a file is removed or a process ends: from the youngest generation
    /// first. Returns how many there were.
    pub fn free(&mut self, kind: usize, pages: u64) -> u64 {
        let mut left = pages;
        for generation in self.generations.iter_mut().rev() {
            let taken = generation.pages[kind].min(left);
            generation.pages[kind] -= taken;
            left -= taken;
        }
        pages - left
    }

    /// Read-ahead or swap-in puts anonymous pages into the oldest generation while file pages leave
    /// it (D10). Returns how many came and went.
    pub fn anon_for_file(&mut self, pages: u64) -> [u64; 2] {
        let (seq, index) = (self.min_seq(), 0);
        let file = self.generations[index].pages[FILE].min(pages);
        self.generations[index].pages[FILE] -= file;
        if self.min_seq[ANON] > seq {
            return [0, file];
        }
        self.generations[index].pages[ANON] += pages;
        [pages, file]
    }

    /// The kernel reclaims by itself: the oldest generation is gone. Returns the pages that it had.
    pub fn lose_oldest(&mut self) -> [u64; 2] {
        if self.max_seq - self.min_seq() < MIN_NR_GENS {
            return [0, 0];
        }
        let lost = std::mem::take(&mut self.generations[0].pages);
        self.advance_min_seq();
        lost
    }

    /// Panics if the parts do not fit together.
    pub fn check(&self) {
        assert_eq!(
            self.generations.len() as u64,
            self.max_seq - self.min_seq() + 1
        );
        for kind in [ANON, FILE] {
            let generations = self.max_seq - self.min_seq[kind] + 1;
            assert!((MIN_NR_GENS..=MAX_NR_GENS).contains(&generations));
            for (seq, generation) in self.rows() {
                assert!(seq >= self.min_seq[kind] || generation.pages[kind] == 0);
            }
        }
    }

    fn advance_min_seq(&mut self) {
        for kind in [ANON, FILE] {
            while self.min_seq[kind] + MIN_NR_GENS <= self.max_seq
                && self.generations[self.index(self.min_seq[kind])].pages[kind] == 0
            {
                self.min_seq[kind] += 1;
            }
        }
        self.trim();
    }

    fn index(&self, seq: u64) -> usize {
        (seq + self.generations.len() as u64 - 1 - self.max_seq) as usize
    }

    fn trim(&mut self) {
        let rows = (self.max_seq - self.min_seq() + 1) as usize;
        while self.generations.len() > rows {
            self.generations.pop_front();
        }
    }
}
