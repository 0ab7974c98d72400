use std::sync::Arc;

use super::sequencer::Sequencer;
use crate::log::frame::Frame;
use crate::log::{State, TopicLog};
use crate::sync::MutexGuard;
use crate::waking::Waiters;

/// The logs that an event goes to, locked. Only whoever holds the sequencer locks more than one.
pub(super) struct Places<'a> {
    pub(super) topic: Option<Place<'a>>,
    families: Vec<Place<'a>>,
}

pub(super) struct Place<'a> {
    log: &'a Arc<TopicLog>,
    pub(super) state: MutexGuard<'a, State>,
}

impl<'a> Places<'a> {
    pub(super) fn lock(topic: Option<&'a Arc<TopicLog>>, families: &'a [Arc<TopicLog>]) -> Self {
        let place = |log: &'a Arc<TopicLog>| Place { log, state: log.lock() };
        Self { topic: topic.map(place), families: families.iter().map(place).collect() }
    }

    pub(super) fn subscribers(&self) -> usize {
        let places = self.topic.iter().chain(&self.families);
        places.map(|place| place.state.subscribers).sum()
    }

    /// Leaves out what is not followed yet: there the event will be read. It may also be of a interest that is no
    /// more, and what it was for is wanted anew.
    pub(super) fn leave_unfollowed(&mut self) {
        let is_followed = |place: &Place<'_>| !place.state.floor.is_unfollowed();
        self.topic = self.topic.take().filter(is_followed);
        self.families.retain(is_followed);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.topic.is_none() && self.families.is_empty()
    }

    /// Returns who is to be woken when no lock is held.
    pub(super) fn append(
        &mut self,
        frame: &Frame,
        sequencer: &mut Sequencer,
        now: u64,
    ) -> (Option<Waiters>, Vec<Waiters>) {
        let mut append = |Place { log, state }: &mut Place<'_>| {
            let waiting = log.append(state, frame.clone());
            sequencer.appended(log, state, frame.cost(), now);
            waiting
        };
        let topic = self.topic.as_mut().map(&mut append);
        (topic, self.families.iter_mut().map(append).collect())
    }
}
