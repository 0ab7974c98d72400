use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::client::Client;
use crate::clock::millis;
use crate::end_reason::EndReason;
use crate::hub::shared::Shared;
use crate::retry::jittered;
use crate::timers::{Timed, TimerSlot};

/// Ends a stream that has been open for as long as one may be: see
/// [`HubBuilder::max_lifetime`](crate::HubBuilder::max_lifetime).
#[derive(Debug)]
pub(crate) struct Lifetime {
    end: Arc<End>,
    shared: Arc<Shared>,
}

/// The end of a stream in the shared timers.
#[derive(Debug)]
struct End {
    client: Arc<Client>,
    shared: Weak<Shared>,
    slot: TimerSlot,
}

impl Lifetime {
    /// Begins a lifetime, with the jitter: streams that were opened together, after a restart, end apart.
    pub(super) fn begin(lifetime: Duration, shared: &Arc<Shared>, client: &Arc<Client>) -> Self {
        let (client, slot) = (client.clone(), TimerSlot::new());
        let end = Arc::new(End { client, shared: Arc::downgrade(shared), slot });
        let at = shared.clock.now().saturating_add(millis(jittered(lifetime)));
        shared.clock.schedule(&end, at);
        Self { end, shared: shared.clone() }
    }
}

impl Drop for Lifetime {
    fn drop(&mut self) {
        self.shared.clock.cancel(&self.end.slot);
    }
}

impl Timed for End {
    fn timer(&self) -> &TimerSlot {
        &self.slot
    }

    fn fire(&self, _: u64) -> Option<u64> {
        self.shared.upgrade()?.end(&self.client, EndReason::Lifetime);
        None
    }
}
