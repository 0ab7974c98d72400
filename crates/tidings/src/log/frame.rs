use std::sync::Arc;

use bytes::Bytes;

use crate::pinned::{Kept, Pinned};

/// One encoded event in a topic's log: its bytes on the wire, and its two numbers.
///
/// The *offset* is this hub's own number: dense over all its events, ephemeral ones included. Cursors are
/// offsets. The *position* is the public number, in the event's id. It is what a client remembers, so
/// ephemeral events have none and never move a client.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) offset: u64,
    /// `None`: ephemeral.
    pub(crate) position: Option<u64>,
    /// When it was published, in milliseconds of the hub's clock.
    pub(crate) at: u64,
    pub(crate) bytes: Bytes,
    /// Of a large one: it is not pinned as long as any log has it.
    _kept: Option<Arc<Kept>>,
}

impl Frame {
    /// What a frame costs in addition to its bytes: the ring's entry and the allocation.
    const OVERHEAD: usize = size_of::<Frame>() + 48;

    pub(crate) fn new(
        offset: u64,
        position: Option<u64>,
        at: u64,
        bytes: Vec<u8>,
        pinned: &Arc<Pinned>,
    ) -> Self {
        let (bytes, kept) = pinned.keep(bytes);
        Self { offset, position, at, bytes, _kept: kept }
    }

    /// The bytes of memory that budgets count for this frame.
    pub(crate) fn cost(&self) -> usize {
        self.bytes.len() + Self::OVERHEAD
    }
}
