use crate::epoch::Epoch;
use crate::field::EventId;

/// A published event.
#[derive(Debug, Clone)]
pub struct Published {
    epoch: Epoch,
    position: u64,
    subscribers: usize,
    is_duplicate: bool,
}

impl Published {
    pub(crate) fn new(epoch: Epoch, position: u64, subscribers: usize, is_duplicate: bool) -> Self {
        Self { epoch, position, subscribers, is_duplicate }
    }

    /// The id that the hub gave the event, which is also its place in the hub's order.
    pub fn id(&self) -> EventId {
        self.epoch.id(self.position)
    }

    /// For how many subscriptions of this hub it was at that moment. A stream that is subscribed by several names that match
    /// counts for each. In memory, streams whose filter hides the event are left out; on a [log](crate::backend), they are not.
    pub fn subscribers(&self) -> usize {
        self.subscribers
    }

    /// Whether an event with the same [`IdempotencyKey`](crate::IdempotencyKey) was published before. If so,
    /// nothing was published now, and the id is that of the first event.
    pub fn is_duplicate(&self) -> bool {
        self.is_duplicate
    }
}
