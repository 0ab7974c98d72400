use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::history::History;
use super::replay::{PastLogs, Replay};
use crate::clock::millis;
use crate::hub::journal::Head;
use crate::hub::journal::topics::Past;
use crate::hub::shared::Shared;
use crate::log::coverage::LowWatermark;
use crate::log::feed::{Cursor, Readers};
use crate::log::frame::Frame;
use crate::log::reset_reason::ResetReason;
use crate::log::{TopicLog, TopicState};

/// Where in the hub's memory a subscription begins.
#[derive(Debug)]
pub(crate) struct StartPoint {
    pub(crate) cursor: Cursor,
    /// The offset after which each topic begins, if that is not the cursor for all.
    pub(crate) starts_after: Option<Box<[u64]>>,
    /// What the past is read from, if it is not read as the present is.
    past: Option<Box<PastLogs>>,
    /// Reads it.
    pub(super) replay: Option<Arc<Replay>>,
    /// The position after which it begins.
    pub(crate) position: u64,
}

impl StartPoint {
    /// At the hub's head: after everything.
    pub(crate) fn live(head: &Head) -> Self {
        let cursor = Cursor { offset: head.offset, joined: head.offset };
        Self { cursor, starts_after: None, past: None, replay: None, position: head.position }
    }

    /// `next`: the offset of each log's next event, or [`NONE`](Self::NONE).
    fn in_past(
        past: &Past<'_>,
        next: Vec<u64>,
        (offset, position): (u64, u64),
        head: &Head,
    ) -> Self {
        let is_elsewhere = past.is_in_other_logs();
        let whole = (Readers::Any, true);
        let past = is_elsewhere.then(|| Box::new(PastLogs::new(past, next, whole, head)));
        let cursor = Cursor { offset, joined: head.offset };
        Self { cursor, past, ..Self::live(head) }.at(position)
    }

    const NONE: u64 = u64::MAX;

    fn at(self, position: u64) -> Self {
        Self { position, ..self }
    }

    /// Each log begins with its next event, whatever it has before that.
    fn each_from(
        past: &Past<'_>,
        next: Vec<u64>,
        (offset, position): (u64, u64),
        readers: Readers,
        head: &Head,
    ) -> Self {
        let cursor = Cursor { offset, joined: head.offset };
        let start = Self { cursor, ..Self::live(head) }.at(position);
        if past.is_in_other_logs() || readers == Readers::Newcomers {
            let past = PastLogs::new(past, next, (readers, false), head);
            return Self { past: Some(Box::new(past)), ..start };
        }
        let before = |next: u64| if next == Self::NONE { head.offset } else { next - 1 };
        Self { starts_after: Some(next.into_iter().map(before).collect()), ..start }
    }

    /// Makes ready what reads the past. Of many topics this takes long, so it is not left to the stream, for which others wait.
    pub(super) fn prepare(&mut self, shared: &Arc<Shared>) {
        let has_past = self.cursor.offset < self.cursor.joined;
        let past = self.past.take().filter(|_| has_past);
        self.replay = past.map(|past| Arc::new(Replay::new(shared, *past, self.cursor)));
    }

    /// After the position that a client has reached.
    ///
    /// # Errors
    ///
    /// The reason, when the topics have lost an event after it.
    pub(crate) fn after(past: &Past<'_>, position: u64, head: &Head) -> Result<Self, ResetReason> {
        // A position that the hub has not reached is as unknown as one of another history.
        if position > head.position {
            return Err(ResetReason::Unknown);
        }
        let mut lost = past.vanished.gap_after_position(position);
        let (mut offset, mut next) = (head.offset, Vec::new());
        for log in past.logs.iter() {
            // Coverage and first event under one lock: an eviction between two would be a gap that nobody notices.
            // A later eviction is after the cursor, and the reader notices.
            let state = log.lock();
            let gap = state.coverage.gap_after_position(position);
            lost = lost.into_iter().chain(gap).reduce(LowWatermark::max);
            let first = state.durable.first_after_position(position);
            let first = first.map_or(Self::NONE, |frame| frame.offset);
            offset = offset.min(first - 1);
            next.push(first);
        }
        match lost {
            Some(lost) => Err(lost.reason),
            None => Ok(Self::in_past(past, next, (offset, position), head)),
        }
    }

    /// Before the last event of each of these topics, which are finished. The first of them is after an offset and a
    /// position.
    pub(crate) fn before_ends(past: &Past<'_>, offset: u64, position: u64, head: &Head) -> Self {
        let last = |log: &Arc<TopicLog>| log.lock().durable.last().map(|frame| frame.offset);
        let next = past.logs.iter().map(|log| last(log).unwrap_or(Self::NONE)).collect();
        Self::each_from(past, next, (offset, position), Readers::Any, head)
    }

