//! Names in a row, to be descended by one openat2 call.

use super::pending::{Cursor, Pending};
use super::walk::NAME_MAX;
use crate::lexical::{Component, push_name};

/// Most names that one call is asked to descend.
pub(super) const MAX_NAMES: usize = 64;

/// From how many bytes on no name is added: with another one, well below `PATH_MAX`.
const ENOUGH_BYTES: usize = 2048;

/// The names ahead up to the next `..`.
#[derive(Default)]
pub(super) struct Run {
    /// `/name` for each.
    names: Vec<u8>,
    /// Where each name ends: in `names`, and in what is pending.
    stops: Vec<(usize, Cursor)>,
    is_all: bool,
}

impl Run {
    /// Finds the names ahead that can be given to one call.
    pub(super) fn gather(&mut self, pending: &Pending<'_>) {
        self.names.clear();
        self.stops.clear();
        self.is_all = false;
        let mut cursor = pending.cursor();
        while self.stops.len() < MAX_NAMES && self.names.len() < ENOUGH_BYTES {
            match pending.next(&mut cursor) {
                Some(Component::Name(name)) if name.len() <= NAME_MAX => {
                    push_name(&mut self.names, name);
                    self.stops.push((self.names.len(), cursor));
                }
                Some(Component::Name(_)) => return,
                Some(Component::Parent) => {
                    self.stops.pop(); // a single step does not open what `..` leaves at once
                    return;
                }
                None => {
                    self.is_all = true;
                    return;
                }
            }
        }
    }

    /// How many names there are.
    pub(super) fn count(&self) -> usize {
        self.stops.len()
    }

    /// Whether nothing is pending behind the run.
    pub(super) fn is_all(&self) -> bool {
        self.is_all
    }

    /// `/name` for each name from number `start` to before `end`.
    pub(super) fn names(&self, start: usize, end: usize) -> &[u8] {
        let length = |count: usize| {
            count
                .checked_sub(1)
                .and_then(|last| self.stops.get(last))
                .map_or(0, |stop| stop.0)
        };
        self.names
            .get(length(start)..length(end))
            .unwrap_or_default()
    }

    /// What is pending behind the first `count` names.
    pub(super) fn end(&self, count: usize) -> Option<Cursor> {
        self.stops.get(count.checked_sub(1)?).map(|stop| stop.1)
    }
}

/// How much of `a/b/c` one call is asked to descend.
pub(super) fn length_of_one_call(names: &[u8]) -> usize {
    let separators = names.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    let mut length = 0;
    for (count, (position, _)) in separators.enumerate() {
        if length > 0 && (count >= MAX_NAMES || position > ENOUGH_BYTES) {
            return length;
        }
        length = position;
    }
    if length > 0 && names.len() > ENOUGH_BYTES {
        length
    } else {
        names.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_before_the_name_that_is_left_at_once() {
        for (path, names, is_all) in [
            ("a/b/c", "/a/b/c", true),
            ("/a//b/./", "/a/b", true),
            ("a/b/../c", "/a", false),
            ("a/../c", "", false),
        ] {
            let pending = Pending::new(path.as_bytes());
            let mut run = Run::default();
            run.gather(&pending);
            assert_eq!(run.names(0, run.count()), names.as_bytes(), "{path}");
            assert_eq!(run.is_all(), is_all, "{path}");
        }
    }

    #[test]
    fn a_run_fits_into_one_call() {
        for (name, count) in [("a", 1000), (&*"n".repeat(255), 100)] {
            let path = vec![name; count].join("/");
            let pending = Pending::new(path.as_bytes());
            let mut run = Run::default();
            run.gather(&pending);
            assert!(run.count() > 1 && run.count() <= MAX_NAMES);
            let run = run.names(0, run.count()).len();
            let call = length_of_one_call(path.as_bytes());
            assert!(run.max(call) < libc::PATH_MAX as usize, "{run} {call}");
            assert!(call > name.len() && path.as_bytes()[call] == b'/');
        }
        assert_eq!(length_of_one_call(b"a/b"), 3);
        assert_eq!(length_of_one_call(b"a"), 1);
    }
}
