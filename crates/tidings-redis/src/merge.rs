//! One order out of several streams.

use std::collections::VecDeque;

use crate::entry::Entry;
use crate::position::EntryId;

/// Puts the entries of several streams into the order of their positions. An entry is handed out when
/// no stream can have one before it any more; which a stream without newer entries has to be asked for.
#[derive(Debug)]
pub(crate) struct Merge {
    lanes: Vec<Lane>,
}

#[derive(Debug)]
struct Lane {
    /// What was read and could not be handed out yet.
    queue: VecDeque<Entry>,
    /// Up to here it was read.
    read: EntryId,
    /// Further entries have larger ids than this.
    frontier: EntryId,
    /// The server has raised the stream's ids to the first, when its newest entry was the second.
    raised: Option<(EntryId, EntryId)>,
}

/// An entry has appeared where there should not be one any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Late;

impl Merge {
    /// Streams that were read up to these entries.
    pub(crate) fn new(cursors: impl IntoIterator<Item = EntryId>) -> Self {
        let lane =
            |cursor| Lane { queue: VecDeque::new(), read: cursor, frontier: cursor, raised: None };
        Self { lanes: cursors.into_iter().map(lane).collect() }
    }

    /// Takes what was read from a stream.
    pub(crate) fn push(&mut self, index: usize, entries: Vec<Entry>) -> Result<(), Late> {
        let lane = &mut self.lanes[index];
        for entry in entries {
            if entry.id <= lane.frontier {
                return Err(Late);
            }
            lane.read = entry.id;
            lane.frontier = entry.id;
            lane.queue.push_back(entry);
            lane.settle();
        }
        Ok(())
    }

    /// A stream goes on behind an entry; what is before it and was not read is gone.
    pub(crate) fn skip(&mut self, index: usize, to: EntryId) {
        let lane = &mut self.lanes[index];
        lane.read = lane.read.max(to);
        lane.frontier = lane.frontier.max(to);
        lane.settle();
    }

    /// The server has raised a stream's ids.
    pub(crate) fn raised(&mut self, index: usize, to: EntryId, newest: EntryId) {
        let lane = &mut self.lanes[index];
        lane.raised = Some((to, newest));
        lane.settle();
    }

    /// Takes out the next entry, with the index of its stream.
    pub(crate) fn pop(&mut self) -> Option<(usize, Entry)> {
        let (index, id) = self.head()?;
        if self.behind(id).next().is_some() {
            return None;
        }
        self.lanes[index].queue.pop_front().map(|entry| (index, entry))
    }

    /// What the streams have to be asked for, so that all that was read can be handed out: which of
    /// them, and up to where they are to be raised.
    pub(crate) fn wanted(&self) -> Option<(Vec<usize>, EntryId)> {
        self.head()?;
        let newest = self.lanes.iter().filter_map(|lane| lane.queue.back()).map(|e| e.id).max()?;
        let behind: Vec<_> = self.behind(newest).collect();
        (!behind.is_empty()).then_some((behind, newest))
    }

    /// What has been promised of a stream: further entries have larger ids.
    pub(crate) fn frontier(&self, index: usize) -> EntryId {
        self.lanes[index].frontier
    }

    /// Whether all that was read was handed out.
    pub(crate) fn is_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.queue.is_empty())
    }

    /// How many entries of a stream were read and could not be handed out yet.
    pub(crate) fn waiting(&self, index: usize) -> usize {
        self.lanes[index].queue.len()
    }

    fn head(&self) -> Option<(usize, EntryId)> {
        let heads = self.lanes.iter().enumerate();
        heads
            .filter_map(|(index, lane)| Some((lane.queue.front()?.id, index)))
            .min()
            .map(|(id, index)| (index, id))
    }

    /// The streams without an entry of their own that may still get one up to this id. One that has
    /// entries waiting comes with them, in their turn.
    fn behind(&self, id: EntryId) -> impl Iterator<Item = usize> + '_ {
        let lanes = self.lanes.iter().enumerate();
        lanes.filter(move |(_, lane)| lane.queue.is_empty() && lane.frontier < id).map(|(i, _)| i)
    }
}