    /// After an offset, in logs other than those of the present. `None` if there are none, or if they have lost an
    /// event after it.
    pub(crate) fn after_offset(past: &Past<'_>, offset: u64, head: &Head) -> Option<Self> {
        if !past.is_in_other_logs() || past.vanished.offset > offset {
            return None;
        }
        let next = |log: &Arc<TopicLog>| {
            let state = log.lock();
            let first = state.durable.after(offset).next().map_or(Self::NONE, |it| it.offset);
            state.coverage.gap_after(offset).is_none().then_some(first)
        };
        let next = past.logs.iter().map(next).collect::<Option<_>>()?;
        // The client knows its position: its last event has told it.
        Some(Self::in_past(past, next, (offset, head.position), head))
    }

    /// Before the events that the topics retain, as far as `history` asks for them, and whether these are all that it
    /// asks for. `newest`: what [`Newest`] has found, if that was looked for. `now` is the hub's time.
    ///
    /// With a filter, a topic may begin with an event that does not pass: who reads the past looks at them in turns.
    pub(crate) fn retained(
        (history, newest): (History, Option<u64>),
        past: &Past<'_>,
        head: &Head,
        now: u64,
    ) -> (Self, bool) {
        let look = |count| {
            let mut look = Newest::new(count, head, now);
            while look.step(past).is_some() {}
            look.offset()
        };
        let (after, since) = match history {
            History::None => return (Self::live(head), true),
            History::All => (0, None),
            History::Last(count) => (newest.unwrap_or_else(|| look(count)), None),
            History::Within(age) => (0, Some(now.saturating_sub(millis(age)))),
        };
        // With what each topic begins, and the lowest of them for all.
        let (mut offset, mut position) = (head.offset, head.position);
        let mut next = Vec::with_capacity(past.logs.len());
        let mut is_complete = !past.vanished.is_after(after);
        let mut looks = Looks::new(past);
        for log in past.logs.iter() {
            looks.begin_topic();
            let state = log.lock();
            let retained_after = log.retained_after(&state, now);
            let time = since.map(|since| (since, now));
            is_complete &= has_all(&mut looks, log, &state, retained_after, after, time);
            let first_in_time = match since {
                None => 0,
                // An event of exactly the given age is included.
                Some(since) => {
                    state.durable.first_since(since).map_or(u64::MAX, |it| it.offset - 1)
                }
            };
            let from = retained_after.max(first_in_time).max(after);
            let first = state.durable.after(from).find(|frame| looks.may_pass(frame));
            let first = first.filter(|frame| frame.offset <= head.offset);
            next.push(first.map_or(Self::NONE, |frame| frame.offset));
            if let Some(frame) = first {
                offset = offset.min(frame.offset - 1);
                position = position.min(frame.position.map_or(0, |position| position - 1));
            }
        }
        let has_values = past.logs.iter().any(|log| log.retention.is_latest_per_key());
        let readers = if has_values { Readers::Newcomers } else { Readers::Any };
        (Self::each_from(past, next, (offset, position), readers, head), is_complete)
    }
}

/// Whether a topic, which retains its events after an offset, has all that was published to it after another and in the
/// time from one moment to another. If it cannot be sure, no.
fn has_all(
    looks: &mut Looks<'_>,
    log: &TopicLog,
    state: &TopicState,
    retained_after: u64,
    after: u64,
    time: Option<(u64, u64)>,
) -> bool {
    let is_too_old = |frame: &Frame| time.is_some_and(|(since, _)| frame.at < since);
    // The live window has events that are not retained.
    let is_missed =
        |frame: &Frame| frame.offset > after && !is_too_old(frame) && looks.may_pass(frame);
    let mut others = state.durable.iter().take_while(|frame| frame.offset <= retained_after);
    if others.any(is_missed) {
        return false;
    }
    let low = state.lost_to_newcomers();
    if state.coverage.is_followed() && !low.is_after(after) {
        return true;
    }
    // When the events were published that it has lost is not known. But it has them in the order of their times.
    let has_expired = low.reason == ResetReason::Expired
        && time.is_some_and(|(since, now)| now - since <= log.retention.age_millis());
    has_expired || state.durable.front().is_some_and(is_too_old)
}

/// How many frames are compared with a filter under a topic's lock.
const COMPARED: usize = 256;

/// Compares the frames of topics with a filter, as many as may be while others wait for the topics and for the caller.
struct Looks<'a> {
    past: &'a Past<'a>,
    of_topic: usize,
    of_all: usize,
}

impl<'a> Looks<'a> {
    const MOST: usize = 16 * COMPARED;

    fn new(past: &'a Past<'a>) -> Self {
        Self { past, of_topic: 0, of_all: Self::MOST }
    }

