use std::sync::Arc;

use super::effects::Effects;
use super::memory::Memory;
use crate::log::frame::Frame;
use crate::log::standing::{LastEvent, Standing};
use crate::log::{TopicLog, TopicState};
use crate::sync::MutexGuard;

/// The logs that an event goes to, locked together: those of its topic and of the patterns that match, and filtered ones.
pub(super) struct Targets<'a> {
    topic: Option<Target<'a>>,
    others: Vec<Target<'a>>,
}

struct Target<'a> {
    log: &'a Arc<TopicLog>,
    state: MutexGuard<'a, TopicState>,
}

impl<'a> Targets<'a> {
    /// A log that is not followed yet is left out: its readers will read the event from the hub's log.
    pub(super) fn lock(topic: Option<&'a Arc<TopicLog>>, others: &'a [Arc<TopicLog>]) -> Self {
        let target = |log: &'a Arc<TopicLog>| {
            let state = log.lock();
            state.coverage.is_followed().then_some(Target { log, state })
        };
        Self { topic: topic.and_then(target), others: others.iter().filter_map(target).collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.topic.is_none() && self.others.is_empty()
    }

    pub(super) fn subscribers(&self) -> usize {
        let targets = self.topic.iter().chain(&self.others);
        targets.map(|target| target.state.subscribers as usize).sum()
    }

    /// The topic's last event, if it has had that.
    pub(super) fn last_event(&self) -> Option<LastEvent> {
        match self.topic.as_ref()?.state.standing {
            Standing::Finished(last) => Some(last),
            _ => None,
        }
    }

    pub(super) fn append(
        &mut self,
        frame: &Frame,
        memory: &mut Memory,
        now: u64,
        effects: &mut Effects,
    ) {
        for Target { log, state } in self.topic.iter_mut().chain(&mut self.others) {
            effects.wake(memory.append(log, state, frame.clone(), now));
        }
    }

    /// The topic's log, if it has neither subscribers nor retained events after all.
    pub(super) fn vacant(self) -> Option<&'a Arc<TopicLog>> {
        self.topic.filter(|topic| topic.state.is_vacant()).map(|topic| topic.log)
    }
}
