use crate::sync::atomic::{AtomicU64, Ordering};

/// The newest offset that readers may see, and to which topics the newest events went. A reader of a thousand topics that
/// has missed one event need not look at all of them.
///
/// Written under the journal's lock, and read without it.
#[derive(Debug)]
pub(crate) struct Tail {
    watermark: AtomicU64,
    /// The newest offset that `events` has an entry of, or is just being given one.
    entered: AtomicU64,
    /// The entries of the newest offsets, each at its offset modulo their number.
    events: Box<[AtomicU64]>,
}

/// Where an event went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// To perhaps any topic.
    Any,
    /// To the topic with this id, if there is one, and perhaps to patterns.
    To { topic: u64, patterns: bool },
}

impl Entry {
    fn encode(self) -> u64 {
        match self {
            Self::Any => u64::MAX,
            Self::To { topic, patterns } => topic << 1 | u64::from(patterns),
        }
    }

    fn decode(entry: u64) -> Self {
        match entry {
            u64::MAX => Self::Any,
            entry => Self::To { topic: entry >> 1, patterns: entry & 1 == 1 },
        }
    }
}

impl Default for Tail {
    fn default() -> Self {
        let events = (0..Self::EVENTS).map(|_| AtomicU64::new(0)).collect();
        Self { watermark: AtomicU64::new(0), entered: AtomicU64::new(0), events }
    }
}

impl Tail {
    const EVENTS: u64 = if cfg!(shuttle) { 2 } else { 1024 };

    /// The newest offset that may be read.
    pub(crate) fn watermark(&self) -> u64 {
        self.watermark.load(Ordering::Acquire)
    }

    /// Under the locks of all logs that have the event.
    pub(crate) fn set_watermark(&self, offset: u64) {
        self.watermark.store(offset, Ordering::Release);
    }

    /// Before the watermark reaches the offset.
    pub(crate) fn enter(&self, offset: u64, entry: Entry) {
        // First: whoever finds the new entry also finds that an old one is gone.
        self.entered.store(offset, Ordering::Release);
        if let Some(place) = self.place(offset) {
            place.store(entry.encode(), Ordering::Release);
        }
    }

    fn place(&self, offset: u64) -> Option<&AtomicU64> {
        self.events.get(usize::try_from(offset % Self::EVENTS).ok()?)
    }

    /// Passes the entries of the offsets after `from` and up to `to`, which the watermark has reached. Returns whether
    /// these were all, and are right: they may be gone.
    pub(crate) fn for_each(&self, from: u64, to: u64, mut pass: impl FnMut(Entry)) -> bool {
        if to.saturating_sub(from) > Self::EVENTS {
            return false;
        }
        for offset in from + 1..=to {
            if let Some(place) = self.place(offset) {
                pass(Entry::decode(place.load(Ordering::Acquire)));
            }
        }
        // Last: an entry that was replaced meanwhile is noticed here.
        self.entered.load(Ordering::Acquire) - from <= Self::EVENTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(tail: &Tail, from: u64, to: u64) -> Option<Vec<Entry>> {
        let mut entries = Vec::new();
        tail.for_each(from, to, |entry| entries.push(entry)).then_some(entries)
    }

    #[test]
    fn the_newest_events_are_known_and_older_ones_are_known_to_be_gone() {
        let tail = Tail::default();
        let entry = |offset: u64| match offset % 3 {
            0 => Entry::Any,
            n => Entry::To { topic: offset, patterns: n == 1 },
        };
        let last = 3 * Tail::EVENTS;
        for offset in 1..=last {
            tail.enter(offset, entry(offset));
            tail.set_watermark(offset);
            assert_eq!(entries(&tail, offset - 1, offset), Some(vec![entry(offset)]));
        }
        let kept = last - Tail::EVENTS;
        assert!(entries(&tail, kept, last).unwrap().into_iter().eq((kept + 1..=last).map(entry)));
        assert_eq!(entries(&tail, kept - 1, kept), None);
        // While an event is being entered, its place has not got the old entry any more, or may not.
        tail.enter(last + 1, Entry::Any);
        assert_eq!(entries(&tail, kept, last), None);
        assert!(entries(&tail, kept + 1, last).is_some());
    }
}
