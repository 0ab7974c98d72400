use std::sync::Arc;

use bytes::Bytes;

use super::coverage::LowWatermark;
use super::reset_reason::ResetReason;
use crate::event::tags::Tags;
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
    /// What is not sent.
    pub(crate) tags: Option<Arc<Tags>>,
    /// Of a large one: it is not pinned as long as any log has it.
    _kept: Option<Arc<Kept>>,
}

impl Frame {
    /// What a frame's bytes cost in addition to themselves: the allocation, the count of their owners, and the room
    /// that the longest id would have needed.
    const OVERHEAD: usize = 72;

    pub(crate) fn new(
        offset: u64,
        position: Option<u64>,
        at: u64,
        bytes: Vec<u8>,
        tags: Option<Arc<Tags>>,
        pinned: &Arc<Pinned>,
    ) -> Self {
        let (bytes, kept) = pinned.keep(bytes);
        Self { offset, position, at, bytes, tags, _kept: kept }
    }

    /// Whether the event removes its key.
    pub(crate) fn removes_key(&self) -> bool {
        self.tags.as_ref().is_some_and(|tags| tags.removes_key && tags.key.is_some())
    }

    /// What a topic has lost that loses this event, if it has a position.
    pub(crate) fn low_watermark(&self, reason: ResetReason) -> Option<LowWatermark> {
        self.position.map(|position| LowWatermark { offset: self.offset, position, reason })
    }

    /// Whether nothing follows it in its topic.
    pub(crate) fn is_last(&self) -> bool {
        self.tags.as_ref().is_some_and(|tags| tags.is_last)
    }

    /// The bytes of memory that a frame takes without its entry in the ring.
    pub(crate) fn cost(&self) -> usize {
        let tags = self.tags.as_ref().map_or(0, |tags| tags.cost());
        self.bytes.len() + Self::OVERHEAD + tags
    }
}
