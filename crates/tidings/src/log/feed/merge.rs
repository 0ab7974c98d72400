//! How the past of many topics is read: a read costs what it sends, and not what there is.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use super::{Coalescing, Cursor, Feed, Gathered, Range};
use crate::log::coalesce::Slice;
use crate::log::frame::Frame;
use crate::log::reset_reason::ResetReason;

/// The topics of a feed by the offsets of their next events.
#[derive(Debug)]
pub(crate) struct Merge {
    next: BinaryHeap<Reverse<Next>>,
    /// Events that there was no room for in a chunk. They are sent one by one.
    left: VecDeque<Slice>,
    /// From this offset on it has all that is after the cursor: then others may read the same.
    whole_from: u64,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Next {
    /// There is nothing before it that is to be sent.
    offset: u64,
    /// The topic's place in the feed.
    place: u32,
}

/// What follows a cursor in the past.
#[derive(Debug)]
pub(crate) enum PastRead {
    Slice(Slice),
    /// So much has been looked through that others have their turn first.
    LookOn,
    End,
}

impl Merge {
    /// `next`: the offset of each topic's next event, in the feed's order. Those after `joined` are of no concern.
    pub(crate) fn new(next: &[u64], joined: u64, whole_from: u64) -> Self {
        let most = next.len();
        let next = (0..).zip(next.iter().copied()).filter(|(_, offset)| *offset <= joined);
        // With room for no more: this is counted.
        let mut heap = Vec::with_capacity(most);
        heap.extend(next.map(|(place, offset)| Reverse(Next { offset, place })));
        Self { next: heap.into(), left: VecDeque::new(), whole_from }
    }

    /// Bytes of memory for each topic.
    pub(crate) const EACH: usize = size_of::<Next>();

    fn first(&self) -> Option<u64> {
        self.next.peek().map(|Reverse(next)| next.offset)
    }

    fn push(&mut self, offset: u64, place: u32) {
        self.next.push(Reverse(Next { offset, place }));
    }
}

impl Feed {
    /// How many frames that are hidden, and topics that have none to send, are looked at before others have their turn.
    const MOST_LOOKS: usize = 16 * Self::COMPARED;

    /// What follows the cursor in the past, which ends where the subscription joined. The cursor moves on.
    ///
    /// # Errors
    ///
    /// The reason, when the topics have lost an event after the cursor.
    pub(crate) fn read_past(
        self: &Arc<Self>,
        cursor: &mut Cursor,
        merge: &mut Merge,
        coalescing: &Coalescing,
    ) -> Result<PastRead, ResetReason> {
        if let Some(slice) = merge.left.pop_front() {
            cursor.offset = slice.to;
            return Ok(PastRead::Slice(slice));
        }
        if cursor.offset >= cursor.joined {
            return Ok(PastRead::End);
        }
        let range = Range { from: cursor.offset, to: cursor.joined, replay: true };
        let is_shared = cursor.offset >= merge.whole_from && self.is_shared();
        let mut gather = |room| self.gather_merged(range, merge, room);
        let (slice, left, to) = if is_shared {
            self.read_cached(range, coalescing, gather)?
        } else {
            let gathered = gather(self.room(coalescing))?;
            let to = gathered.to;
            match gathered.into_slice(range, coalescing.tail.watermark(), coalescing) {
                Some((slice, _, left)) => (Some(slice), left, to),
                None => (None, Vec::new(), to),
            }
        };
        merge.left = left.iter().map(Slice::of).collect();
        let Some(slice) = slice else {
            cursor.offset = to;
            return Ok(if to < range.to { PastRead::LookOn } else { PastRead::End });
        };
        cursor.offset = slice.to;
        Ok(PastRead::Slice(slice))
    }

    /// Collects the next frames of all topics in a range, in the hub's order: up to `room` bytes, and at least one frame
    /// unless there is much that is not sent.
    fn gather_merged(
        &self,
        range: Range,
        merge: &mut Merge,
        room: usize,
    ) -> Result<Gathered, ResetReason> {
        let mut frames: Vec<Frame> = Vec::new();
        let (mut size, mut looks, mut is_full) = (0, 0_usize, false);
        while let Some(Reverse(Next { offset, place })) = merge.next.pop() {
            // Before what is next in any other topic.
            let until = merge.first().map_or(range.to, |first| first.min(range.to));
            let Some(topic) = self.topics.get(place as usize) else { continue };
            // Another reader's chunk may have taken this one past it.
            let from = range.from.max(offset - 1);
            let before = frames.len();
            let state = topic.lock();
            if let Some(reason) = self.gap_after(from, &state) {
                return Err(reason);
            }
            for frame in state.durable.after(from) {
                if frame.offset > until {
                    if frame.offset <= range.to {
                        merge.push(frame.offset, place);
                    }
                    break;
                }
                // An event of a topic and of a pattern is found twice.
                if frames.last().is_some_and(|last| last.offset >= frame.offset) {
                    continue;
                }
                if !self.passes(frame) {
                    looks += 1;
                    if looks.is_multiple_of(Self::COMPARED) {
                        merge.push(frame.offset + 1, place);
                        break;
                    }
                    continue;
                }
                if size > 0 && size + frame.bytes.len() > room {
                    merge.push(frame.offset, place);
                    is_full = true;
                    break;
                }
                size += frame.bytes.len();
                frames.push(frame.clone());
            }
            drop(state);
            #[cfg(test)]
            super::test_hook::between_topics();
            // Of values, what was next may be superseded, in all topics.
            looks += usize::from(frames.len() == before);
            if is_full || looks >= Self::MOST_LOOKS {
                // Everything before what is next was taken.
                let taken = frames.last().map_or(range.from, |last| last.offset);
                let to = merge.first().map_or(range.to, |first| taken.max(first - 1));
                return Ok(Gathered { to: to.min(range.to), frames });
            }
        }
        Ok(Gathered { to: range.to, frames })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_for_a_topic_is_what_is_counted() {
        // One more than a vector has room for that doubles.
        let next: Vec<u64> = (1..=65_537).collect();
        let merge = Merge::new(&next, 65_537, 0);
        assert!(merge.next.capacity() < next.len() + next.len() / 8);
    }
}
