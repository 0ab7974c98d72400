//! The memory that readers hold and topics do not.
//!
//! A reader that stalls holds what it was sent. As long as a topic's log has that event, too, it costs nothing. When the
//! event is evicted, its memory is *pinned*: by one reader or by a thousand, it counts once. The same goes for pages of the
//! hub's log and for snapshots, which no topic has. And what a stream keeps in order to read the past of many topics is
//! pinned, with the topics that vanish meanwhile.

use std::sync::Arc;

use bytes::Bytes;

use crate::sync::atomic::{AtomicUsize, Ordering};

/// Counts a hub's pinned bytes.
#[derive(Debug)]
pub(crate) struct Pinned {
    /// It wraps: an event that is dropped while it is evicted is counted out first.
    bytes: AtomicUsize,
    /// Of these, those of topics that have vanished.
    vanished: AtomicUsize,
    limit: usize,
    /// Above this many bytes, streams are ended. It is above the limit for a while when that was done and did not help at
    /// once, so that not every publication tries again.
    threshold: AtomicUsize,
}

impl Pinned {
    /// What is smaller is not counted. It is what a stream may hold in addition.
    pub(crate) const COUNTED: usize = 4 * 1024;

    pub(crate) fn new(limit: usize) -> Arc<Self> {
        // So that the sums below cannot overflow.
        let limit = limit.min(usize::MAX / 4);
        Arc::new(Self {
            bytes: AtomicUsize::new(0),
            vanished: AtomicUsize::new(0),
            limit,
            threshold: AtomicUsize::new(limit),
        })
    }

    pub(crate) fn bytes(&self) -> usize {
        let bytes = self.bytes.load(Ordering::Relaxed);
        if bytes > usize::MAX / 2 { 0 } else { bytes }
    }

    /// How many of them are those of topics that have vanished, and are still read.
    pub(crate) fn vanished(&self) -> usize {
        self.vanished.load(Ordering::Relaxed)
    }

    /// Whether streams must be ended.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.bytes() > self.threshold.load(Ordering::Relaxed)
    }

    /// Whether more is pinned than should be.
    pub(crate) fn is_above_limit(&self) -> bool {
        self.bytes() > self.limit
    }

    /// Down to how many bytes streams are ended: some below the limit, so that it is not one by one.
    pub(crate) fn target(&self) -> usize {
        self.limit - self.limit / 8
    }

    /// Streams were ended as far as that could help.
    pub(crate) fn be_patient(&self) {
        let bytes = self.bytes();
        let more = if bytes > self.limit { bytes + self.limit / 16 } else { self.limit };
        self.threshold.store(more, Ordering::Relaxed);
    }

    /// What was ended has had its time.
    pub(crate) fn lose_patience(&self) {
        self.threshold.store(self.limit, Ordering::Relaxed);
    }

    /// Bytes that no topic has.
    pub(crate) fn hold(self: &Arc<Self>, bytes: Vec<u8>) -> Bytes {
        if bytes.len() < Self::COUNTED {
            return bytes.into();
        }
        self.add(bytes.len());
        self.counted(bytes)
    }

    /// Bytes that topics have, as long as they have the guard.
    pub(crate) fn keep(self: &Arc<Self>, bytes: Vec<u8>) -> (Bytes, Option<Arc<Kept>>) {
        if bytes.len() < Self::COUNTED {
            return (bytes.into(), None);
        }
        let kept = Kept { pinned: self.clone(), length: bytes.len() };
        (self.counted(bytes), Some(Arc::new(kept)))
    }

    /// Memory that is no bytes of events, as long as the guard lives.
    pub(crate) fn hold_memory(self: &Arc<Self>, length: usize) -> Option<Held> {
        let is_counted = length >= Self::COUNTED;
        is_counted.then(|| {
            self.add(length);
            Held { pinned: self.clone(), length }
        })
    }

    pub(crate) fn add(&self, length: usize) {
        self.bytes.fetch_add(length, Ordering::Relaxed);
    }

    pub(crate) fn remove(&self, length: usize) {
        self.bytes.fetch_sub(length, Ordering::Relaxed);
    }

    /// A topic has vanished that is still read.
    pub(crate) fn add_vanished(&self, length: usize) {
        self.vanished.fetch_add(length, Ordering::Relaxed);
        self.add(length);
    }

    /// It is not read any more.
    pub(crate) fn remove_vanished(&self, length: usize) {
        self.vanished.fetch_sub(length, Ordering::Relaxed);
        self.remove(length);
    }

    fn counted(self: &Arc<Self>, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Counted { pinned: self.clone(), bytes })
    }
}

/// Bytes that are not pinned, because a topic has them.
#[derive(Debug)]
pub(crate) struct Kept {
    pinned: Arc<Pinned>,
    length: usize,
}

impl Drop for Kept {
    /// The last topic has evicted them: from now on they are pinned, if anybody has them.
    fn drop(&mut self) {
        self.pinned.add(self.length);
    }
}

/// Memory that is pinned until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    pinned: Arc<Pinned>,
    length: usize,
}

impl Held {
    pub(crate) fn bytes(&self) -> usize {
        self.length
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.pinned.remove(self.length);
    }
}

struct Counted {
    pinned: Arc<Pinned>,
    bytes: Vec<u8>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.pinned.remove(self.bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = Pinned::COUNTED;

    #[test]
    fn an_event_counts_from_its_eviction_to_its_last_reader_once() {
        let pinned = Pinned::new(10 * SIZE);
        let (bytes, kept) = pinned.keep(vec![b'x'; SIZE]);
        let (other_topic, readers) = (kept.clone(), vec![bytes.clone(); 1_000]);
        drop((bytes, kept));
        assert_eq!(pinned.bytes(), 0);
        drop(other_topic);
        assert_eq!(pinned.bytes(), SIZE);
        let last = readers[0].slice(7..8);
        drop(readers);
        assert_eq!(pinned.bytes(), SIZE);
        drop(last);
        assert_eq!(pinned.bytes(), 0);
    }

    #[test]
    fn an_event_without_readers_is_never_pinned() {
        let pinned = Pinned::new(10 * SIZE);
        let (bytes, kept) = pinned.keep(vec![b'x'; SIZE]);
        drop(bytes);
        assert_eq!(pinned.bytes(), 0, "it is negative for a moment");
        drop(kept);
        assert_eq!(pinned.bytes(), 0);
        assert!(pinned.keep(vec![b'x'; SIZE - 1]).1.is_none(), "too small to be counted");
    }

    #[test]
    fn what_no_topic_has_counts_at_once() {
        let pinned = Pinned::new(10 * SIZE);
        let page = pinned.hold(vec![b'x'; 11 * SIZE]);
        assert!(pinned.is_over() && pinned.is_above_limit());
        pinned.be_patient();
        assert!(!pinned.is_over() && pinned.is_above_limit());
        pinned.lose_patience();
        assert!(pinned.is_over());
        drop(page);
        assert_eq!((pinned.bytes(), pinned.is_over()), (0, false));
    }
}
