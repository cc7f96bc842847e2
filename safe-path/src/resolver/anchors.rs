//! The open directories on the way from the root to where a walk is.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Most descriptors that one walk holds, the root aside.
pub(crate) const MAX_ANCHORS: usize = 32;

/// Open directories by the length in bytes of their resolved path, ascending.
///
/// Not every directory on the way has one. When there are too many, the one whose loss costs least
/// is closed, so that gaps grow with the distance from the end: going up `n` levels then re-opens
/// about `n` directories, however deep the tree is (W1, descriptor budget).
#[derive(Default)]
pub(crate) struct Anchors(Vec<Anchor>);

struct Anchor {
    length: usize,
    fd: OwnedFd,
}

impl Anchors {
    /// The last open directory, or `root` with length 0.
    pub(crate) fn last<'a>(&'a self, root: BorrowedFd<'a>) -> (usize, BorrowedFd<'a>) {
        self.0
            .last()
            .map_or((0, root), |anchor| (anchor.length, anchor.fd.as_fd()))
    }

    /// Appends the directory whose resolved path is `length` bytes long.
    pub(crate) fn push(&mut self, length: usize, fd: OwnedFd) {
        if self.0.len() >= MAX_ANCHORS {
            self.thin_out(length);
        }
        self.0.push(Anchor { length, fd });
    }

    /// Closes everything below the path of `length` bytes.
    pub(crate) fn truncate(&mut self, length: usize) {
        while self.0.last().is_some_and(|anchor| anchor.length > length) {
            self.0.pop();
        }
    }

    /// Takes the last open directory, unless that is the root.
    pub(crate) fn pop(&mut self) -> Option<OwnedFd> {
        self.0.pop().map(|anchor| anchor.fd)
    }

    /// Closes the anchor that leaves the smallest gap for its distance from `end`.
    fn thin_out(&mut self, end: usize) {
        let mut cheapest = None;
        let mut below = 0;
        let followers = self
            .0
            .iter()
            .skip(1)
            .map(|anchor| anchor.length)
            .chain([end]);
        for (index, (anchor, above)) in self.0.iter().zip(followers).enumerate() {
            let gap = above.saturating_sub(below) as u128;
            let distance = end.saturating_sub(anchor.length) as u128;
            below = anchor.length;
            // gap / distance < best.gap / best.distance
            let better = cheapest.is_none_or(|(_, best_gap, best_distance)| {
                gap * best_distance < best_gap * distance
            });
            if better {
                cheapest = Some((index, gap, distance));
            }
        }
        if let Some((index, ..)) = cheapest {
            self.0.remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor() -> OwnedFd {
        std::fs::File::open("/dev/null").unwrap().into()
    }

    #[test]
    fn gaps_grow_with_the_distance_from_the_end() {
        let mut anchors = Anchors::default();
        for depth in 1..=5000 {
            anchors.push(2 * depth, descriptor());
        }
        assert_eq!(anchors.0.len(), MAX_ANCHORS);
        let lengths: Vec<usize> = anchors.0.iter().map(|anchor| anchor.length).collect();
        assert_eq!(lengths.last(), Some(&10_000));
        for pair in lengths.windows(2) {
            let (gap, distance) = (pair[1] - pair[0], 10_000 - pair[0]);
            assert!(gap <= distance, "{lengths:?}");
            assert!(gap <= 2 + distance * 3 / 4, "{lengths:?}");
        }
    }

    #[test]
    fn truncating_keeps_what_lies_on_the_way() {
        let mut anchors = Anchors::default();
        let root = descriptor();
        for length in [2, 4, 9] {
            anchors.push(length, descriptor());
        }
        anchors.truncate(8);
        assert_eq!(anchors.last(root.as_fd()).0, 4);
        anchors.truncate(0);
        assert_eq!(anchors.last(root.as_fd()).0, 0);
    }
}
