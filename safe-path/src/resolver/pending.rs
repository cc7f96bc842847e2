//! The components that a walk has still to visit.
//!
//! A stack of texts: the path of the caller at the bottom, and above it the unread rest of each
//! expanded symlink. Putting a link's text in front of what is pending costs nothing, so a walk is
//! linear in the bytes it reads.

use std::borrow::Cow;

use crate::lexical::{self, Component};

/// The pending components of a walk, front first.
pub(crate) struct Pending<'a> {
    /// Every frame has a component left.
    frames: Vec<Frame<'a>>,
    parents: usize,
}

/// A text, of which everything before `position` was read.
///
/// The component that is next is known, so that it is not searched for again after each link that
/// comes before it.
struct Frame<'a> {
    text: Cow<'a, [u8]>,
    /// Start of the component that is next.
    position: usize,
    /// Its end.
    end: usize,
}

impl Frame<'_> {
    /// Finds the component at or after `position`; false if there is none.
    fn seek(&mut self, position: usize) -> bool {
        self.end = position;
        let length = match lexical::next_component(&self.text, &mut self.end) {
            Some(Component::Parent) => b"..".len(),
            Some(Component::Name(name)) => name.len(),
            None => return false,
        };
        self.position = self.end.saturating_sub(length);
        true
    }

    /// The component at or after `position`, which moves behind it.
    fn next(&self, position: &mut usize) -> Option<Component<'_>> {
        if *position != self.position {
            return lexical::next_component(&self.text, position);
        }
        *position = self.end;
        match self.text.get(self.position..self.end)? {
            b".." => Some(Component::Parent),
            name => Some(Component::Name(name)),
        }
    }
}

/// A place between two pending components.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    frame: usize,
    position: usize,
}

impl<'a> Pending<'a> {
    pub(crate) fn new(path: &'a [u8]) -> Self {
        let mut pending = Self {
            frames: Vec::new(),
            parents: 0,
        };
        pending.push_front(Cow::Borrowed(path));
        pending
    }

    /// Puts the components of `text` in front.
    pub(crate) fn push_front(&mut self, text: Cow<'a, [u8]>) {
        self.parents += lexical::components(&text)
            .filter(|c| *c == Component::Parent)
            .count();
        let mut frame = Frame {
            text,
            position: 0,
            end: 0,
        };
        if frame.seek(0) {
            self.frames.push(frame);
        }
    }

    /// The front.
    pub(crate) fn cursor(&self) -> Cursor {
        match self.frames.last() {
            Some(top) => Cursor {
                frame: self.frames.len() - 1,
                position: top.position,
            },
            None => Cursor {
                frame: 0,
                position: 0,
            },
        }
    }

    /// The component behind `cursor`, which moves over it. Nothing is consumed.
    pub(crate) fn next(&self, cursor: &mut Cursor) -> Option<Component<'_>> {
        loop {
            let frame = self.frames.get(cursor.frame)?;
            if let Some(next) = frame.next(&mut cursor.position) {
                return Some(next);
            }
            cursor.frame = cursor.frame.checked_sub(1)?;
            cursor.position = self.frames.get(cursor.frame)?.position;
        }
    }

    /// Consumes everything before `cursor`, of which `parents` are `..`.
    pub(crate) fn consume(&mut self, cursor: Cursor, parents: usize) {
        self.parents = self.parents.saturating_sub(parents);
        self.frames.truncate(cursor.frame + 1);
        if let Some(top) = self.frames.last_mut()
            && !top.seek(cursor.position)
        {
            self.frames.pop(); // the one below has a component left, as ever
        }
    }

    /// How many `..` are pending.
    pub(crate) fn parents(&self) -> usize {
        self.parents
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(pending: &Pending<'_>) -> Vec<String> {
        let mut cursor = pending.cursor();
        std::iter::from_fn(|| {
            Some(match pending.next(&mut cursor)? {
                Component::Parent => "..".to_owned(),
                Component::Name(name) => String::from_utf8_lossy(name).into_owned(),
            })
        })
        .collect()
    }

    #[test]
    fn a_link_text_comes_before_what_was_pending() {
        let mut pending = Pending::new(b"/a/link/../z/");
        let mut cursor = pending.cursor();
        assert_eq!(pending.next(&mut cursor), Some(Component::Name(b"a")));
        assert_eq!(pending.next(&mut cursor), Some(Component::Name(b"link")));
        pending.consume(cursor, 0);
        pending.push_front(Cow::Borrowed(b"x/../y/./"));
        assert_eq!(rest(&pending), ["x", "..", "y", "..", "z"]);
        assert_eq!(pending.parents(), 2);

        let mut cursor = pending.cursor();
        for _ in 0..4 {
            pending.next(&mut cursor);
        }
        pending.consume(cursor, 2);
        assert_eq!(rest(&pending), ["z"]);
        assert_eq!(pending.parents(), 0);
    }

    #[test]
    fn read_texts_are_dropped_so_that_a_chain_of_links_does_not_pile_up() {
        let mut pending = Pending::new(b"a");
        for _ in 0..100 {
            let mut cursor = pending.cursor();
            pending.next(&mut cursor);
            pending.consume(cursor, 0);
            pending.push_front(Cow::Borrowed(b"./a//"));
            assert_eq!(pending.frames.len(), 1);
        }
    }

    #[test]
    fn what_separates_pending_components_is_read_once_and_not_after_each_link() {
        let path = format!("/l//{}x/..//./y", "./".repeat(1000));
        let mut pending = Pending::new(path.as_bytes());
        for expected in ["l//", "x/", "../", "y"] {
            let frame = &pending.frames[0];
            assert!(frame.text[frame.position..].starts_with(expected.as_bytes()));
            let mut cursor = pending.cursor();
            pending.next(&mut cursor);
            pending.consume(cursor, 0);
        }
        assert!(pending.frames.is_empty());
    }
}
