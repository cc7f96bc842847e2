//! A sorted set of `u32` ids, and the kernel's text form of it.
//!
//! Source: *List format* in cpuset(7).

use std::fmt::{self, Display, Formatter};
use std::ops::Deref;
use std::str::FromStr;

use crate::Error;

/// The most ids that a parsed list may name, duplicates included (D-20).
const MAX_PARSED_IDS: u64 = 1 << 20;

/// A set of ids, such as CPUs or NUMA nodes, kept sorted and free of duplicates.
///
/// It parses from, and prints as, the kernel's list format: decimal ids and inclusive ascending
/// ranges, separated by commas and without blanks. The empty text is the empty set. It dereferences
/// to the sorted slice of its ids.
///
/// ```
/// use kata_types::cpu::CpuSet;
///
/// let mut cpus: CpuSet = "0-3,8".parse()?;
/// cpus.add(4);
/// assert_eq!(&cpus[..], [0, 1, 2, 3, 4, 8]);
/// assert_eq!(cpus.to_string(), "0-4,8");
/// assert_eq!(cpus, CpuSet::from(vec![8, 4, 3, 2, 1, 0, 0]));
/// assert!("3-1".parse::<CpuSet>().is_err());
/// # Ok::<(), kata_types::Error>(())
/// ```
///
/// # Errors
/// Parsing fails with [`Error::InvalidList`] on anything else, and on lists that name more than
/// 1,048,576 ids.
#[derive(Clone, Default, Debug, PartialEq, Eq, Hash)]
pub struct U32Set(Vec<u32>);

impl U32Set {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one id.
    pub fn add(&mut self, cpu: u32) {
        if let Err(position) = self.0.binary_search(&cpu) {
            self.0.insert(position, cpu);
        }
    }

    /// Adds all ids of a slice, in any order; another set is such a slice.
    ///
    /// ```
    /// use kata_types::cpu::CpuSet;
    /// let mut cpus = CpuSet::from(vec![1, 2]);
    /// cpus.extend(&CpuSet::from(vec![2, 3]));
    /// cpus.extend(&[0]);
    /// assert_eq!(cpus, CpuSet::from(vec![0, 1, 2, 3]));
    /// ```
    pub fn extend(&mut self, cpus: &[u32]) {
        self.0.extend_from_slice(cpus);
        // The stable sort merges ascending runs, so joining two sets takes linear time.
        self.0.sort();
        self.0.dedup();
    }

    /// Whether the set has no ids.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of ids.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The ids in ascending order.
    pub fn iter(&self) -> std::slice::Iter<'_, u32> {
        self.0.iter()
    }
}

impl From<Vec<u32>> for U32Set {
    fn from(mut ids: Vec<u32>) -> Self {
        ids.sort();
        ids.dedup();
        U32Set(ids)
    }
}

impl Deref for U32Set {
    type Target = [u32];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl FromStr for U32Set {
    type Err = Error;

    fn from_str(list: &str) -> Result<Self, Self::Err> {
        parse_list(list).ok_or_else(|| Error::InvalidList(list.to_string()))
    }
}

impl Display for U32Set {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut ids = self.0.iter().copied().peekable();
        let mut separator = "";
        while let Some(first) = ids.next() {
            let mut last = first;
            while let Some(next) = ids.next_if(|next| Some(*next) == last.checked_add(1)) {
                last = next;
            }
            if first == last {
                write!(f, "{separator}{first}")?;
            } else {
                write!(f, "{separator}{first}-{last}")?;
            }
            separator = ",";
        }
        Ok(())
    }
}

fn parse_list(list: &str) -> Option<U32Set> {
    if list.is_empty() {
        return Some(U32Set::new());
    }
    // The size is known, and bounded, before the first range is expanded. A vector that grows would
    // have room for twice its items.
    let separators = list.bytes().filter(|byte| *byte == b',').count();
    let mut ranges = Vec::with_capacity(separators.saturating_add(1).min(MAX_PARSED_IDS as usize));
    let mut ids: u64 = 0;
    for item in list.split(',') {
        let (first, last) = parse_item(item)?;
        ids = ids.checked_add(u64::from(last.checked_sub(first)?).checked_add(1)?)?;
        if ids > MAX_PARSED_IDS {
            return None;
        }
        ranges.push((first, last));
    }
    Some(expand(ranges, usize::try_from(ids).ok()?))
}

/// The union of inclusive ranges, which name `ids` ids in all.
fn expand(mut ranges: Vec<(u32, u32)>, ids: usize) -> U32Set {
    if !ranges.is_sorted() {
        ranges.sort_unstable();
    }
    let mut set: Vec<u32> = Vec::with_capacity(ids);
    for (first, last) in ranges {
        let first = match set.last() {
            // Overlaps with what is there already.
            Some(highest) if *highest >= first => match highest.checked_add(1) {
                Some(next) => next,
                None => break,
            },
            _ => first,
        };
        // Nothing when the whole range is there.
        set.extend(first..=last);
    }
    U32Set(set)
}

