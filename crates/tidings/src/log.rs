//! One topic's log: live feed and replay history at once.

pub(crate) mod coalesce;
pub(crate) mod feed;
pub(crate) mod frame;
pub(crate) mod retention;
pub(crate) mod ring;
pub(crate) mod wait_list;

use std::sync::Arc;

use crate::subscription::status::ResetReason;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, MutexGuard};
use crate::topic::TopicPattern;
use crate::waking::{Waiter, Waiters};
use frame::Frame;
use retention::{LIVE_WINDOW, Retention};
use ring::Ring;
use wait_list::{Place, WaitList};

/// A topic: its events, and who waits for the next one.
///
/// Everything that changes is behind one lock, held for the time of an append or of copying some
/// references; a `std` or `parking_lot` mutex, not an async one, because nothing awaits under it.
#[derive(Debug)]
pub(crate) struct TopicLog {
    /// Unique within the hub, also over topics of the same name that come one after the other.
    pub(crate) id: u64,
    /// A topic's, or a family's: that is a log of the events of many topics.
    pub(crate) name: TopicPattern,
    pub(crate) retention: Retention,
    /// The newest frame's offset, 0 for none: readers see without the lock that nothing is new.
    head: AtomicU64,
    /// The wait list's generation, so that a waiting stream sees without the lock that it is
    /// still in the list.
    generation: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    /// Events with a position. Retained ones, and before them those of the live window.
    pub(crate) durable: Ring,
    pub(crate) ephemeral: Ring,
    /// How far back a reader may start.
    pub(crate) floor: Floor,
    pub(crate) subscribers: usize,
    /// How many subscriptions to a family are reading what was published here before they began.
    pub(crate) replays: usize,
    waiting: WaitList,
    /// Out of the hub's map: whoever still holds it looks the topic up anew.
    pub(crate) gone: bool,
    /// The topic's keys in the sequencer's two indices; see there.
    pub(crate) oldest_key: Option<u64>,
    pub(crate) expiry_key: Option<u64>,
}

/// The newest event that the topic does not have any more. All zero: nothing was ever lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Floor {
    pub(crate) offset: u64,
    pub(crate) position: u64,
    pub(crate) reason: ResetReason,
}

impl Floor {
    /// Of a topic that the hub's log does not deliver yet: nothing is known of it.
    pub(crate) const UNFOLLOWED: Self =
        Self { offset: u64::MAX, position: u64::MAX, reason: ResetReason::Trimmed };

    pub(crate) fn is_unfollowed(&self) -> bool {
        self.position == u64::MAX
    }

    /// The stricter of two.
    pub(crate) fn max(self, other: Floor) -> Floor {
        if other.position > self.position { other } else { self }
    }
}

/// The part of a topic's durable ring that is retained, as opposed to merely still readable.
pub(crate) struct Retained {
    /// Index of its first frame.
    pub(crate) first: usize,
}

