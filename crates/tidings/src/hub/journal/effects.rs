use std::sync::Arc;

use crate::log::TopicLog;
use crate::waking::{self, Waiters};

/// What a change of the journal leaves to be done when no lock is held: to wake streams, which may come back
/// into the hub or drop what they hold, and to drop topics with all their events.
#[derive(Debug, Default)]
#[must_use = "streams wait to be woken"]
pub(crate) struct Effects {
    /// The first list apart: one is the usual number, and needs no allocation.
    wake: Option<Waiters>,
    wake_more: Vec<Waiters>,
    vacated: Vec<Arc<TopicLog>>,
    /// More events are to be removed than were at once.
    pub(super) is_over_budget: bool,
}

impl Effects {
    pub(super) fn wake(&mut self, waiters: Waiters) {
        if waiters.is_empty() {
            return;
        }
        match &mut self.wake {
            Some(_) => self.wake_more.push(waiters),
            None => self.wake = Some(waiters),
        }
    }

    pub(super) fn drop_topic(&mut self, log: Arc<TopicLog>) {
        self.vacated.push(log);
    }

    /// To be called with no lock held.
    pub(crate) fn run(self) {
        let Self { wake, wake_more, vacated, .. } = self;
        wake.into_iter().chain(wake_more).for_each(waking::wake);
        drop(vacated);
    }

    pub(crate) fn is_over_budget(&self) -> bool {
        self.is_over_budget
    }
}
