use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::task::Waker;

use slab::Slab;
use tidings::{
    Subscription,
    transport::{Batch, Cohort, CohortKey, Lagging},
};

use super::member::Member;
use super::roster::{Roster, Seat};
use super::send::send;
use super::turn::Turn;

/// A writer's cohorts, and the queue of those that have something to do.
///
/// A cohort that may have new events is in the queue; any other one's waker is in the wait lists of its topics. So one that
/// was cut short goes on although nothing wakes it.
#[derive(Default)]
pub(super) struct Cohorts {
    pub(super) groups: Slab<Group>,
    by_key: HashMap<CohortKey, usize>,
    /// A cohort that is not queued any more, or has ended, is passed over.
    queue: VecDeque<usize>,
}

/// A cohort and its streams.
pub(super) struct Group {
    pub(super) cohort: Cohort,
    key: CohortKey,
    pub(super) roster: Roster,
    /// Streams that wait until the cohort has come to where they are.
    pub(super) ahead: BTreeSet<u32>,
    /// Streams with something to do for themselves, in this order. One that is gone, or is queued no more, is passed over.
    pub(super) queue: VecDeque<u32>,
    /// There may be new events. If not, its waker is in the wait lists of its topics.
    pub(super) is_awake: bool,
    /// A batch that not everybody in the roster has got.
    pub(super) unfinished: Option<Box<Batch>>,
    /// Counts all its streams.
    size: usize,
    is_queued: bool,
}

impl Cohorts {
    /// Counts a new stream into its cohort, which is made if it is the first; returns the group's
    /// index.
    pub(super) fn join(
        &mut self,
        subscription: &Subscription,
        waker: impl FnOnce(usize) -> Waker,
    ) -> usize {
        let key = CohortKey::of(subscription);
        let index = *self.by_key.entry(key).or_insert_with(|| {
            let entry = self.groups.vacant_entry();
            let index = entry.key();
            entry.insert(Group {
                cohort: Cohort::of(subscription, waker(index)),
                key,
                roster: Roster::default(),
                ahead: BTreeSet::new(),
                queue: VecDeque::new(),
                // Its first turn takes it to the wait lists.
                is_awake: true,
                unfinished: None,
                size: 0,
                is_queued: true,
            });
            self.queue.push_back(index);
            index
        });
        self.groups[index].size += 1;
        index
    }

    /// Moves a stream out of its cohort if it has changed its topics; returns the index of its new group.
    pub(super) fn move_changed(
        &mut self,
        before: usize,
        subscription: &Subscription,
        waker: impl FnOnce(usize) -> Waker,
    ) -> Option<usize> {
        if self.groups[before].key == CohortKey::of(subscription) {
            return None;
        }
        let index = self.join(subscription, waker);
        self.leave(before);
        Some(index)
    }

    /// Counts a stream out of its cohort, which ends with its last stream.
    pub(super) fn leave(&mut self, index: usize) {
        let group = &mut self.groups[index];
        group.size -= 1;
        if group.size == 0 {
            let group = self.groups.remove(index);
            self.by_key.remove(&group.key);
        }
    }

    /// There may be new events for a cohort, which may have ended meanwhile.
    pub(super) fn wake(&mut self, index: usize) {
        if let Some(group) = self.groups.get_mut(index) {
            group.is_awake = true;
            self.enqueue(index);
        }
    }

    /// Puts a cohort at the end of the queue, unless it is in there.
    pub(super) fn enqueue(&mut self, index: usize) {
        if !std::mem::replace(&mut self.groups[index].is_queued, true) {
            self.queue.push_back(index);
        }
    }

    /// Takes the first cohort out of the queue.
    pub(super) fn dequeue(&mut self) -> Option<usize> {
        loop {
            let index = self.queue.pop_front()?;
            let group = self.groups.get_mut(index);
            if group.is_some_and(|group| std::mem::take(&mut group.is_queued)) {
                return Some(index);
            }
        }
    }

    /// How many cohorts are in the queue, at most.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }
}

impl Group {
    /// The batch to be sent to those in the roster that do not have it; `None` if there are no new
    /// events.
    pub(super) fn next_batch(&mut self) -> Result<Option<Batch>, Lagging> {
        if let Some(batch) = self.unfinished.take() {
            return Ok(Some(*batch));
        }
        let batch = self.cohort.next_batch()?;
        match batch {
            Some(_) => self.roster.begin_batch(),
            None => self.is_awake = false,
        }
        Ok(batch)
    }

    /// Writes a batch to the streams that it is due to, until the turn is spent. Stops at the first
    /// stream that does not take all of it, and returns its key and the outcome.
    pub(super) fn write<B>(
        &mut self,
        batch: &Batch,
        framed: &[u8],
        members: &mut Slab<Member<B>>,
        turn: &mut Turn,
    ) -> Option<(usize, io::Result<usize>)> {
        let cost = Turn::cost(framed.len());
        let plain: &[u8] = batch.bytes();
        loop {
            let due = self.roster.due(turn.writes().div_ceil(cost));
            if due.is_empty() {
                return None;
            }
            let mut served = 0;
            let refused = due.iter().find_map(|key| {
                let key = *key as usize;
                let member = &mut members[key];
                let bytes = if member.framing.chunked { framed } else { plain };
                let outcome = send(&member.socket, bytes);
                if !outcome.as_ref().is_ok_and(|written| *written == bytes.len()) {
                    return Some((key, outcome));
                }
                self.cohort.mark_sent(batch, &mut member.subscription);
                served += 1;
                None
            });
            turn.count(cost * (served + usize::from(refused.is_some())));
            self.roster.mark_served(served);
            if refused.is_some() {
                return refused;
            }
        }
    }

    /// The streams that are to be served by themselves before a batch is sent: those to which the cohort has come, and those
    /// that read by themselves up to where their topics change.
    pub(super) fn to_be_served_alone<B>(&self, members: &Slab<Member<B>>) -> Vec<u32> {
        let subscription = |key: &u32| &members[*key as usize].subscription;
        let is_reached = |key: &&u32| !self.cohort.is_overtaken_by(subscription(key));
        let mut keys: Vec<u32> = self.ahead.iter().filter(is_reached).copied().collect();
        if self.cohort.is_any_changing() {
            let is_changing = |key: &&u32| subscription(key).is_changing();
            keys.extend(self.roster.keys().iter().filter(is_changing));
        }
        keys
    }

    /// The streams that wait for the cohort's next batch.
    pub(super) fn waiting(&self) -> Vec<u32> {
        self.roster.keys().iter().chain(&self.ahead).copied().collect()
    }

    /// Adds a stream that is caught up.
    pub(super) fn join_roster<B>(&mut self, key: usize, members: &mut Slab<Member<B>>) {
        let moved = |key, index| members[key as usize].seat = Some(Seat::at(index));
        let index = self.roster.join(key as u32, moved);
        members[key].seat = Some(Seat::at(index));
    }

    /// Removes a stream, if it is there or waits to be.
    pub(super) fn leave_roster<B>(&mut self, key: usize, members: &mut Slab<Member<B>>) {
        self.ahead.remove(&(key as u32));
        if let Some(seat) = members[key].seat.take() {
            let moved = |key, index| members[key as usize].seat = Some(Seat::at(index));
            self.roster.leave(seat.index(), moved);
        }
    }
}
