use std::sync::Arc;

use crate::backend::IdempotencyKey;
use crate::event::tags::Tags;
use crate::topic::Topic;

/// An event on its way into the journal.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) topic: &'a Topic,
    /// The encoded event, without its id and the blank line that ends it.
    pub(crate) body: Vec<u8>,
    pub(crate) tags: Option<Arc<Tags>>,
    pub(crate) kind: EntryKind,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    /// Gets the hub's next position, unless the hub already has an event with this key.
    Durable(Option<IdempotencyKey>),
    /// Has its position from the hub's log.
    Replicated {
        position: u64,
        /// When it was published, in milliseconds of the hub's clock.
        at: u64,
        /// See [`Record::seen`](crate::backend::Record::seen).
        seen: Option<u64>,
    },
    /// Has no position.
    Ephemeral,
}
