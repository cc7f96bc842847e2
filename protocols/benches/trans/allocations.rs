//! Counts the allocations of a closure.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

thread_local! {
    /// Calls and bytes of this thread. A thread-local, because criterion has threads of its own.
    static COUNTED: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

struct Counting;

fn count(bytes: usize) {
    // Not while the thread goes away: then nobody counts any more.
    let _ = COUNTED.try_with(|counted| {
        let (calls, total) = counted.get();
        counted.set((calls + 1, total + bytes));
    });
}

// SAFETY: every call goes to the system's allocator unchanged; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: the caller keeps the contract of `GlobalAlloc::realloc`.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::dealloc`.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `run` returns, the number of allocations that it makes, reallocations included, and their
/// bytes.
pub(crate) fn of<T>(run: impl FnOnce() -> T) -> (T, usize, usize) {
    COUNTED.set((0, 0));
    let result = run();
    let (calls, bytes) = COUNTED.get();
    (result, calls, bytes)
}
