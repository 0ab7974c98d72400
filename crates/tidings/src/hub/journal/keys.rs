use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use crate::backend::IdempotencyKey;

/// The idempotency keys that a hub in memory knows, with the positions of their events; or other names, with other values.
#[derive(Debug)]
pub(crate) struct Keys<K = IdempotencyKey, V = u64> {
    /// Milliseconds.
    window: u64,
    /// Above this number, the oldest are removed before their time.
    most: usize,
    values: HashMap<K, V>,
    /// With the time at which each was used, the oldest first.
    order: VecDeque<(u64, K)>,
}

impl Keys {
    /// About 20 MiB with keys of usual length.
    const MAX: usize = 100_000;

    pub(crate) fn new(window: u64) -> Self {
        Self::bounded(Self::MAX, window)
    }
}

impl<K: Clone + Eq + Hash, V: Copy> Keys<K, V> {
    pub(super) fn bounded(most: usize, window: u64) -> Self {
        Self { window, most, values: HashMap::new(), order: VecDeque::new() }
    }

    pub(crate) fn get(&mut self, key: &K, now: u64) -> Option<V> {
        self.expire(now);
        self.values.get(key).copied()
    }

    /// Inserts a key that is not known, or changes the value of one that is.
    pub(crate) fn insert(&mut self, key: K, value: V, now: u64) {
        if self.order.len() == self.most {
            self.pop();
        }
        if self.values.insert(key.clone(), value).is_none() {
            self.order.push_back((now, key));
        }
    }

    pub(super) fn remove(&mut self, key: &K) {
        if self.values.remove(key).is_some() {
            self.order.retain(|(_, known)| known != key);
        }
    }

    fn expire(&mut self, now: u64) {
        while self.order.front().is_some_and(|(at, _)| at.saturating_add(self.window) <= now) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some((_, key)) = self.order.pop_front() {
            self.values.remove(&key);
        }
        if self.order.len() < self.order.capacity() / 8 {
            self.order.shrink_to_fit();
            self.values.shrink_to_fit();
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
        assert_eq!((keys.values.len(), keys.order.len()), (Keys::MAX, Keys::MAX));
        assert_eq!(keys.get(&key(0), 1), None);
        assert_eq!(keys.get(&key(1), 1), Some(1));
        assert_eq!(keys.get(&key(1), 100), None);
        assert!(keys.values.is_empty() && keys.order.is_empty());
        assert!(keys.order.capacity() < 64);
    }
}