fn parse_item(item: &str) -> Option<(u32, u32)> {
    match item.split_once('-') {
        None => {
            let id = item.parse().ok()?;
            Some((id, id))
        }
        // A second `-` stays in `last`, which then is no number.
        Some((first, last)) => {
            let (first, last) = (first.parse().ok()?, last.parse().ok()?);
            (first < last).then_some((first, last))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lists_and_ranges_parse_to_the_sorted_set() {
        for (list, ids) in [
            ("", vec![]),
            ("0", vec![0]),
            ("7,3,3", vec![3, 7]),
            ("1-2", vec![1, 2]),
            ("4-6,0,5-8", vec![0, 4, 5, 6, 7, 8]),
            ("4294967294-4294967295", vec![4294967294, 4294967295]),
            (
                "4294967295,4294967294-4294967295",
                vec![4294967294, 4294967295],
            ),
            ("0-5,1-2,4-7,3", vec![0, 1, 2, 3, 4, 5, 6, 7]),
        ] {
            assert_eq!(&list.parse::<U32Set>().unwrap()[..], ids, "{list}");
        }
    }

    #[test]
    fn malformed_lists_are_refused_whole() {
        for list in [
            ",",
            "1,",
            ",1",
            "1-1",
            "2-1",
            "1-2-3",
            "-1",
            "1-",
            "-",
            " 1",
            "1 ",
            "1\n",
            "1, 2",
            "0x1",
            "4294967296",
            "1-4294967296",
            "0-3,a",
        ] {
            let error = list.parse::<U32Set>().unwrap_err();
            assert_eq!(error.to_string(), format!("invalid list {list}"));
        }
    }

    #[test]
    fn expansion_is_bounded_before_anything_is_allocated() {
        assert_eq!("0-1048575".parse::<U32Set>().unwrap().len(), 1 << 20);
        assert!("0-1048576".parse::<U32Set>().is_err());
        assert!("0-4294967295".parse::<U32Set>().is_err());
        // Duplicates count: the bound is on work, not on the result.
        assert!("0-1048575,0".parse::<U32Set>().is_err());
        assert!(vec!["0-1048575"; 4096].join(",").parse::<U32Set>().is_err());
    }

    #[test]
    fn set_stays_sorted_and_free_of_duplicates() {
        let mut set = U32Set::new();
        for id in [5, 1, 5, 3, 1] {
            set.add(id);
        }
        assert_eq!(&set[..], [1, 3, 5]);
        set.extend(&[9, 0, 3, 9]);
        assert_eq!(&set[..], [0, 1, 3, 5, 9]);
        assert_eq!(set.iter().copied().collect::<Vec<_>>(), [0, 1, 3, 5, 9]);
        assert_eq!(set.len(), 5);
        assert!(!set.is_empty() && U32Set::new().is_empty());
        assert_eq!(U32Set::from(vec![2, 1, 2]), U32Set::from(vec![1, 2]));
        assert_ne!(U32Set::from(vec![1]), U32Set::from(vec![1, 2]));
    }

    #[test]
    fn set_extends_ordinary_collections() {
        let mut ids = std::collections::HashSet::<u32>::new();
        ids.extend(U32Set::from(vec![1, 2]).iter());
        assert_eq!(ids.len(), 2);
    }

    /// The rules of U-2 in the plainest form, without any bound.
    fn model(list: &str) -> Option<BTreeSet<u32>> {
        let mut set = BTreeSet::new();
        if list.is_empty() {
            return Some(set);
        }
        for item in list.split(',') {
            let parts: Vec<&str> = item.split('-').collect();
            match parts.as_slice() {
                [id] => {
                    set.insert(id.parse().ok()?);
                }
                [first, last] => {
                    let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
                    if first >= last {
                        return None;
                    }
                    set.extend(first..=last);
                }
                _ => return None,
            }
        }
        Some(set)
    }

    proptest! {
        #[test]
        fn parser_agrees_with_the_model(
            // Numbers of at most three digits: the model has no bound on the expansion.
            items in proptest::collection::vec("[0-9]{1,3}(-[0-9]{1,3})?|[-+ ]?[0-9]{0,3}[-+ ]?", 0..8)
        ) {
            let list = items.join(",");
            let parsed = list.parse::<U32Set>().ok().map(|set| set.to_vec());
            prop_assert_eq!(parsed, model(&list).map(|set| set.into_iter().collect::<Vec<_>>()));
        }

        #[test]
        fn printed_set_parses_back(ids in proptest::collection::vec(0u32..64, 0..40)) {
            let set = U32Set::from(ids);
            prop_assert_eq!(set.to_string().parse::<U32Set>().unwrap(), set);
        }

        #[test]
        fn no_text_panics(list in any::<String>()) {
            let _ = list.parse::<U32Set>();
        }
    }
}
