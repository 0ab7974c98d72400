use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use super::coverage::LowWatermark;
use super::frame::Frame;
use crate::event::EventKey;

/// The frames of a topic that keeps the newest event of each key, and events without a key.
///
/// An event takes the place of the one before it with its key, which is no loss: whoever reads on after any offset gets the
/// newest event of each key. So this has as many frames as there are keys, whatever is published.
#[derive(Debug)]
pub(crate) struct Latest {
    /// By offset.
    frames: BTreeMap<u64, Frame>,
    /// The offset of each key's frame.
    keys: HashMap<EventKey, u64>,
    /// The offsets of events that remove their keys, but for a last event, which is kept as values are.
    removals: BTreeSet<u64>,
    /// The position after which the topic had every event.
    pub(super) began: u64,
    /// What was lost apart from removals, of which clients that begin here know nothing.
    pub(super) lost: LowWatermark,
}

impl Latest {
    /// Of a topic that has lost this.
    pub(super) fn beginning(lost: LowWatermark) -> Self {
        Self {
            frames: BTreeMap::new(),
            keys: HashMap::new(),
            removals: BTreeSet::new(),
            began: lost.position,
            lost,
        }
    }

    /// Returns the frame that this one takes the place of.
    pub(super) fn push(&mut self, frame: Frame) -> Option<Frame> {
        let offset = frame.offset;
        let key = frame.tags.as_ref().and_then(|tags| tags.key.clone());
        let superseded = key.and_then(|key| self.keys.insert(key, offset));
        if frame.removes_key() && !frame.is_last() {
            self.removals.insert(offset);
        }
        self.frames.insert(offset, frame);
        let superseded = superseded?;
        self.removals.remove(&superseded);
        self.frames.remove(&superseded)
    }

    pub(super) fn pop(&mut self) -> Option<Frame> {
        let (_, frame) = self.frames.pop_first()?;
        self.forget(&frame);
        Some(frame)
    }

    pub(super) fn oldest_removal(&self) -> Option<&Frame> {
        self.frames.get(self.removals.first()?)
    }

    pub(super) fn pop_removal(&mut self) -> Option<Frame> {
        let frame = self.frames.remove(self.removals.first()?)?;
        self.forget(&frame);
        Some(frame)
    }

    /// The frame of a key.
    pub(super) fn get(&self, key: &EventKey) -> Option<&Frame> {
        self.frames.get(self.keys.get(key)?)
    }

    /// Removes the frame of a key, whose place one has taken that is not to be here.
    pub(super) fn remove(&mut self, key: &EventKey) -> Option<Frame> {
        let frame = self.frames.remove(self.keys.get(key)?)?;
        self.forget(&frame);
        Some(frame)
    }

    /// A frame was removed that nothing has taken the place of.
    fn forget(&mut self, frame: &Frame) {
        self.removals.remove(&frame.offset);
        if let Some(key) = frame.tags.as_ref().and_then(|tags| tags.key.as_ref()) {
            self.keys.remove(key);
            if self.keys.len() < self.keys.capacity() / 8 {
                self.keys.shrink_to_fit();
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    /// Bytes of memory in addition to the frames themselves: the entries in the maps, of which some are free.
    pub(super) fn overhead(&self) -> usize {
        let free = self.frames.len() * size_of::<Frame>() / 2;
        let keys = self.keys.capacity() * (size_of::<(EventKey, u64)>() + 1);
        size_of::<Self>() + free + keys + self.removals.len() * 2 * size_of::<u64>()
    }

    pub(super) fn front(&self) -> Option<&Frame> {
        self.frames.first_key_value().map(|(_, frame)| frame)
    }

    pub(super) fn last(&self) -> Option<&Frame> {
        self.frames.last_key_value().map(|(_, frame)| frame)
    }

    /// The frames after `offset`, oldest first.
    pub(super) fn after(&self, offset: u64) -> impl DoubleEndedIterator<Item = &Frame> {
        let range = (Bound::Excluded(offset), Bound::Unbounded);
        self.frames.range(range).map(|(_, frame)| frame)
    }

    /// The frames before `offset`, newest first.
    pub(super) fn before(&self, offset: u64) -> impl Iterator<Item = &Frame> {
        self.frames.range(..offset).map(|(_, frame)| frame).rev()
    }

    /// The first frame for which this holds, as it does for all that follow: by bisection of the offsets.
    pub(super) fn first(&self, holds: impl Fn(&Frame) -> bool) -> Option<&Frame> {
        let (newest, frame) = self.frames.last_key_value().filter(|(_, frame)| holds(frame))?;
        // It does not hold up to `low`, and does from the frame on.
        let (mut low, mut high, mut first) = (0, *newest, frame);
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            match self.frames.range(middle..high).next() {
                Some((offset, frame)) if holds(frame) => (high, first) = (*offset, frame),
                Some((offset, _)) => low = *offset,
                None => high = middle,
            }
        }
        Some(first)
    }
}
