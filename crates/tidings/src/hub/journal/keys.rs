use std::collections::{HashMap, VecDeque};

use crate::backend::IdempotencyKey;

/// The idempotency keys that a hub in memory knows, with the positions of their events.
#[derive(Debug)]
pub(crate) struct Keys {
    /// Milliseconds.
    window: u64,
    positions: HashMap<IdempotencyKey, u64>,
    /// With the time at which each was used, the oldest first.
    order: VecDeque<(u64, IdempotencyKey)>,
}

impl Keys {
    /// Above this number, the oldest are removed before their time. About 20 MiB with keys of usual length.
    const MAX: usize = 100_000;

    pub(crate) fn new(window: u64) -> Self {
        Self { window, positions: HashMap::new(), order: VecDeque::new() }
    }

    /// The position of the event that had this key.
    pub(crate) fn get(&mut self, key: &IdempotencyKey, now: u64) -> Option<u64> {
        self.expire(now);
        self.positions.get(key).copied()
    }

    pub(crate) fn insert(&mut self, key: IdempotencyKey, position: u64, now: u64) {
        if self.order.len() == Self::MAX {
            self.pop();
        }
        self.positions.insert(key.clone(), position);
        self.order.push_back((now, key));
    }

    fn expire(&mut self, now: u64) {
        while self.order.front().is_some_and(|(at, _)| at.saturating_add(self.window) <= now) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some((_, key)) = self.order.pop_front() {
            self.positions.remove(&key);
        }
        if self.order.len() < self.order.capacity() / 8 {
            self.order.shrink_to_fit();
            self.positions.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> IdempotencyKey {
        IdempotencyKey::new(format!("key-{n}")).unwrap()
    }

    #[test]
    fn a_key_is_remembered_for_the_window_and_no_longer() {
        let mut keys = Keys::new(100);
        keys.insert(key(1), 7, 1_000);
        assert_eq!(keys.get(&key(1), 1_099), Some(7));
        assert_eq!(keys.get(&key(2), 1_099), None);
        assert_eq!(keys.get(&key(1), 1_100), None);
        keys.insert(key(1), 8, 1_100);
        assert_eq!(keys.get(&key(1), 1_199), Some(8));
    }

    #[test]
    fn too_many_keys_push_out_the_oldest() {
        let mut keys = Keys::new(100);
        for n in 0..=Keys::MAX {
            keys.insert(key(n), n as u64, 0);
        }
        assert_eq!((keys.positions.len(), keys.order.len()), (Keys::MAX, Keys::MAX));
        assert_eq!(keys.get(&key(0), 1), None);
        assert_eq!(keys.get(&key(1), 1), Some(1));
        assert_eq!(keys.get(&key(1), 100), None);
        assert!(keys.positions.is_empty() && keys.order.is_empty());
        assert!(keys.order.capacity() < 64);
    }
}
