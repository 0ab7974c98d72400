use std::sync::Arc;

use slab::Slab;

use crate::registry::Client;

/// The clients that wait for a topic's next event.
///
/// A client is in the list only while it waits. An event *takes* the list, whole: the other events
/// of a burst find it empty, and nobody scans those who are busy. A client that leaves while it
/// waits takes itself out, so a quiet topic does not collect the dead.
#[derive(Debug, Default)]
pub(crate) struct WaitList {
    waiting: Slab<Arc<Client>>,
    /// Counts how often the list was taken, so that a place in an earlier list means nothing.
    generation: u64,
}

/// A place in a wait list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) generation: u64,
    index: usize,
}

impl WaitList {
    pub(crate) fn join(&mut self, client: &Arc<Client>) -> Place {
        Place { generation: self.generation, index: self.waiting.insert(client.clone()) }
    }

    pub(crate) fn leave(&mut self, place: Place) -> Option<Arc<Client>> {
        if place.generation != self.generation {
            return None;
        }
        let client = self.waiting.try_remove(place.index);
        if self.waiting.is_empty() && self.waiting.capacity() > 16 {
            self.waiting = Slab::new();
        }
        client
    }

    /// Empties the list and returns who waited, with the list's new generation.
    pub(crate) fn take(&mut self) -> (Slab<Arc<Client>>, u64) {
        self.generation += 1;
        (std::mem::take(&mut self.waiting), self.generation)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
