//! `State::to_json` allocates its result once, with the exact size.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use runtime_spec::{ContainerState, State};

/// The system's allocator, which notes what a thread allocates.
struct Counting;

thread_local! {
    /// How often this thread has allocated or reallocated, and how many bytes last.
    static ALLOCATED: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

fn note(size: usize) {
    let (times, _) = ALLOCATED.get();
    ALLOCATED.set((times + 1, size));
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn state(annotations: usize) -> State {
    State {
        version: "1.2.0".to_owned(),
        id: "quote \" and line\n".to_owned(),
        status: ContainerState::Running,
        pid: i32::MIN,
        bundle: "/run/bündel".to_owned(),
        annotations: (0..annotations)
            .map(|i| (format!("key\t{i}"), format!("value\0{i}")))
            .collect(),
    }
}

/// The document, how often it allocated, and how many bytes the last time.
fn count(state: &State) -> (String, usize, usize) {
    let (before, _) = ALLOCATED.get();
    let json = state.to_json();
    let (after, last) = ALLOCATED.get();
    (json, after - before, last)
}

#[test]
fn up_to_32_annotations_take_one_allocation_of_the_exact_size() {
    for annotations in [0, 1, 10, 31, 32] {
        let state = state(annotations);
        let (json, times, bytes) = count(&state);
        assert_eq!((times, bytes), (1, json.len()), "{annotations} annotations");
        assert_eq!(json.capacity(), json.len());
        assert_eq!(serde_json::from_str::<State>(&json).unwrap(), state);
    }
}

#[test]
fn more_annotations_take_one_allocation_to_sort_them() {
    for annotations in [33, 1000] {
        let state = state(annotations);
        let (json, times, bytes) = count(&state);
        assert_eq!((times, bytes), (2, json.len()), "{annotations} annotations");
        assert_eq!(json, serde_json::to_string(&state).unwrap());
    }
}

#[test]
fn counter_sees_every_allocation() {
    let (before, _) = ALLOCATED.get();
    let mut text = String::with_capacity(7);
    assert_eq!(ALLOCATED.get(), (before + 1, 7));
    text.reserve_exact(100);
    assert_eq!(ALLOCATED.get(), (before + 2, 100));
    drop(text);
}
