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
    frames: Frames,
    /// Of the frames without their entries here.
    cost: usize,
}

#[derive(Debug)]
enum Frames {
    All(VecDeque<Frame>),
    /// Of a topic that keeps the newest event of each key.
    Latest(Box<Latest>),
}

impl Default for Frames {
    fn default() -> Self {
        Self::All(VecDeque::new())
    }
}

impl Ring {
    /// Of a topic that has lost this.
    pub(crate) fn of(retention: &Retention, lost: LowWatermark) -> Self {
        let frames = match retention.is_latest_per_key() {
            true => Frames::Latest(Box::new(Latest::beginning(lost))),
            false => Frames::default(),
        };
        Self { frames, cost: 0 }
    }

    pub(crate) fn push(&mut self, frame: Frame) {
        self.cost += frame.cost();
        match &mut self.frames {
            Frames::All(frames) => {
                // Most topics have one event or two: a deque would begin with room for four.
                if frames.len() == frames.capacity() {
                    frames.reserve_exact(frames.len().max(1));
                }
                frames.push_back(frame);
            }
            Frames::Latest(latest) => {
                let superseded = latest.push(frame);
                self.cost -= superseded.map_or(0, |frame| frame.cost());
            }
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Frame> {
        let frame = match &mut self.frames {
            Frames::All(frames) => {
                let frame = frames.pop_front()?;
                // A ring that was full once gives its memory back when it is quiet again.
                if frames.is_empty() {
                    *frames = VecDeque::new();
                } else if frames.len() < frames.capacity() / 4 {
                    frames.shrink_to(frames.capacity() / 2);
                }
                frame
            }
            Frames::Latest(latest) => latest.pop()?,
        };
        self.cost -= frame.cost();
        Some(frame)
    }

    /// The oldest event that removes its key, and may be forgotten as that: see [`Latest`].
    pub(crate) fn oldest_removal(&self) -> Option<&Frame> {
        self.latest()?.oldest_removal()
    }

    pub(crate) fn pop_removal(&mut self) -> Option<Frame> {
        let frame = self.latest_mut()?.pop_removal()?;
        self.cost -= frame.cost();
        Some(frame)
    }

    /// The newest event of a key, of a topic that keeps those.
    pub(crate) fn of_key(&self, key: &EventKey) -> Option<&Frame> {
        self.latest()?.get(key)
    }

    /// Removes the newest event of a key: a newer one has come, which is not to be here.
    pub(crate) fn remove_key(&mut self, key: &EventKey) {
        let removed = self.latest_mut().and_then(|latest| latest.remove(key));
        self.cost -= removed.map_or(0, |frame| frame.cost());
    }

    pub(crate) fn latest(&self) -> Option<&Latest> {
        match &self.frames {
            Frames::All(_) => None,
            Frames::Latest(latest) => Some(latest),
        }
    }

    pub(crate) fn latest_mut(&mut self) -> Option<&mut Latest> {
        match &mut self.frames {
            Frames::All(_) => None,
            Frames::Latest(latest) => Some(latest),
        }
    }

    pub(crate) fn front(&self) -> Option<&Frame> {
        match &self.frames {
            Frames::All(frames) => frames.front(),
            Frames::Latest(latest) => latest.front(),
        }
    }

    pub(crate) fn last(&self) -> Option<&Frame> {
        match &self.frames {
            Frames::All(frames) => frames.back(),
            Frames::Latest(latest) => latest.last(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match &self.frames {
            Frames::All(frames) => frames.len(),
            Frames::Latest(latest) => latest.len(),
        }
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
        let entries = match &self.frames {
            Frames::All(frames) => frames.capacity() * size_of::<Frame>(),
            Frames::Latest(latest) => latest.len() * size_of::<Frame>() + latest.overhead(),
        };
        self.cost + entries
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Frame> {
        self.after(0)
    }

    /// The frames after `offset`, oldest first. A binary search: most readers are near the end.
    pub(crate) fn after(&self, offset: u64) -> impl DoubleEndedIterator<Item = &Frame> {
        let (all, latest) = match &self.frames {
            Frames::All(frames) => {
                let first = frames.partition_point(|frame| frame.offset <= offset);
                (Some(frames.range(first..)), None)
            }
            Frames::Latest(latest) => (None, Some(latest.after(offset))),
        };
        all.into_iter().flatten().chain(latest.into_iter().flatten())
    }

    /// The frames before `offset`, newest first.
    pub(crate) fn before(&self, offset: u64) -> impl Iterator<Item = &Frame> {
        let (all, latest) = match &self.frames {
            Frames::All(frames) => {
                let end = frames.partition_point(|frame| frame.offset < offset);
                (Some(frames.range(..end).rev()), None)
            }
            Frames::Latest(latest) => (None, Some(latest.before(offset))),
        };
        all.into_iter().flatten().chain(latest.into_iter().flatten())
    }

    /// The frame after `offset`, if there is one or none, as for most readers.
    #[inline]
    pub(crate) fn newest_after(&self, offset: u64) -> Newest<'_> {
        let (newest, before) = match &self.frames {
            Frames::All(frames) => {
                (frames.back(), frames.len().checked_sub(2).and_then(|index| frames.get(index)))
            }
            Frames::Latest(latest) => {
                let mut frames = latest.after(offset).rev();
                (frames.next(), frames.next())
            }
        };
        match (newest, before) {
            (_, Some(frame)) if frame.offset > offset => Newest::Several,
            (Some(frame), _) if frame.offset > offset => Newest::One(frame),
            _ => Newest::None,
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
        match &self.frames {
            Frames::All(frames) => {
                frames.len() - frames.partition_point(|frame| frame.offset < offset)
            }
            Frames::Latest(latest) => latest.after(offset - 1).count(),
        }
    }

    /// The first frame published at `at` or later.
    pub(crate) fn first_since(&self, at: u64) -> Option<&Frame> {
        self.first(|frame| frame.at >= at)
    }

    /// The first frame for which this holds, as it does for all that follow.
    fn first(&self, holds: impl Fn(&Frame) -> bool) -> Option<&Frame> {
        match &self.frames {
            Frames::All(frames) => frames.get(frames.partition_point(|frame| !holds(frame))),
            Frames::Latest(latest) => latest.first(holds),
        }
    }
}
