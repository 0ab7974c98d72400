use std::borrow::Cow;
use std::sync::Arc;

use super::history::History;
use crate::clock::millis;
use crate::hub::journal::Head;
use crate::hub::journal::topics::Past;
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
    /// The logs that the past is read from, and as whom, if it is not read as the present is.
    pub(crate) past: Option<(Vec<Arc<TopicLog>>, Readers)>,
    /// The position after which it begins.
    pub(crate) position: u64,
}

impl StartPoint {
    /// At the hub's head: after everything.
    pub(crate) fn live(head: &Head) -> Self {
        let cursor = Cursor { offset: head.offset, joined: head.offset };
        Self { cursor, starts_after: None, past: None, position: head.position }
    }

    fn in_past(past: &Past<'_>, offset: u64, position: u64, head: &Head) -> Self {
        let past = match &past.logs {
            Cow::Owned(logs) => Some((logs.clone(), Readers::Any)),
            Cow::Borrowed(_) => None,
        };
        let cursor = Cursor { offset, joined: head.offset };
        Self { cursor, starts_after: None, past, position }
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
        let mut offset = head.offset;
        for log in past.logs.iter() {
            // Coverage and first event under one lock: an eviction between two would be a gap that nobody notices.
            // A later eviction is after the cursor, and the reader notices.
            let state = log.lock();
            let gap = state.coverage.gap_after_position(position);
            lost = lost.into_iter().chain(gap).reduce(LowWatermark::max);
            if let Some(first) = state.durable.first_after_position(position) {
                offset = offset.min(first.offset - 1);
            }
        }
        match lost {
            Some(lost) => Err(lost.reason),
            None => Ok(Self::in_past(past, offset, position, head)),
        }
    }

    /// Before the last event of each of these topics, which are finished. The first of them is after an offset and a
    /// position.
    pub(crate) fn before_ends(past: &Past<'_>, offset: u64, position: u64, head: &Head) -> Self {
        let before_last = |log: &Arc<TopicLog>| {
            let last = log.lock().durable.last().map(|frame| frame.offset - 1);
            last.unwrap_or(head.offset)
        };
        let starts_after = Some(past.logs.iter().map(before_last).collect());
        Self { starts_after, ..Self::in_past(past, offset, position, head) }
    }

    /// After an offset, in logs other than those of the present. `None` if there are none, or if they have lost an
    /// event after it.
    pub(crate) fn after_offset(past: &Past<'_>, offset: u64, head: &Head) -> Option<Self> {
        let has_gap = |log: &Arc<TopicLog>| log.lock().coverage.gap_after(offset).is_some();
        let is_complete = past.vanished.offset <= offset && !past.logs.iter().any(has_gap);
        // The client knows its position: its last event has told it.
        (past.is_in_other_logs() && is_complete)
            .then(|| Self::in_past(past, offset, head.position, head))
    }

    /// Before the events that the topics retain, as far as `history` asks for them, and whether these are all that it
    /// asks for. `now` is the hub's time.
    pub(crate) fn retained(
        history: History,
        past: &Past<'_>,
        head: &Head,
        now: u64,
    ) -> (Self, bool) {
        let (after, since) = match history {
            History::None => return (Self::live(head), true),
            History::All => (0, None),
            History::Last(count) => (offset_before_last(past, count, head, now), None),
            History::Within(age) => (0, Some(now.saturating_sub(millis(age)))),
        };
        // The offset after which each topic begins, and the lowest of them for all.
        let (mut offset, mut position) = (head.offset, head.position);
        let mut starts_after = Vec::with_capacity(past.logs.len());
        let mut is_complete = !past.vanished.is_after(after);
        for log in past.logs.iter() {
            let state = log.lock();
            let retained_after = log.retained_after(&state, now);
            let time = since.map(|since| (since, now));
            is_complete &= has_all(past, log, &state, retained_after, after, time);
            let first_in_time = match since {
                None => 0,
                // An event of exactly the given age is included.
                Some(since) => {
                    state.durable.first_since(since).map_or(u64::MAX, |it| it.offset - 1)
                }
            };
            let from = retained_after.max(first_in_time).max(after);
            let first = state.durable.after(from).find(|frame| past.passes(frame));
            let first = first.filter(|frame| frame.offset <= head.offset);
            let before = first.map_or(head.offset, |frame| frame.offset - 1);
            starts_after.push(before);
            offset = offset.min(before);
            if let Some(frame) = first {
                position = position.min(frame.position.map_or(0, |position| position - 1));
            }
        }
        let mut point = Self::in_past(past, offset, position, head);
        if past.logs.iter().any(|log| log.retention.is_latest_per_key()) {
            point.past = Some((past.logs.to_vec(), Readers::Newcomers));
        }
        (Self { starts_after: Some(starts_after.into()), ..point }, is_complete)
    }
}

/// Whether a topic, which retains its events after an offset, has all that was published to it after another and in the
/// time from one moment to another. If it cannot be sure, no.
fn has_all(
    past: &Past<'_>,
    log: &TopicLog,
    state: &TopicState,
    retained_after: u64,
    after: u64,
    time: Option<(u64, u64)>,
) -> bool {
    let is_too_old = |frame: &Frame| time.is_some_and(|(since, _)| frame.at < since);
    // The live window has events that are not retained.
    let is_missed =
        |frame: &Frame| frame.offset > after && !is_too_old(frame) && past.passes(frame);
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

/// The offset after which there are exactly `count` retained events of all topics, or all of them.
fn offset_before_last(past: &Past<'_>, count: usize, head: &Head, now: u64) -> u64 {
    let mut newest: Vec<u64> = Vec::new();
    for log in past.logs.iter() {
        let state = log.lock();
        let retained = state.durable.after(log.retained_after(&state, now)).rev();
        let frames = retained.filter(|frame| frame.offset <= head.offset && past.passes(frame));
        newest.extend(frames.take(count).map(|frame| frame.offset));
    }
    newest.sort_unstable_by(|a, b| b.cmp(a));
    match count.checked_sub(1).map(|last| newest.get(last)) {
        Some(Some(offset)) => offset - 1,
        Some(None) => 0,
        None => head.offset,
    }
}
