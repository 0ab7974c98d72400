use std::collections::VecDeque;

use super::frame::Frame;

/// See [`Ring::newest_after`].
pub(crate) enum Newest<'a> {
    None,
    One(&'a Frame),
    Several,
}

/// Frames of one topic in the order of their offsets: appended at the back, evicted at the front.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    frames: VecDeque<Frame>,
    /// Of the frames without their entries here.
    cost: usize,
}

impl Ring {
    pub(crate) fn push(&mut self, frame: Frame) {
        self.cost += frame.cost();
        // Most topics have one event or two: a deque would begin with room for four.
        if self.frames.len() == self.frames.capacity() {
            self.frames.reserve_exact(self.frames.len().max(1));
        }
        self.frames.push_back(frame);
    }

    pub(crate) fn pop(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front()?;
        self.cost -= frame.cost();
        // A ring that was full once gives its memory back when it is quiet again.
        if self.frames.is_empty() {
            self.frames = VecDeque::new();
        } else if self.frames.len() < self.frames.capacity() / 4 {
            self.frames.shrink_to(self.frames.capacity() / 2);
        }
        Some(frame)
    }

    pub(crate) fn front(&self) -> Option<&Frame> {
        self.frames.front()
    }

    pub(crate) fn last(&self) -> Option<&Frame> {
        self.frames.back()
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Frame> {
        self.frames.get(index)
    }

    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Bytes of memory of the frames, which retention is limited by.
    pub(crate) fn cost(&self) -> usize {
        self.cost + self.len() * size_of::<Frame>()
    }

    /// A frame's part of that.
    pub(crate) fn cost_of(frame: &Frame) -> usize {
        frame.cost() + size_of::<Frame>()
    }

    /// Bytes of memory of the ring, with the entries that are free.
    pub(crate) fn memory(&self) -> usize {
        self.cost + self.frames.capacity() * size_of::<Frame>()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Frame> + ExactSizeIterator {
        self.frames.iter()
    }

    /// The frames after `offset`, oldest first. A binary search: most readers are near the end.
    pub(crate) fn after(&self, offset: u64) -> impl Iterator<Item = &Frame> {
        let first = self.frames.partition_point(|frame| frame.offset <= offset);
        self.frames.range(first..)
    }

    /// The frame after `offset`, if there is one or none, as for most readers.
    #[inline]
    pub(crate) fn newest_after(&self, offset: u64) -> Newest<'_> {
        let Some(newest) = self.frames.back().filter(|newest| newest.offset > offset) else {
            return Newest::None;
        };
        match self.frames.len().checked_sub(2).and_then(|index| self.frames.get(index)) {
            Some(frame) if frame.offset > offset => Newest::Several,
            _ => Newest::One(newest),
        }
    }

    /// The first frame after a public position.
    pub(crate) fn first_after_position(&self, position: u64) -> Option<&Frame> {
        self.frames.get(self.index_after_position(position))
    }

    /// How many frames are after a public position.
    pub(crate) fn count_after_position(&self, position: u64) -> usize {
        self.len() - self.index_after_position(position)
    }

    fn index_after_position(&self, position: u64) -> usize {
        self.frames.partition_point(|frame| frame.position.is_some_and(|p| p <= position))
    }

    /// The index of the first frame published after `at`.
    pub(crate) fn first_since(&self, at: u64) -> usize {
        self.frames.partition_point(|frame| frame.at <= at)
    }
}
