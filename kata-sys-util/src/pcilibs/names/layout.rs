//! How the hash tables of names are laid out. `build.rs` writes them.
//!
//! A table is a power of two of slots of eight bytes: a number, and the place of its name in the
//! text of all names, both little-endian. A number is in the first slot that [`first_slot`] tells,
//! or in the next free one after it; the slot after the last is the first.

/// The place of an empty slot: no name is empty.
pub(super) const EMPTY: u32 = 0;

/// How many low bits of a place are the length of the name, in bytes. The others are its offset.
const LENGTH_BITS: u32 = 10;

/// Where the search for a number begins in a table with this many slots.
pub(super) fn first_slot(number: u32, slots: usize) -> usize {
    // Fibonacci hashing: the upper half of the product depends on all bits of the number.
    let product = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let upper = (product >> 32) as usize;
    upper & slots.saturating_sub(1)
}

/// The place of a name, if the layout has room for it.
#[allow(dead_code, reason = "for build.rs and tests")]
pub(super) fn pack(offset: usize, length: usize) -> Option<u32> {
    let offset = u32::try_from(offset).ok()?;
    let length = u32::try_from(length).ok()?;
    let fits = offset < 1 << (u32::BITS - LENGTH_BITS) && length < 1 << LENGTH_BITS;
    fits.then_some(offset << LENGTH_BITS | length)
}

/// Offset and length of a name from its place.
#[allow(dead_code, reason = "for the crate")]
pub(super) fn unpack(place: u32) -> (usize, usize) {
    let length = place & ((1 << LENGTH_BITS) - 1);
    ((place >> LENGTH_BITS) as usize, length as usize)
}
