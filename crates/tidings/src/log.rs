//! One topic's log: live feed and replay history at once.

pub(crate) mod coalesce;
pub(crate) mod coverage;
pub(crate) mod feed;
pub(crate) mod filtered;
pub(crate) mod frame;
mod gate;
mod latest;
pub(crate) mod reset_reason;
pub(crate) mod retention;
pub(crate) mod ring;
pub(crate) mod standing;
pub(crate) mod tail;
pub(crate) mod wait_list;

use std::num::NonZeroU64;
use std::sync::Arc;

use crate::pinned::Pinned;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, MutexGuard};
use crate::topic::TopicPattern;
use crate::waking::{Waiter, Waiters};
use coverage::{Coverage, LowWatermark};
use filtered::Filtered;
use frame::Frame;
use reset_reason::ResetReason;
use retention::{LIVE_WINDOW, Retention};
use ring::Ring;
use standing::{End, LastEvent, Standing};
use wait_list::{Generation, Ticket, WaitList};

/// A topic: its events, and the streams that wait for the next one.
///
/// One lock protects everything that changes. It is held for the time of an append, or of copying some
/// references. It is not an async lock, because nothing awaits under it.
#[derive(Debug)]
pub(crate) struct TopicLog {
    /// Unique within the hub: a topic that vanishes and comes back has another one.
    pub(crate) id: u64,
    /// The topic's name; or a pattern, whose log has the events of many topics.
    pub(crate) name: TopicPattern,
    pub(crate) retention: Arc<Retention>,
    pub(crate) filtered: Option<Box<Filtered>>,
    /// The newest frame's offset, 0 for none: readers see without the lock that nothing is new.
    head: AtomicU64,
    /// The offset at which the topic has ended, or [`OPEN`](Self::OPEN) or [`UNKNOWN`](Self::UNKNOWN): readers see without
    /// the lock whether anything may follow.
    end: AtomicU64,
    /// The wait list's.
    generation: Generation,
    state: Mutex<TopicState>,
}

#[derive(Debug)]
pub(crate) struct TopicState {
    /// Events with a position. Retained ones, and before them those of the live window.
    pub(crate) durable: Ring,
    /// Few topics have any.
    ephemeral: Option<Box<Ring>>,
    pub(crate) coverage: Coverage,
    pub(crate) standing: Standing,
    /// When this is empty, the hub's log has to be asked whether the topic is finished.
    is_asked_for: bool,
    pub(crate) subscribers: u32,
    /// Those of its filtered logs.
    pub(crate) filtered_subscribers: u32,
    /// What reads it or a filtered log of it like a stream, and is none: for the application, or the hub itself.
    pub(crate) readers: u32,
    /// How many events were appended, whatever has become of them.
    pub(crate) appended: u64,
    /// Pattern subscriptions that are reading what was published here before they began.
    pub(crate) replays: u32,
    /// The hub does not have it any more. As long as replays have it, its memory is pinned.
    is_removed: bool,
    waiting: WaitList,
    /// The topic's keys in the two indices of `journal/memory.rs`.
    pub(crate) oldest_key: Option<NonZeroU64>,
    pub(crate) expiry_key: Option<NonZeroU64>,
}

