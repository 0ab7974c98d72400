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
