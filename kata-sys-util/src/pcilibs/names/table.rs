//! Looking up a name in one of the tables.

use super::layout::{EMPTY, first_slot, unpack};

/// Bytes of a slot.
const SLOT: usize = 8;

/// Names by number.
pub(super) struct Table<'a> {
    pub(super) slots: &'a [u8],
    /// The names of all tables.
    pub(super) names: &'a str,
}

impl<'a> Table<'a> {
    pub(super) fn get(&self, number: u32) -> Option<&'a str> {
        let (slots, _) = self.slots.as_chunks::<SLOT>();
        let (before, from_first) = slots.split_at_checked(first_slot(number, slots.len()))?;
        for slot in from_first.iter().chain(before) {
            let [a, b, c, d, place @ ..] = *slot;
            let place = u32::from_le_bytes(place);
            if place == EMPTY {
                return None;
            }
            if u32::from_le_bytes([a, b, c, d]) == number {
                let (offset, length) = unpack(place);
                return self.names.get(offset..)?.get(..length);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::layout::pack;
    use super::*;

    fn slot(number: u32, place: u32) -> [u8; SLOT] {
        let mut slot = [0; SLOT];
        slot[..4].copy_from_slice(&number.to_le_bytes());
        slot[4..].copy_from_slice(&place.to_le_bytes());
        slot
    }

    #[test]
    fn number_is_found_in_any_slot_after_its_first_and_a_full_table_ends_the_search() {
        let names = "abcdefgh";
        let place = |offset| pack(offset, 1).unwrap();
        for first in 0..8 {
            // Only the slot before the first, which is the last that is looked at, is right.
            let number = (0..).find(|n| first_slot(*n, 8) == first).unwrap();
            let mut slots = [slot(u32::MAX, place(0)); 8];
            slots[(first + 7) % 8] = slot(number, place(7));
            let table = Table {
                slots: slots.as_flattened(),
                names,
            };
            assert_eq!(table.get(number), Some("h"));
            assert_eq!(table.get(number + 1), None);
        }
    }

    #[test]
    fn empty_slot_ends_the_search() {
        let number = (0..).find(|n| first_slot(*n, 2) == 0).unwrap();
        let slots = [slot(0, EMPTY), slot(number, pack(0, 1).unwrap())];
        let table = Table {
            slots: slots.as_flattened(),
            names: "a",
        };
        assert_eq!(table.get(number), None);
        let empty = Table {
            slots: &[],
            names: "a",
        };
        assert_eq!(empty.get(number), None);
    }

    #[test]
    fn place_has_room_for_long_and_late_names_but_not_for_any() {
        for (offset, length) in [(0, 0), (1, 1023), ((1 << 22) - 1, 1)] {
            assert_eq!(unpack(pack(offset, length).unwrap()), (offset, length));
        }
        for (offset, length) in [(0, 1024), (1 << 22, 1), (usize::MAX, 1), (0, usize::MAX)] {
            assert_eq!(pack(offset, length), None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_table(
            slots in proptest::collection::vec(any::<u8>(), 0..64),
            names in ".{0,8}",
            number in any::<u32>(),
        ) {
            let table = Table { slots: &slots, names: &names };
            if let Some(name) = table.get(number) {
                prop_assert!(names.contains(name));
            }
        }
    }
}