impl TopicLog {
    pub(crate) fn new(
        id: u64,
        name: TopicPattern,
        retention: Arc<Retention>,
        coverage: Coverage,
        is_asked_for: bool,
    ) -> Self {
        let durable = Ring::of(&retention, coverage.low_watermark());
        let standing = Standing::when_empty(is_asked_for);
        Self {
            id,
            name,
            retention,
            filtered: None,
            head: AtomicU64::new(0),
            end: AtomicU64::new(Self::end_of(standing, 0)),
            generation: Generation::default(),
            state: Mutex::new(TopicState {
                durable,
                ephemeral: None,
                coverage,
                standing,
                is_asked_for,
                subscribers: 0,
                filtered_subscribers: 0,
                readers: 0,
                appended: 0,
                replays: 0,
                is_removed: false,
                waiting: WaitList::default(),
                oldest_key: None,
                expiry_key: None,
            }),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, TopicState> {
        self.state.lock()
    }

    /// The newest frame's offset.
    pub(crate) fn head(&self) -> u64 {
        #[cfg(test)]
        looks::count();
        self.head.load(Ordering::Acquire)
    }

    const OPEN: u64 = 0;
    const UNKNOWN: u64 = u64::MAX;

    fn end_of(standing: Standing, offset: u64) -> u64 {
        match standing {
            Standing::Open => Self::OPEN,
            Standing::Unknown { .. } => Self::UNKNOWN,
            Standing::Finished(_) => offset,
        }
    }

    /// Sets whether anything follows the event at an offset.
    pub(crate) fn set_standing(&self, state: &mut TopicState, standing: Standing, offset: u64) {
        state.standing = standing;
        self.end.store(Self::end_of(standing, offset), Ordering::Release);
    }

    /// The topic has ended before `offset`, as the hub's log says. Takes the wait list, for the caller to wake when it holds
    /// no lock.
    pub(crate) fn finish(&self, state: &mut TopicState, last: LastEvent, offset: u64) -> Waiters {
        self.set_standing(state, Standing::Finished(last), offset);
        self.skip(state, offset)
    }

    /// Has readers look at an offset, where there is no event. Takes the wait list, as above.
    pub(crate) fn skip(&self, state: &mut TopicState, offset: u64) -> Waiters {
        self.head.store(offset, Ordering::Release);
        self.take_waiting(state)
    }

    /// What may follow for one who has read everything up to an offset.
    #[inline]
    pub(crate) fn end(&self, offset: u64) -> End {
        // A filtered log ends when the one does that it is of: it has the last event, too.
        let log = self.filtered.as_ref().map_or(self, |filtered| &*filtered.of);
        match log.end.load(Ordering::Acquire) {
            Self::OPEN => End::Open,
            Self::UNKNOWN => End::Unknown,
            end if end <= offset => End::Reached,
            _ => End::Open,
        }
    }

    /// Appends a frame and takes the wait list, for the caller to wake when it holds no lock.
    pub(crate) fn append(&self, state: &mut TopicState, frame: Frame) -> Waiters {
        self.head.store(frame.offset, Ordering::Release);
        state.appended += 1;
        match frame.position {
            Some(position) => {
                if frame.is_last() && !self.name.has_wildcard() {
                    let last = LastEvent { position };
                    self.set_standing(state, Standing::Finished(last), frame.offset);
                } else if state.standing != Standing::Open {
                    self.set_standing(state, Standing::Open, 0);
                }
                state.durable.push(frame);
            }
            None => state.ephemeral.get_or_insert_default().push(frame),
        }
        self.take_waiting(state)
    }

    /// Removes all frames, as if an event had been appended at `offset` and lost. If the hub's log follows the topic from now
    /// on, and not from before its last event, then what it has said of its end still holds. Takes the wait list, for the
    /// caller to wake when it holds no lock.
    pub(crate) fn clear(&self, state: &mut TopicState, offset: u64, coverage: Coverage) -> Waiters {
        self.head.store(offset, Ordering::Release);
        let standing = match (state.standing, coverage) {
            (known @ Standing::Finished(last), Coverage::Since(low))
                if !state.coverage.is_followed() && last.position <= low.position =>
            {
                known
            }
            _ => Standing::when_empty(state.is_asked_for),
        };
        state.durable = Ring::of(&self.retention, coverage.low_watermark());
        state.ephemeral = None;
        state.coverage = coverage;
        self.set_standing(state, standing, offset);
        self.take_waiting(state)
    }

    fn take_waiting(&self, state: &mut TopicState) -> Waiters {
        if state.waiting.is_empty() {
            return Waiters::default();
        }
        state.waiting.take(&self.generation)
    }

    /// Whether the stream with this ticket is still in the wait list: then nothing has been
    /// appended since it joined, and the next append will wake it.
    pub(crate) fn still_waiting(&self, ticket: Option<Ticket>) -> bool {
        #[cfg(test)]
        looks::count();
        self.generation.is_of(ticket)
    }

    /// Joins the wait list, unless there is something after `cursor` to read first.
    pub(crate) fn wait<W: Waiter + 'static>(&self, cursor: u64, waiter: &Arc<W>) -> Option<Ticket> {
        let mut state = self.lock();
        // Under the lock: an append is either seen here or finds the stream in the list.
        (self.head() <= cursor).then(|| state.waiting.join(waiter.clone(), &self.generation))
    }

    pub(crate) fn stop_waiting(&self, ticket: Ticket) {
        let left = self.lock().waiting.leave(ticket, &self.generation);
        // Outside the lock: it may be the last reference to the stream.
        drop(left);
    }

    /// What a topic with events costs besides them: itself, the text of its name, and its places in the hub's maps and
    /// indices, which are about half full.
    const OVERHEAD: usize = size_of::<Self>() + 200;

    /// The bytes of memory that the hub's budget counts: nothing for a topic without events, which its subscribers pay
    /// for.
    pub(crate) fn cost(&self, state: &TopicState) -> usize {
        if state.durable.is_empty() && state.ephemeral.is_none() {
            return 0;
        }
        let events = state.durable.memory() + state.ephemeral().map_or(0, Ring::memory);
        Self::OVERHEAD + self.name.as_str().len() + events
    }

    /// Removes what neither retention nor the live window keeps, up to so many events. Returns their number.
    pub(crate) fn evict(&self, state: &mut TopicState, now: u64, most: usize) -> usize {
        let mut evicted = 0;
        // Before the values, if there are too many.
        while let Some(removal) = state.durable.oldest_removal().filter(|_| evicted < most) {
            let age = self.retention.removals_millis();
            let Some(reason) = self.outlives(state, removal, age, now) else { break };
            self.forget_removal(state, reason);
            evicted += 1;
        }
        while let Some(front) = state.durable.front().filter(|_| evicted < most) {
            let age = self.retention.age_millis();
            let Some(reason) = self.outlives(state, front, age, now) else { break };
            self.evict_front(state, reason);
            evicted += 1;
        }
        while evicted < most
            && let Some(front) = state.ephemeral().and_then(Ring::front)
            && !state.is_live(state.ephemeral(), front, now)
        {
            state.pop_ephemeral();
            evicted += 1;
        }
        evicted
    }

    /// Why a durable event of this greatest age need not be kept.
    fn outlives(
        &self,
        state: &TopicState,
        frame: &Frame,
        age: u64,
        now: u64,
    ) -> Option<ResetReason> {
        let expired = frame.at.saturating_add(age) <= now;
        let over = self.is_over(&state.durable);
        let stays = !(expired || over) || state.is_live(Some(&state.durable), frame, now);
        (!stays).then_some(if over { ResetReason::Trimmed } else { ResetReason::Expired })
    }

    /// Removes the oldest durable frame. A topic is as new without its last event.
    fn evict_front(&self, state: &mut TopicState, reason: ResetReason) {
        let Some(frame) = state.durable.pop() else { return };
        if let Some(low) = frame.low_watermark(reason) {
            state.lose(low, frame.removes_key());
        }
        self.on_evicted(state);
    }

    /// Removes the oldest event that removes a key, after which nothing is known of the key.
    fn forget_removal(&self, state: &mut TopicState, reason: ResetReason) {
        let frame = state.durable.pop_removal();
        if let Some(low) = frame.and_then(|frame| frame.low_watermark(reason)) {
            state.lose(low, true);
        }
        self.on_evicted(state);
    }

    fn on_evicted(&self, state: &mut TopicState) {
        if state.durable.is_empty() && state.standing != Standing::Open {
            self.set_standing(state, Standing::when_empty(state.is_asked_for), 0);
        }
    }

    /// Removes the oldest frame: there is no room for it.
    pub(crate) fn evict_oldest(&self, state: &mut TopicState) {
        match (state.durable.front(), state.ephemeral().and_then(Ring::front)) {
            (Some(durable), Some(ephemeral)) if ephemeral.offset < durable.offset => {
                state.pop_ephemeral();
            }
            (Some(_), _) => self.evict_front(state, ResetReason::Trimmed),
            (None, _) => state.pop_ephemeral(),
        }
    }

    /// Whether a durable ring holds more than is retained of it.
    fn is_over(&self, ring: &Ring) -> bool {
        ring.len() > self.retention.events || ring.cost() > self.retention.bytes
    }

    /// The offset after which the durable ring is retained at this time, as opposed to merely still readable.
    pub(crate) fn retained_after(&self, state: &TopicState, now: u64) -> u64 {
        let ring = &state.durable;
        let (mut events, mut cost, mut after) = (ring.len(), ring.cost(), 0);
        // Of age `retention.age` or more is out; a frame of the hub's first moments never is.
        let oldest = now.checked_sub(self.retention.age_millis());
        for frame in ring.iter() {
            let is_over = events > self.retention.events || cost > self.retention.bytes;
            if !is_over && oldest.is_none_or(|oldest| frame.at > oldest) {
                break;
            }
            events -= 1;
            cost -= Ring::cost_of(frame);
            after = frame.offset;
        }
        after
    }

    /// When the topic's oldest frame may have expired, in milliseconds of the clock.
    pub(crate) fn deadline(&self, state: &TopicState) -> Option<u64> {
        let window = if state.is_read() { LIVE_WINDOW.age_millis() } else { 0 };
        let keep = match self.is_over(&state.durable) {
            true => window,
            false => self.retention.age_millis().max(window),
        };
        let durable = state.durable.front().map(|frame| frame.at.saturating_add(keep));
        let keep = self.retention.removals_millis().max(window);
        let removal = state.durable.oldest_removal().map(|frame| frame.at.saturating_add(keep));
        let ephemeral = state.ephemeral().and_then(Ring::front);
        let ephemeral = ephemeral.map(|frame| frame.at.saturating_add(window));
        [durable, removal, ephemeral].into_iter().flatten().min()
    }
}

impl TopicState {
    /// Whether anybody may be reading.
    pub(crate) fn is_read(&self) -> bool {
        self.subscribers + self.readers + self.replays > 0
    }

