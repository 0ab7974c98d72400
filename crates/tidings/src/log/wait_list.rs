use std::num::NonZeroU64;
use std::sync::Arc;

use crate::waking::{Waiter, Waiters};

/// The streams that wait for a topic's next event.
///
/// A stream is in the list only while it waits. An event *takes* the list, whole: the other events
/// of a burst find it empty, and nobody scans those who are busy. A stream that ends while it
/// waits takes itself out, so a quiet topic does not collect the dead.
#[derive(Debug)]
pub(crate) struct WaitList {
    waiting: Waiters,
    /// Counts, from 1, how often the list was taken, so that a place in an earlier list means nothing.
    generation: NonZeroU64,
}

/// A place in a wait list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) generation: NonZeroU64,
    index: usize,
}

impl Default for WaitList {
    fn default() -> Self {
        Self { waiting: Waiters::new(), generation: NonZeroU64::MIN }
    }
}

impl WaitList {
    pub(crate) fn join(&mut self, waiter: Arc<dyn Waiter>) -> Place {
        Place { generation: self.generation, index: self.waiting.insert(waiter) }
    }

    pub(crate) fn leave(&mut self, place: Place) -> Option<Arc<dyn Waiter>> {
        if place.generation != self.generation {
            return None;
        }
        let waiter = self.waiting.try_remove(place.index);
        if self.waiting.is_empty() && self.waiting.capacity() > 16 {
            self.waiting = Waiters::new();
        }
        waiter
    }

    /// Gives back the memory of a list in which nobody waits any more.
    pub(crate) fn shrink(&mut self) {
        if self.waiting.is_empty() {
            self.waiting = Waiters::new();
        }
    }

    /// Empties the list and returns who waited, with the list's new generation.
    pub(crate) fn take(&mut self) -> (Waiters, NonZeroU64) {
        self.generation = self.generation.saturating_add(1);
        // Those who are woken will come back: the list need not grow in steps again.
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
