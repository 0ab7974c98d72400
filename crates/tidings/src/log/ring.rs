use std::collections::VecDeque;

use super::coverage::LowWatermark;
use super::frame::Frame;
use super::latest::Latest;
use super::retention::Retention;
use crate::event::EventKey;

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
    /// All frames, of a topic that keeps the newest event of each key.
    latest: Option<Box<Latest>>,
}

impl Ring {
    /// Of a topic that has lost this.
    pub(crate) fn of(retention: &Retention, lost: LowWatermark) -> Self {
        let latest = retention.is_latest_per_key().then(|| Box::new(Latest::beginning(lost)));
        Self { latest, ..Self::default() }
    }

    pub(crate) fn push(&mut self, frame: Frame) {
        self.cost += frame.cost();
        if let Some(latest) = &mut self.latest {
            let superseded = latest.push(frame);
            self.cost -= superseded.map_or(0, |frame| frame.cost());
            return;
        }
        // Most topics have one event or two: a deque would begin with room for four.
        if self.frames.len() == self.frames.capacity() {
            self.frames.reserve_exact(self.frames.len().max(1));
        }
        self.frames.push_back(frame);
    }

    pub(crate) fn pop(&mut self) -> Option<Frame> {
        if let Some(latest) = &mut self.latest {
            let frame = latest.pop()?;
            self.cost -= frame.cost();
            return Some(frame);
        }
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

    /// The oldest event that removes its key.
    pub(crate) fn oldest_removal(&self) -> Option<&Frame> {
        self.latest.as_ref()?.oldest_removal()
    }

    pub(crate) fn pop_removal(&mut self) -> Option<Frame> {
        let frame = self.latest.as_mut()?.pop_removal()?;
        self.cost -= frame.cost();
        Some(frame)
    }

    /// The newest event of a key, of a topic that keeps those.
    pub(crate) fn of_key(&self, key: &EventKey) -> Option<&Frame> {
        self.latest.as_ref()?.get(key)
    }

    /// Removes the newest event of a key: a newer one has come, which is not to be here.
    pub(crate) fn remove_key(&mut self, key: &EventKey) {
        let removed = self.latest.as_mut().and_then(|latest| latest.remove(key));
        self.cost -= removed.map_or(0, |frame| frame.cost());
    }

    pub(crate) fn latest(&self) -> Option<&Latest> {
        self.latest.as_deref()
    }

    pub(crate) fn latest_mut(&mut self) -> Option<&mut Latest> {
        self.latest.as_deref_mut()
    }

    pub(crate) fn front(&self) -> Option<&Frame> {
        self.frames.front().or_else(|| self.latest.as_ref()?.front())
    }

    pub(crate) fn last(&self) -> Option<&Frame> {
        self.frames.back().or_else(|| self.latest.as_ref()?.last())
    }

    pub(crate) fn len(&self) -> usize {
        self.frames.len() + self.latest.as_ref().map_or(0, |latest| latest.len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
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
        let latest = self
            .latest
            .as_ref()
            .map_or(0, |latest| latest.len() * size_of::<Frame>() + latest.overhead());
        self.cost + self.frames.capacity() * size_of::<Frame>() + latest
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Frame> {
        self.frames.iter().chain(self.latest.iter().flat_map(|latest| latest.iter()))
    }

    /// The frames after `offset`, oldest first. A binary search: most readers are near the end.
    pub(crate) fn after(&self, offset: u64) -> impl DoubleEndedIterator<Item = &Frame> {
        let first = self.frames.partition_point(|frame| frame.offset <= offset);
        let latest = self.latest.iter().flat_map(move |latest| latest.after(offset));
        self.frames.range(first..).chain(latest)
    }

    /// The frame after `offset`, if there is one or none, as for most readers.
    #[inline]
    pub(crate) fn newest_after(&self, offset: u64) -> Newest<'_> {
        let Some(newest) = self.frames.back().filter(|newest| newest.offset > offset) else {
            return self.latest.as_ref().map_or(Newest::None, |latest| {
                let mut after = latest.after(offset);
                match (after.next(), after.next()) {
                    (None, _) => Newest::None,
                    (Some(frame), None) => Newest::One(frame),
                    (Some(_), Some(_)) => Newest::Several,
                }
            });
        };
        match self.frames.len().checked_sub(2).and_then(|index| self.frames.get(index)) {
            Some(frame) if frame.offset > offset => Newest::Several,
            _ => Newest::One(newest),
        }
    }

    /// The first frame after a public position.
    pub(crate) fn first_after_position(&self, position: u64) -> Option<&Frame> {
        self.first(|frame| frame.position.is_some_and(|of_frame| of_frame > position))
    }

    /// How many frames are after a public position.
    pub(crate) fn count_after_position(&self, position: u64) -> usize {
        let first = self.first_after_position(position).map(|frame| frame.offset);
        first.map_or(0, |first| self.count_from(first))
    }

    fn count_from(&self, offset: u64) -> usize {
        let before = self.frames.partition_point(|frame| frame.offset < offset);
        let latest = self.latest.as_ref().map_or(0, |latest| latest.after(offset - 1).count());
        self.frames.len() - before + latest
    }

    /// The first frame published at `at` or later.
    pub(crate) fn first_since(&self, at: u64) -> Option<&Frame> {
        self.first(|frame| frame.at >= at)
    }

    /// The first frame for which this holds, as it does for all that follow.
    fn first(&self, holds: impl Fn(&Frame) -> bool) -> Option<&Frame> {
        match &self.latest {
            Some(latest) => latest.first(holds),
            None => self.frames.get(self.frames.partition_point(|frame| !holds(frame))),
        }
    }
}
