use std::num::NonZeroU64;
use std::sync::Arc;

use slab::Slab;

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::waking::{Waiter, Waiters};

/// The streams that wait for a topic's next event.
///
/// A stream is in the list only while it waits. An event *takes* the whole list: the other events of a burst
/// find it empty, and busy streams are never scanned. A stream that ends while it waits removes itself, so a
/// quiet topic does not collect dead entries.
#[derive(Debug, Default)]
pub(crate) struct WaitList {
    waiting: Slab<Arc<dyn Waiter>>,
}

/// Counts, from 1, how often a wait list was taken. It is kept outside the list's lock, so that a stream sees without that
/// whether it is still in the list.
#[derive(Debug)]
pub(crate) struct Generation(AtomicU64);

impl Default for Generation {
    fn default() -> Self {
        Self(AtomicU64::new(1))
    }
}

impl Generation {
    /// For those who hold the list's lock.
    fn now(&self) -> NonZeroU64 {
        NonZeroU64::new(self.0.load(Ordering::Relaxed)).unwrap_or(NonZeroU64::MIN)
    }

    /// Whether the stream with this ticket is still in the wait list.
    #[inline]
    pub(crate) fn is_of(&self, ticket: Option<Ticket>) -> bool {
        ticket.is_some_and(|ticket| ticket.generation.get() == self.0.load(Ordering::Acquire))
    }
}

/// A stream's entry in a wait list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket {
    generation: NonZeroU64,
    index: usize,
}

impl WaitList {
    #[inline]
    pub(crate) fn join(&mut self, waiter: Arc<dyn Waiter>, generation: &Generation) -> Ticket {
        if self.waiting.capacity() == 0 {
            self.make_room();
        }
        Ticket { generation: generation.now(), index: self.waiting.insert(waiter) }
    }

    /// Most topics have one reader: a slab would begin with room for four.
    #[cold]
    fn make_room(&mut self) {
        self.waiting = Slab::with_capacity(1);
    }

    pub(crate) fn leave(
        &mut self,
        ticket: Ticket,
        generation: &Generation,
    ) -> Option<Arc<dyn Waiter>> {
        if !generation.is_of(Some(ticket)) {
            return None;
        }
        let waiter = self.waiting.try_remove(ticket.index);
        if self.waiting.is_empty() && self.waiting.capacity() > 16 {
            self.waiting = Slab::new();
        }
        waiter
    }

    /// Gives back the memory of an empty list.
    pub(crate) fn shrink(&mut self) {
        if self.waiting.is_empty() {
            self.waiting = Slab::new();
        }
    }

    /// Empties the list and returns its waiters. The tickets of the next generation are others.
    pub(crate) fn take(&mut self, generation: &Generation) -> Waiters {
        generation.0.fetch_add(1, Ordering::Release);
        // The woken streams will come back: the list need not grow in steps again.
        let empty = Slab::with_capacity(self.waiting.len());
        let taken = std::mem::replace(&mut self.waiting, empty);
        Waiters::of(std::ptr::from_ref(generation).addr(), taken)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
