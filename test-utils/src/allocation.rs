//! How much memory the code under test takes, counted by a [`GlobalAlloc`].
//!
//! A test binary that has [`CountingAllocator`] as its global allocator can ask with
//! [`allocated_by`]. Threads are counted one by one, so that tests may run in parallel.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, which counts what each thread allocates.
///
/// ```
/// use test_utils::allocation::{CountingAllocator, allocated_by};
///
/// #[global_allocator]
/// static ALLOCATOR: CountingAllocator = CountingAllocator;
///
/// let (_, allocated) = allocated_by(|| {
///     drop(vec![0_u8; 1000]);
///     vec![0_u8; 500]
/// });
/// assert_eq!((allocated.peak, allocated.total, allocated.calls), (1000, 1500, 2));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct CountingAllocator;

/// What an action has allocated, in its own thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allocated {
    /// The most bytes that were in use at a time, beyond those in use before.
    pub peak: usize,
    /// All bytes, whether they were given back or not.
    pub total: usize,
    /// How often memory was asked for.
    pub calls: usize,
}

/// What a thread has allocated: bytes in use, and their highest number, sum and calls since the
/// last question.
#[derive(Clone, Copy)]
struct Count {
    used: usize,
    peak: usize,
    total: usize,
    calls: usize,
}

thread_local! {
    static COUNT: Cell<Count> = const {
        Cell::new(Count { used: 0, peak: 0, total: 0, calls: 0 })
    };
}

/// Runs `action`, and tells what it has allocated. What it returns counts as in use.
///
/// Nothing is counted unless [`CountingAllocator`] is the global allocator, and nothing of other
/// threads. Not to be nested.
///
/// ```
/// use test_utils::allocation::{Allocated, allocated_by};
///
/// // The global allocator is another one here.
/// let (sum, allocated) = allocated_by(|| vec![1, 2, 3].iter().sum::<i32>());
/// assert_eq!((sum, allocated), (6, Allocated::default()));
/// ```
pub fn allocated_by<T>(action: impl FnOnce() -> T) -> (T, Allocated) {
    let before = COUNT.get().used;
    COUNT.set(Count {
        used: before,
        peak: before,
        total: 0,
        calls: 0,
    });
    let value = action();
    let count = COUNT.get();
    let allocated = Allocated {
        peak: count.peak.saturating_sub(before),
        total: count.total,
        calls: count.calls,
    };
    (value, allocated)
}

fn add(size: usize) {
    // The counter is gone while the thread ends.
    let _ = COUNT.try_with(|cell| {
        let count = cell.get();
        let used = count.used.saturating_add(size);
        cell.set(Count {
            used,
            peak: count.peak.max(used),
            total: count.total.saturating_add(size),
            calls: count.calls.saturating_add(1),
        });
    });
}

fn remove(size: usize) {
    let _ = COUNT.try_with(|cell| {
        let mut count = cell.get();
        count.used = count.used.saturating_sub(size);
        cell.set(count);
    });
}

// SAFETY: every request is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Large blocks are moved by remapping their pages: old and new are never there together.
        remove(layout.size());
        add(size);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        remove(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}
