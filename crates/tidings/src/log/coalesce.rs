use std::sync::Arc;

use bytes::Bytes;

use super::frame::Frame;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// A chunk is closed once it has this many bytes; a larger event is a chunk of its own.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024;

/// Several frames as one run of bytes, written once and sent to every client whose cursor is in its range.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// All frames after this offset…
    from: u64,
    /// …up to and including this one.
    to: u64,
    /// When it was written, in milliseconds of the clock.
    pub(crate) at: u64,
    /// What had been published before it was written, up to this offset at least: no frame of it was superseded by then.
    pub(crate) seen: u64,
    bytes: Bytes,
    index: Box<[Entry]>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    offset: u64,
    position: Option<u64>,
    start: usize,
}

/// What a client is sent next.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) bytes: Bytes,
    /// Of a chunk, whose memory has a budget of its own.
    pub(crate) is_chunk: bool,
    pub(crate) events: usize,
    /// The cursor after the slice.
    pub(crate) to: u64,
    /// The newest public position in the slice, if it has any.
    pub(crate) position: Option<u64>,
    /// The only topic that it has events of, by its index in the feed.
    pub(crate) topic: Option<u32>,
}

impl Slice {
    pub(crate) fn of(frame: &Frame) -> Self {
        Self {
            bytes: frame.bytes.clone(),
            is_chunk: false,
            events: 1,
            to: frame.offset,
            position: frame.position,
            topic: None,
        }
    }
}

impl Chunk {
    /// Writes frames, in their order, as one run of bytes, if the budget allows it.
    pub(crate) fn write(
        frames: &[Frame],
        (from, to): (u64, u64),
        (at, seen): (u64, u64),
        budget: &Budget,
    ) -> Option<Self> {
        let size = frames.iter().map(|frame| frame.bytes.len()).sum();
        let reservation = budget.reserve(size)?;
        let mut bytes = Vec::with_capacity(size);
        let index = frames
            .iter()
            .map(|frame| {
                let start = bytes.len();
                bytes.extend_from_slice(&frame.bytes);
                Entry { offset: frame.offset, position: frame.position, start }
            })
            .collect();
        let bytes = Bytes::from_owner(Counted { bytes, _reservation: reservation });
        Some(Self { from, to, at, seen, bytes, index })
    }

    pub(crate) fn covers(&self, cursor: u64) -> bool {
        self.from <= cursor && cursor < self.to
    }

    pub(crate) fn to(&self) -> u64 {
        self.to
    }

    /// The part after `cursor` and up to `limit`; `None` when that holds no event.
    pub(crate) fn between(&self, cursor: u64, limit: u64) -> Option<Slice> {
        let first = self.index.partition_point(|entry| entry.offset <= cursor);
        let end = self.index.partition_point(|entry| entry.offset <= limit);
        let part = self.index.get(first..end)?;
        let end = self.index.get(end).map_or(self.bytes.len(), |entry| entry.start);
        Some(Slice {
            bytes: self.bytes.slice(part.first()?.start..end),
            is_chunk: true,
            events: part.len(),
            to: self.to.min(limit),
            position: part.iter().rev().find_map(|entry| entry.position),
            topic: None,
        })
    }
}

/// Bounds the memory of all chunks that exist, in a cache or in a stalled connection.
///
/// A chunk lives as long as its slowest reader holds a slice of it. Ten thousand clients that stall at
/// different moments could each hold a different one. So above the budget nothing is coalesced, and readers
/// get the log's own frames, one at a time. No more frames are collected than the budget has room for:
/// collecting a thousand in order to send one would make each read cost as much as a chunk.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    used: Arc<AtomicUsize>,
    limit: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self { used: Arc::new(AtomicUsize::new(0)), limit }
    }

    /// How large the next chunk may be; never 0, so that the next event always fits.
    pub(crate) fn room(&self) -> usize {
        let left = self.limit.saturating_sub(self.used.load(Ordering::Relaxed));
        left.clamp(1, CHUNK_BYTES)
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn reserve(&self, size: usize) -> Option<Reservation> {
        let used = self.used.fetch_add(size, Ordering::Relaxed);
        let reservation = Reservation { used: self.used.clone(), size };
        (used.saturating_add(size) <= self.limit).then_some(reservation)
    }
}

/// Gives its bytes back to the budget when it is dropped.
#[derive(Debug)]
struct Reservation {
    used: Arc<AtomicUsize>,
    size: usize,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.used.fetch_sub(self.size, Ordering::Relaxed);
    }
}

struct Counted {
    bytes: Vec<u8>,
    _reservation: Reservation,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pinned::Pinned;

    fn frame(offset: u64) -> Frame {
        let bytes = format!("data: {offset}\n\n").into_bytes();
        Frame::new(offset, Some(offset), 0, bytes, None, &Pinned::new(0))
    }

    fn chunk(offsets: &[u64], range: (u64, u64), budget: &Budget) -> Option<Chunk> {
        let frames: Vec<_> = offsets.iter().map(|offset| frame(*offset)).collect();
        Chunk::write(&frames, range, (0, range.1), budget)
    }

    #[test]
    fn a_slice_begins_after_the_cursor_and_ends_at_the_limit() {
        let chunk = chunk(&[3, 5, 9], (2, 10), &Budget::new(1_000)).unwrap();
        for (cursor, expected) in [
            (2, "data: 3\n\ndata: 5\n\ndata: 9\n\n"),
            (3, "data: 5\n\ndata: 9\n\n"),
            (4, "data: 5\n\ndata: 9\n\n"),
            (8, "data: 9\n\n"),
        ] {
            assert!(chunk.covers(cursor));
            assert_eq!(chunk.between(cursor, 10).unwrap().bytes, expected.as_bytes());
        }
        assert!(chunk.between(9, 10).is_none());
        for (limit, expected, to) in [
            (3, "data: 3\n\n", 3),
            (8, "data: 3\n\ndata: 5\n\n", 8),
            (20, "data: 3\n\ndata: 5\n\ndata: 9\n\n", 10),
        ] {
            let slice = chunk.between(2, limit).unwrap();
            assert_eq!((&*slice.bytes, slice.to), (expected.as_bytes(), to));
        }
        assert!(chunk.between(3, 4).is_none() && chunk.between(5, 3).is_none());
        assert!(!chunk.covers(1) && !chunk.covers(10));
    }

    #[test]
    fn the_budget_counts_until_the_last_slice_is_dropped() {
        let budget = Budget::new(20);
        let chunk_a = chunk(&[1, 2], (0, 2), &budget).unwrap();
        let slice = chunk_a.between(1, 2).unwrap();
        drop(chunk_a);
        assert_eq!(budget.used(), 18);
        assert!(chunk(&[3], (2, 3), &budget).is_none());
        assert_eq!(budget.used(), 18, "a refused reservation is given back");
        drop(slice);
        assert_eq!(budget.used(), 0);
        assert!(chunk(&[3], (2, 3), &budget).is_some());
    }
}