impl TopicLog {
    pub(crate) fn new(id: u64, name: TopicPattern, retention: Retention, floor: Floor) -> Self {
        Self {
            id,
            name,
            retention,
            head: AtomicU64::new(0),
            generation: AtomicU64::new(1),
            state: Mutex::new(State {
                durable: Ring::default(),
                ephemeral: Ring::default(),
                floor,
                subscribers: 0,
                replays: 0,
                waiting: WaitList::default(),
                gone: false,
                oldest_key: None,
                expiry_key: None,
            }),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// The newest frame's offset.
    pub(crate) fn head(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    /// Appends a frame and takes the wait list, for the caller to wake when it holds no lock.
    pub(crate) fn append(&self, state: &mut State, frame: Frame) -> Waiters {
        self.head.store(frame.offset, Ordering::Release);
        match frame.position {
            Some(_) => state.durable.push(frame),
            None => state.ephemeral.push(frame),
        }
        self.take_waiting(state)
    }

    /// Throws away all frames and sets the floor, as if something had been appended there and lost:
    /// takes the wait list, for the caller to wake when it holds no lock.
    pub(crate) fn empty(&self, state: &mut State, floor: Floor) -> Waiters {
        self.head.store(floor.offset, Ordering::Release);
        state.durable = Ring::default();
        state.ephemeral = Ring::default();
        state.floor = floor;
        self.take_waiting(state)
    }

    fn take_waiting(&self, state: &mut State) -> Waiters {
        if state.waiting.is_empty() {
            return Waiters::new();
        }
        let (waiting, generation) = state.waiting.take();
        self.generation.store(generation.get(), Ordering::Release);
        waiting
    }

    /// Whether the stream with this place is still in the wait list: then nothing has been
    /// appended since it joined, and the next append will wake it.
    pub(crate) fn still_waiting(&self, place: Option<Place>) -> bool {
        place.is_some_and(|place| place.generation.get() == self.generation.load(Ordering::Acquire))
    }

    /// Joins the wait list, unless there is something behind `cursor` to read first.
    pub(crate) fn wait<W: Waiter + 'static>(&self, cursor: u64, waiter: &Arc<W>) -> Option<Place> {
        let mut state = self.lock();
        // Under the lock: an append is either seen here or finds the stream in the list.
        (self.head() <= cursor).then(|| state.waiting.join(waiter.clone()))
    }

    pub(crate) fn stop_waiting(&self, place: Place) {
        let left = self.lock().waiting.leave(place);
        // Outside the lock: it may be the last reference to the stream.
        drop(left);
    }

    /// Removes what neither retention nor the live window keeps. Returns the bytes freed.
    pub(crate) fn evict(&self, state: &mut State, now: u64) -> usize {
        let mut freed = 0;
        while let Some(front) = state.durable.front() {
            let expired = front.at.saturating_add(self.retention.age_millis()) <= now;
            let over = self.is_over(&state.durable);
            if !(expired || over) || state.is_live(&state.durable, now) {
                break;
            }
            let reason = if over { ResetReason::Trimmed } else { ResetReason::Expired };
            freed += state.evict_front(reason);
        }
        while !state.ephemeral.is_empty() && !state.is_live(&state.ephemeral, now) {
            freed += state.ephemeral.pop().map_or(0, |frame| frame.cost());
        }
        freed
    }

    /// Whether a durable ring holds more than is retained of it.
    fn is_over(&self, ring: &Ring) -> bool {
        ring.len() > self.retention.events || ring.cost() > self.retention.bytes
    }

    /// What of the durable ring is retained at this time.
    pub(crate) fn retained(&self, state: &State, now: u64) -> Retained {
        let ring = &state.durable;
        let mut first = ring.len().saturating_sub(self.retention.events);
        let mut cost = ring.cost();
        for frame in ring.iter().take(first) {
            cost -= frame.cost();
        }
        while cost > self.retention.bytes {
            cost -= ring.get(first).map_or(cost, Frame::cost);
            first += 1;
        }
        // Of age `retention.age` or more is out; a frame of the hub's first moments never is.
        if let Some(oldest) = now.checked_sub(self.retention.age_millis()) {
            first = first.max(ring.first_since(oldest));
        }
        Retained { first }
    }

    /// When the topic's oldest frame is to be looked at again, in milliseconds of the clock.
    pub(crate) fn deadline(&self, state: &State) -> Option<u64> {
        let window = if state.is_read() { LIVE_WINDOW.age_millis() } else { 0 };
        let keep = match self.is_over(&state.durable) {
            true => window,
            false => self.retention.age_millis().max(window),
        };
        let durable = state.durable.front().map(|frame| frame.at.saturating_add(keep));
        let ephemeral = state.ephemeral.front().map(|frame| frame.at.saturating_add(window));
        match (durable, ephemeral) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

impl State {
    /// Whether anybody may be reading.
    pub(crate) fn is_read(&self) -> bool {
        self.subscribers + self.replays > 0
    }

    /// Whether the front of a ring is to stay for the sake of connected clients.
    fn is_live(&self, ring: &Ring, now: u64) -> bool {
        let Some(front) = ring.front() else {
            return false;
        };
        self.is_read()
            && ring.len() <= LIVE_WINDOW.events
            // The newest frame stays whatever its size: its readers are only just waking up.
            && (ring.cost() <= LIVE_WINDOW.bytes || ring.len() == 1)
            && front.at.saturating_add(LIVE_WINDOW.age_millis()) > now
    }

    /// Removes the oldest durable frame. Returns the bytes freed.
    pub(crate) fn evict_front(&mut self, reason: ResetReason) -> usize {
        let Some(frame) = self.durable.pop() else {
            return 0;
        };
        if let Some(position) = frame.position {
            self.floor = Floor { offset: frame.offset, position, reason };
        }
        frame.cost()
    }

    /// The oldest frame's offset.
    pub(crate) fn oldest(&self) -> Option<u64> {
        let durable = self.durable.front().map(|frame| frame.offset);
        let ephemeral = self.ephemeral.front().map(|frame| frame.offset);
        match (durable, ephemeral) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn cost(&self) -> usize {
        self.durable.cost() + self.ephemeral.cost()
    }

    /// The last subscriber has left.
    pub(crate) fn left_alone(&mut self) {
        self.waiting.shrink();
    }

    /// Neither subscribers nor retained events.
    pub(crate) fn is_vacant(&self) -> bool {
        self.subscribers == 0 && self.durable.is_empty()
    }
}
