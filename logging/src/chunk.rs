//! Rendered records, one behind the other, so that a text destination takes many with one `write`.

use slog::Level;

/// Bytes of a chunk, unless a single record is larger.
pub(crate) const CHUNK: usize = 64 << 10;

/// Records that a chunk has room for from the beginning.
const FRAMES: usize = 256;

/// What a record takes besides its bytes.
pub(crate) const OVERHEAD: usize = size_of::<Frame>();

/// The memory that a chunk may take which costs that much.
pub(crate) const fn with_slack(cost: usize) -> usize {
    cost + cost / 4
}

/// One record within a chunk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    /// Where it ends in the chunk; it begins where the one before ends.
    pub(crate) end: usize,
    /// Length of its first part, if its format has two.
    pub(crate) head: usize,
    pub(crate) level: Level,
}

/// Records, one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) bytes: Vec<u8>,
    pub(crate) frames: Vec<Frame>,
}

impl Chunk {
    /// Empty, with room for a record of that length at least.
    pub(crate) fn for_record(len: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(len.max(CHUNK)),
            frames: Vec::with_capacity(FRAMES),
        }
    }

    pub(crate) fn push(&mut self, level: Level, head: usize, record: &[u8]) {
        self.bytes.extend_from_slice(record);
        self.frames.push(Frame {
            end: self.bytes.len(),
            head,
            level,
        });
    }

    /// Nothing more comes: gives back the memory that was not needed, if that is much.
    pub(crate) fn close(&mut self) {
        if self.size() > with_slack(self.cost()) {
            self.bytes.shrink_to_fit();
            self.frames.shrink_to_fit();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.frames.clear();
    }

    /// The room that it takes in the queue.
    pub(crate) fn cost(&self) -> usize {
        self.bytes.len() + self.frames.len() * OVERHEAD
    }

    /// The memory that it takes.
    pub(crate) fn size(&self) -> usize {
        self.bytes.capacity() + self.frames.capacity() * OVERHEAD
    }
}