    /// Whether a frame of a ring stays for connected clients, retained or not.
    fn is_live(&self, ring: Option<&Ring>, frame: &Frame, now: u64) -> bool {
        self.is_read()
            && ring.is_some_and(|ring| {
                ring.len() <= LIVE_WINDOW.events
                    // The newest frame stays whatever its size: its readers are just waking up.
                    && (ring.cost() <= LIVE_WINDOW.bytes || ring.len() == 1)
            })
            && frame.at.saturating_add(LIVE_WINDOW.age_millis()) > now
    }

    /// An event is gone that nothing has superseded.
    fn lose(&mut self, low: LowWatermark, is_removal: bool) {
        match self.durable.latest_mut() {
            None => self.coverage = Coverage::Since(low),
            Some(latest) => {
                if !is_removal {
                    latest.lost = low;
                }
                // A removal after it may be lost already.
                self.coverage = Coverage::Since(self.coverage.low_watermark().max(low));
            }
        }
    }

    /// What the topic has lost that a client would be sent which knows nothing of it: all but the removals of keys. For
    /// one that is not followed, see [`Coverage::low_watermark`].
    pub(crate) fn lost_to_newcomers(&self) -> LowWatermark {
        let latest = self.durable.latest().filter(|_| self.coverage.is_followed());
        latest.map_or_else(|| self.coverage.low_watermark(), |latest| latest.lost)
    }

