use std::num::NonZeroU64;
use std::sync::Arc;

use crate::waking::{Waiter, Waiters};

/// The streams that wait for a topic's next event.
///
/// A stream is in the list only while it waits. An event *takes* the whole list: the other events of a burst
/// find it empty, and busy streams are never scanned. A stream that ends while it waits removes itself, so a
/// quiet topic does not collect dead entries.
#[derive(Debug)]
pub(crate) struct WaitList {
    waiting: Waiters,
    /// Counts, from 1, how often the list was taken: a ticket of an earlier list means nothing.
    generation: NonZeroU64,
}

/// A stream's entry in a wait list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket {
    pub(crate) generation: NonZeroU64,
    index: usize,
}

impl Default for WaitList {
    fn default() -> Self {
        Self { waiting: Waiters::new(), generation: NonZeroU64::MIN }
    }
}

impl WaitList {
    #[inline]
    pub(crate) fn join(&mut self, waiter: Arc<dyn Waiter>) -> Ticket {
        if self.waiting.capacity() == 0 {
            self.make_room();
        }
        Ticket { generation: self.generation, index: self.waiting.insert(waiter) }
    }

    /// Most topics have one reader: a slab would begin with room for four.
    #[cold]
    fn make_room(&mut self) {
        self.waiting = Waiters::with_capacity(1);
    }

    pub(crate) fn leave(&mut self, ticket: Ticket) -> Option<Arc<dyn Waiter>> {
        if ticket.generation != self.generation {
            return None;
        }
        let waiter = self.waiting.try_remove(ticket.index);
        if self.waiting.is_empty() && self.waiting.capacity() > 16 {
            self.waiting = Waiters::new();
        }
        waiter
    }

    /// Gives back the memory of an empty list.
    pub(crate) fn shrink(&mut self) {
        if self.waiting.is_empty() {
            self.waiting = Waiters::new();
        }
    }

    /// Empties the list and returns its waiters, with the list's new generation.
    pub(crate) fn take(&mut self) -> (Waiters, NonZeroU64) {
        self.generation = self.generation.saturating_add(1);
        // The woken streams will come back: the list need not grow in steps again.
        let empty = Waiters::with_capacity(self.waiting.len());
        (std::mem::replace(&mut self.waiting, empty), self.generation)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