    fn begin_topic(&mut self) {
        self.of_topic = COMPARED.min(self.of_all);
    }

    /// Whether a frame passes. It may if there was too much to compare.
    fn may_pass(&mut self, frame: &Frame) -> bool {
        if self.past.filter.is_none() || self.of_topic == 0 {
            return true;
        }
        self.of_topic -= 1;
        self.of_all -= 1;
        self.past.passes(frame)
    }
}

/// Looks for the newest retained events of all topics, in steps: a filter may pass few of very many.
#[derive(Debug)]
pub(super) struct Newest {
    count: usize,
    head: u64,
    now: u64,
    /// The topic that is being looked through, and the offset down to which that is done.
    place: usize,
    before: u64,
    /// The offsets of the newest so far, the lowest first.
    found: BinaryHeap<Reverse<u64>>,
}

impl Newest {
    pub(super) fn new(count: usize, head: &Head, now: u64) -> Self {
        let (head, before) = (head.offset, head.offset + 1);
        Self { count, head, now, place: 0, before, found: BinaryHeap::new() }
    }

    /// Makes a step. Returns what it has cost, in comparisons; `None` at the end.
    pub(super) fn step(&mut self, past: &Past<'_>) -> Option<usize> {
        let mut cost = 0;
        while cost < COMPARED
            && let Some(log) = past.logs.get(self.place)
        {
            let state = log.lock();
            let after = log.retained_after(&state, self.now);
            let frames = state.durable.before(self.before);
            let mut frames = frames.take_while(|frame| frame.offset > after);
            loop {
                // Those that follow are older still.
                let Some(frame) = frames.next().filter(|frame| self.is_newer(frame.offset)) else {
                    (self.place, self.before) = (self.place + 1, self.head + 1);
                    break;
                };
                if cost == COMPARED {
                    break;
                }
                cost += 1;
                self.before = frame.offset;
                if past.passes(frame) {
                    self.add(frame.offset);
                }
            }
            // The topic itself.
            cost += 1;
        }
        Some(cost).filter(|cost| *cost > 0)
    }

    fn is_newer(&self, offset: u64) -> bool {
        let is_newer = |Reverse(lowest): &Reverse<u64>| offset > *lowest;
        self.found.len() < self.count || self.found.peek().is_some_and(is_newer)
    }

    fn add(&mut self, offset: u64) {
        self.found.push(Reverse(offset));
        if self.found.len() > self.count {
            self.found.pop();
        }
    }

    /// The offset after which there are exactly so many, or all of them.
    pub(super) fn offset(&self) -> u64 {
        match self.found.peek() {
            Some(Reverse(lowest)) if self.found.len() == self.count => lowest - 1,
            None if self.count == 0 => self.head,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::filter::{Filter, comparisons};
    use crate::hub::Hub;
    use crate::hub::search::Search;
    use crate::log::retention::Retention;

    #[test]
    fn the_newest_events_that_pass_are_looked_for_in_steps() {
        let retention = Retention::default().events(5_000).bytes(16 * 1024 * 1024);
        let hub = Hub::builder().retention(retention).build();
        for n in 0..2_000 {
            let role = if n == 700 { "admin" } else { "guest" };
            let event = Event::new("x").with_attribute("role", role).unwrap();
            hub.publish("a", event).wait().unwrap();
        }
        let filter = Filter::equal("role", "admin").unwrap();
        let stream = hub.subscribe("a").filter(filter).open().unwrap();
        let past = Past::of(&stream.client().feed.topics);
        for (count, steps, offset) in [(0, 1, 2_000), (1, 6, 700), (2, 8, 0)] {
            let mut newest = Newest::new(count, &hub.shared().head(), 0);
            let mut taken = 0;
            comparisons::take();
            while newest.step(&past).is_some() {
                assert!(comparisons::take() <= COMPARED);
                taken += 1;
            }
            assert_eq!((taken, newest.offset()), (steps, offset), "{count}");
        }
    }

    #[test]
    fn a_step_is_of_many_topics_if_there_is_little_in_them() {
        let hub = Hub::new();
        for n in 0..1_000 {
            hub.publish(format!("a/{n}"), Event::new("x")).wait().unwrap();
        }
        let filter = Filter::equal("role", "admin").unwrap();
        let stream = hub.subscribe_matching("a/*").filter(filter).open().unwrap();
        let feed = &stream.client().feed;
        let mut search = Search::of(&feed.topics, hub.shared()).unwrap();
        while search.step(hub.shared()).is_some() {}
        let past = search.finish(hub.shared());
        assert_eq!(past.logs.len(), 1_000);
        let mut newest = Newest::new(10, &hub.shared().head(), 0);
        let mut taken = 0;
        while newest.step(&past).is_some() {
            taken += 1;
        }
        assert!(taken < 10, "{taken}");
    }
}