impl Lane {
    /// A promise counts when all is read that was there when it was given.
    fn settle(&mut self) {
        if let Some((to, newest)) = self.raised {
            if self.read >= newest {
                self.frontier = self.frontier.max(to);
                self.raised = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(ms: u64) -> EntryId {
        EntryId::new(ms, 0)
    }

    fn entries(ids: &[u64]) -> Vec<Entry> {
        ids.iter().map(|ms| Entry::empty(id(*ms))).collect()
    }

    fn popped(merge: &mut Merge) -> Vec<(usize, u64)> {
        std::iter::from_fn(|| merge.pop()).map(|(index, entry)| (index, entry.id.ms)).collect()
    }

    #[test]
    fn one_stream_waits_for_nobody() {
        let mut merge = Merge::new([id(1)]);
        merge.push(0, entries(&[2, 3])).unwrap();
        assert_eq!(merge.wanted(), None);
        assert_eq!(popped(&mut merge), [(0, 2), (0, 3)]);
        assert!(merge.is_empty());
    }

    #[test]
    fn an_entry_waits_until_no_other_stream_can_come_before_it() {
        let mut merge = Merge::new([id(1), id(1), id(1)]);
        merge.push(0, entries(&[5])).unwrap();
        merge.push(2, entries(&[7])).unwrap();
        assert_eq!(popped(&mut merge), []);
        assert_eq!(merge.wanted(), Some((vec![1], id(7))));
        // Something was there that is not read yet.
        merge.raised(1, id(7), id(6));
        assert_eq!(popped(&mut merge), []);
        merge.push(1, entries(&[4, 6])).unwrap();
        assert_eq!(popped(&mut merge), [(1, 4), (0, 5)]);
        // The first stream may still get an entry in front of the others.
        assert_eq!(merge.wanted(), Some((vec![0], id(7))));
        merge.raised(0, id(7), id(5));
        assert_eq!(popped(&mut merge), [(1, 6), (2, 7)]);
        assert_eq!(merge.wanted(), None);
    }

    #[test]
    fn equal_ids_are_in_the_order_of_the_streams() {
        let mut merge = Merge::new([id(1), id(1)]);
        merge.push(1, entries(&[5])).unwrap();
        merge.push(0, entries(&[5])).unwrap();
        assert_eq!(popped(&mut merge), [(0, 5), (1, 5)]);
    }

    #[test]
    fn an_entry_that_was_ruled_out_is_late() {
        let mut merge = Merge::new([id(1), id(1)]);
        merge.push(0, entries(&[5])).unwrap();
        merge.raised(1, id(5), EntryId::ZERO);
        assert_eq!(popped(&mut merge), [(0, 5)]);
        assert_eq!(merge.frontier(1), id(5));
        assert_eq!(merge.push(1, entries(&[4])), Err(Late));
    }

    #[test]
    fn what_is_gone_is_skipped() {
        let mut merge = Merge::new([id(1), id(1)]);
        merge.push(0, entries(&[5])).unwrap();
        merge.skip(1, id(8));
        assert_eq!(popped(&mut merge), [(0, 5)]);
        merge.push(1, entries(&[9])).unwrap();
        assert_eq!(merge.wanted(), Some((vec![0], id(9))));
    }

    /// Servers as they are: each with a clock of its own, and streams that can be raised.
    #[derive(Debug)]
    struct Stream {
        all: Vec<u64>,
        last: u64,
        read: usize,
    }

    proptest! {
        #[test]
        fn any_streams_are_read_as_one_without_a_gap(
            steps in prop::collection::vec((0..3usize, 0..4u8, 1..50u64), 1..200),
        ) {
            let mut streams = [const { Stream { all: Vec::new(), last: 0, read: 0 } }; 3];
            let mut merge = Merge::new([EntryId::ZERO; 3]);
            let mut seen = Vec::new();
            for (index, action, clock) in steps {
                let stream = &mut streams[index];
                match action {
                    0 | 1 => {
                        stream.last = clock.max(stream.last + 1);
                        stream.all.push(stream.last);
                    }
                    2 => {
                        let new = stream.all[stream.read..].to_vec();
                        stream.read = stream.all.len();
                        prop_assert!(merge.push(index, entries(&new)).is_ok());
                    }
                    _ => if let Some((behind, to)) = merge.wanted() {
                        for index in behind {
                            let stream = &mut streams[index];
                            stream.last = stream.last.max(to.ms);
                            let newest = stream.all.last().copied().unwrap_or(0);
                            merge.raised(index, to, id(newest));
                        }
                    }
                }
                seen.extend(popped(&mut merge).into_iter().map(|(index, ms)| (ms, index)));
            }
            // At last, all is read and all are raised.
            for (index, stream) in streams.iter().enumerate() {
                prop_assert!(merge.push(index, entries(&stream.all[stream.read..])).is_ok());
                merge.raised(index, id(1_000), id(stream.all.last().copied().unwrap_or(0)));
            }
            seen.extend(popped(&mut merge).into_iter().map(|(index, ms)| (ms, index)));
            let mut all: Vec<_> = streams
                .iter()
                .enumerate()
                .flat_map(|(index, stream)| stream.all.iter().map(move |ms| (*ms, index)))
                .collect();
            all.sort_unstable();
            prop_assert_eq!(seen, all);
        }
    }
}
