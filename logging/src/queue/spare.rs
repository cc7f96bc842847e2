//! Chunks that are empty, to be used again.

use crate::chunk::{CHUNK, Chunk};

/// Chunks that are kept in any case.
pub(super) const KEPT: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Spare {
    chunks: Vec<Chunk>,
    /// The memory that they take.
    size: usize,
    /// How few there have been since the last [`release`](Self::release): so many were of no use.
    fewest: usize,
}

impl Spare {
    pub(super) fn take(&mut self) -> Option<Chunk> {
        let chunk = self.chunks.pop()?;
        self.size = self.size.saturating_sub(chunk.size());
        self.fewest = self.fewest.min(self.chunks.len());
        Some(chunk)
    }

    /// Keeps a chunk, if it is one for any record.
    pub(super) fn put(&mut self, mut chunk: Chunk) {
        if chunk.bytes.capacity() == CHUNK {
            chunk.clear();
            self.size += chunk.size();
            self.chunks.push(chunk);
        }
    }

    /// Gives back as many as it takes for the others to have no more than that size.
    pub(super) fn limit(&mut self, size: usize) {
        while self.size > size && self.take().is_some() {}
    }

    /// Gives back those that were of no use since the last time, but keeps some.
    pub(super) fn release(&mut self) {
        self.keep(self.chunks.len().saturating_sub(self.fewest));
        self.fewest = self.chunks.len();
    }

    /// Gives back all but some.
    pub(super) fn release_all(&mut self) {
        self.keep(0);
    }

    fn keep(&mut self, count: usize) {
        while self.chunks.len() > count.max(KEPT) && self.take().is_some() {}
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.size
    }

    #[cfg(test)]
    pub(super) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }
}
