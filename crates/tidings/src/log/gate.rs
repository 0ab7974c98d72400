use std::sync::{Arc, Weak};

use super::feed::{Cursor, Feed, TopicCursor};
use super::tail::Tail;
use super::wait_list::{Generation, Ticket, WaitList};
use crate::hub::shared::Shared;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::timers::{Timed, TimerSlot};
use crate::waking::{self, Waiter};

/// Lets the streams of a feed read what is new at most once in an interval, all of them at the same time.
///
/// The streams wait for the gate, and the gate alone waits for the topics: the first event after a quiet interval opens it
/// at once, one that comes sooner has the timers open it when the interval is over, and whatever is published until then
/// costs nothing. When it is open, a stream reads all that is published, and not only what was published when it opened: or a
/// key that changes all the time might have no value to be read at any such moment.
#[derive(Debug)]
pub(crate) struct Gate {
    /// In milliseconds of the clock.
    interval: u64,
    /// Open for streams whose cursors are before this.
    open_to: AtomicU64,
    /// That of the wait list.
    generation: Generation,
    state: Mutex<State>,
    slot: TimerSlot,
    shared: Weak<Shared>,
    this: Weak<Gate>,
}

#[derive(Debug)]
struct State {
    waiting: WaitList,
    /// When it may open next, by the clock.
    next_at: u64,
    watch: Watch,
    /// Its tickets in the wait lists of the topics, and the watermark when it joined them.
    topic_cursors: Box<[TopicCursor]>,
    waited: u64,
}

/// What a closed gate waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watch {
    Nothing,
    /// The next event after an offset.
    News(u64),
    /// The end of the interval.
    Time,
}

impl Gate {
    /// `interval` is in milliseconds.
    pub(super) fn new(interval: u64, topics: usize, shared: &Shared) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            interval,
            open_to: AtomicU64::new(0),
            generation: Generation::default(),
            state: Mutex::new(State {
                waiting: WaitList::default(),
                next_at: 0,
                watch: Watch::Nothing,
                topic_cursors: vec![TopicCursor::default(); topics].into(),
                waited: 0,
            }),
            slot: TimerSlot::new(),
            shared: shared.this(),
            this: this.clone(),
        })
    }

    pub(super) fn interval(&self) -> u64 {
        self.interval
    }

    /// Whether a stream may read what is published after its cursor.
    #[inline]
    pub(super) fn is_open(&self, cursor: u64) -> bool {
        cursor < self.open_to.load(Ordering::Acquire)
    }

    /// Whether the stream with this ticket is still in the wait list.
    pub(super) fn still_waiting(&self, ticket: Option<Ticket>) -> bool {
        self.generation.is_of(ticket)
    }

    /// Joins the wait list. Returns false when the gate is open instead.
    pub(super) fn wait<W: Waiter + 'static>(
        &self,
        feed: &Feed,
        cursor: Cursor,
        ticket: &mut Option<Ticket>,
        waiter: &Arc<W>,
        tail: &Tail,
    ) -> bool {
        let mut state = self.state.lock();
        // Under the lock: an opening is either seen here or finds the stream in the list.
        if self.is_open(cursor.offset) {
            return false;
        }
        if !self.still_waiting(*ticket) {
            *ticket = Some(state.waiting.join(waiter.clone(), &self.generation));
        }
        let watch = state.watch;
        let has_news = match watch {
            Watch::Time => false,
            Watch::News(offset) => cursor.offset < offset && feed.has_news(cursor.offset),
            Watch::Nothing => {
                state.watch = Watch::News(cursor.offset);
                let State { topic_cursors, waited, .. } = &mut *state;
                let Some(this) = self.this.upgrade() else { return true };
                !feed.wait_for_topics(cursor, topic_cursors, waited, &this, tail)
            }
        };
        if has_news {
            self.wait_for_time(&mut state);
        }
        true
    }

    pub(super) fn stop_waiting(&self, ticket: Ticket) {
        let left = self.state.lock().waiting.leave(ticket, &self.generation);
        // Outside the lock: it may be the last reference to the stream.
        drop(left);
    }

    /// What is published from now on is read with what came before it in this interval.
    fn wait_for_time(&self, state: &mut State) {
        state.watch = Watch::Time;
        if let (Some(this), Some(shared)) = (self.this.upgrade(), self.shared.upgrade()) {
            shared.clock.schedule_exactly(&this, state.next_at);
        }
    }

    /// Opens it for streams whose cursors are before an offset.
    fn open(&self, to: u64, now: u64) {
        let mut state = self.state.lock();
        (state.watch, state.next_at) = (Watch::Nothing, now.saturating_add(self.interval));
        self.open_to.store(to, Ordering::Release);
        let waiting = state.waiting.take(&self.generation);
        drop(state);
        waking::wake(waiting);
    }

    /// The feed is gone.
    pub(super) fn close(&self, feed: &Feed) {
        let topic_cursors = std::mem::take(&mut self.state.lock().topic_cursors);
        feed.leave_topics(&topic_cursors);
        if let Some(shared) = self.shared.upgrade() {
            shared.clock.cancel(&self.slot);
        }
    }
}

/// A topic has something new.
impl Waiter for Gate {
    fn wake(&self) {
        let Some(shared) = self.shared.upgrade() else { return };
        let now = shared.clock.now();
        let mut state = self.state.lock();
        if state.watch == Watch::Time {
            return;
        }
        if now < state.next_at {
            return self.wait_for_time(&mut state);
        }
        drop(state);
        self.open(shared.watermark(), now);
    }
}

impl Timed for Gate {
    fn timer(&self) -> &TimerSlot {
        &self.slot
    }

    fn fire(&self, now: u64) -> Option<u64> {
        if let Some(shared) = self.shared.upgrade() {
            self.open(shared.watermark(), now);
        }
        None
    }
}