    /// The position after which a topic that keeps the newest event of each key had every event.
    pub(crate) fn values_began(&self) -> Option<u64> {
        self.durable.latest().map(|latest| latest.began)
    }

    /// Why a reader at an offset cannot go on, of which nothing is expected but the values of keys.
    pub(crate) fn gap_for_newcomer(&self, offset: u64) -> Option<ResetReason> {
        match self.coverage {
            Coverage::Since(_) => Coverage::Since(self.lost_to_newcomers()).gap_after(offset),
            Coverage::NotFollowed => self.coverage.gap_after(offset),
        }
    }

    fn pop_ephemeral(&mut self) {
        if let Some(ring) = &mut self.ephemeral {
            ring.pop();
        }
        self.ephemeral.take_if(|ring| ring.is_empty());
    }

    /// Events without a position, if there are any.
    pub(crate) fn ephemeral(&self) -> Option<&Ring> {
        self.ephemeral.as_deref()
    }

    /// The oldest frame's offset.
    pub(crate) fn oldest(&self) -> Option<u64> {
        let durable = self.durable.front().map(|frame| frame.offset);
        let ephemeral = self.ephemeral().and_then(Ring::front).map(|frame| frame.offset);
        match (durable, ephemeral) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// With those of its filtered logs.
    pub(crate) fn all_subscribers(&self) -> usize {
        (self.subscribers + self.filtered_subscribers) as usize
    }

    /// The count that has a stream, or another reader, of this log.
    pub(crate) fn count(&mut self, is_stream: bool) -> &mut u32 {
        if is_stream { &mut self.subscribers } else { &mut self.readers }
    }

    /// The count that has one of a filtered log of this log.
    pub(crate) fn filtered_count(&mut self, is_stream: bool) -> &mut u32 {
        if is_stream { &mut self.filtered_subscribers } else { &mut self.readers }
    }

    /// Gives back what only readers need.
    pub(crate) fn on_last_reader_gone(&mut self) {
        self.waiting.shrink();
    }

    /// The memory of a topic without events.
    pub(crate) const EMPTY: usize = size_of::<TopicLog>() + 32;

    pub(crate) fn begin_replay(&mut self, pinned: &Pinned) {
        if self.is_removed && self.replays == 0 {
            pinned.add_vanished(Self::EMPTY);
        }
        self.replays += 1;
    }

    pub(crate) fn end_replay(&mut self, pinned: &Pinned) {
        self.replays -= 1;
        if self.is_removed && self.replays == 0 {
            pinned.remove_vanished(Self::EMPTY);
        }
    }

    /// The hub removes the topic.
    pub(crate) fn on_removed(&mut self, pinned: &Pinned) {
        self.is_removed = true;
        if self.replays > 0 {
            pinned.add_vanished(Self::EMPTY);
        }
    }

    /// Neither subscribers nor other readers nor retained events.
    pub(crate) fn is_vacant(&self) -> bool {
        self.all_subscribers() == 0 && self.readers == 0 && self.durable.is_empty()
    }
}

/// Counts how often this thread looks at a topic without its lock.
#[cfg(test)]
pub(crate) mod looks {
    use std::cell::Cell;

    thread_local! {
        static LOOKS: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn count() {
        LOOKS.set(LOOKS.get() + 1);
    }

    /// Since this was last called.
    pub(crate) fn take() -> usize {
        LOOKS.take()
    }
}
