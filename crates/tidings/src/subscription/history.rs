use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::status::ResetReason;
use crate::hub::topics::Past;
use crate::log::feed::Cursor;
use crate::log::{Floor, State, TopicLog};

/// How much of what is retained a *fresh* client is sent before it goes live.
///
/// A client that resumes gets what it missed, and one that is reset all that is retained (or a
/// snapshot), whatever is chosen here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum History {
    /// Nothing: the client starts live.
    #[default]
    None,
    /// All that is retained.
    All,
    /// The newest events, at most this many, of all its topics together.
    Last(usize),
    /// Events that are not older than this.
    Within(Duration),
}

/// A place in the hub's order: the offset for the cursor, the position for the event id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watermark {
    pub(crate) offset: u64,
    pub(crate) position: u64,
}

/// Where a subscription begins.
pub(crate) struct Beginning {
    pub(crate) cursor: Cursor,
    /// The offset behind which each topic begins, if that is not the cursor for all.
    pub(crate) seen: Option<Box<[u64]>>,
    /// The logs that the past is to be read from, if they are not those of the present.
    pub(crate) past: Option<Vec<Arc<TopicLog>>>,
    /// The position from which it follows.
    pub(crate) position: u64,
}

impl Beginning {
    fn in_the_past(
        mark: Watermark,
        seen: Option<Box<[u64]>>,
        past: Past<'_>,
        now: Watermark,
    ) -> Self {
        let past = match past.topics {
            Cow::Owned(topics) => Some(topics),
            Cow::Borrowed(_) => None,
        };
        let cursor = Cursor { offset: mark.offset, joined: now.offset };
        Self { cursor, seen, past, position: mark.position }
    }
}

/// Begins at the hub's present: with nothing.
pub(crate) fn live(now: Watermark) -> Beginning {
    let Watermark { offset, position } = now;
    Beginning { cursor: Cursor { offset, joined: offset }, seen: None, past: None, position }
}

/// Begins behind the position that a client claims to have reached; `None` for no position.
///
/// # Errors
///
/// The reason, when the topics do not have everything behind it.
pub(crate) fn resumed(
    past: Past<'_>,
    position: Option<u64>,
    now: Watermark,
) -> Result<Beginning, ResetReason> {
    // A position of the future is as unknown as one of another history.
    let position =
        position.filter(|position| *position <= now.position).ok_or(ResetReason::Unknown)?;
    let mut lost = Floor::default();
    if past.floor.position > position {
        lost = past.floor;
    }
    let mut offset = now.offset;
    for log in past.topics.iter() {
        // Floor and first event under one lock: what is evicted between two would be a hole that
        // nobody notices. What is evicted later is behind the cursor, and the reader notices.
        let state = log.lock();
        if state.floor.position > position {
            lost = lost.max(state.floor);
        }
        if let Some(first) = state.durable.first_after_position(position) {
            offset = offset.min(first.offset - 1);
        }
    }
    if lost.position > 0 {
        return Err(lost.reason);
    }
    Ok(Beginning::in_the_past(Watermark { offset, position }, None, past, now))
}

/// Goes on behind an offset in logs that are not those of the present, if they have everything behind it.
pub(crate) fn behind(past: Past<'_>, offset: u64, now: Watermark) -> Option<Beginning> {
    let is_lost = |floor: Floor| floor.offset > offset;
    if !past.is_apart()
        || is_lost(past.floor)
        || past.topics.iter().any(|log| is_lost(log.lock().floor))
    {
        return None;
    }
    // Where that is, its last event has told the client.
    Some(Beginning::in_the_past(Watermark { offset, ..now }, None, past, now))
}

/// Begins with retained events, of each topic those that it retains at time `at`.
pub(crate) fn retained(history: History, past: Past<'_>, now: Watermark, at: u64) -> Beginning {
    let last = |count| offset_before_last(&past.topics, count, now, at);
    let (floor, since) = match history {
        History::None => return live(now),
        History::All => (0, None),
        History::Last(count) => (last(count), None),
        History::Within(age) => {
            let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            (0, Some(at.saturating_sub(age)))
        }
    };
    // The place behind which each topic begins, and the earliest of them for all.
    let mut first_of_all = now;
    let mut seen = Vec::with_capacity(past.topics.len());
    for log in past.topics.iter() {
        let state = log.lock();
        let mut first = log.retained(&state, at).first;
        if let Some(since) = since.filter(|since| *since > 0) {
            // Of exactly the given age is in.
            first = first.max(state.durable.first_since(since - 1));
        }
        first = first.max(state.durable.iter().take_while(|f| f.offset <= floor).count());
        let before = match state.durable.get(first) {
            Some(frame) if frame.offset <= now.offset => {
                let position = frame.position.map_or(0, |position| position - 1);
                Watermark { offset: frame.offset - 1, position }
            }
            _ => now,
        };
        seen.push(before.offset);
        first_of_all.offset = first_of_all.offset.min(before.offset);
        first_of_all.position = first_of_all.position.min(before.position);
    }
    Beginning::in_the_past(first_of_all, Some(seen.into()), past, now)
}

/// The offset behind which there are exactly `count` retained events of all topics, or all.
fn offset_before_last(topics: &[Arc<TopicLog>], count: usize, now: Watermark, at: u64) -> u64 {
    let mut newest: Vec<u64> = Vec::new();
    for log in topics {
        let state: &State = &log.lock();
        let first = log.retained(state, at).first;
        let frames = state.durable.iter().skip(first).rev();
        newest.extend(frames.map(|f| f.offset).filter(|o| *o <= now.offset).take(count));
    }
    newest.sort_unstable_by(|a, b| b.cmp(a));
    match count.checked_sub(1).map(|last| newest.get(last)) {
        Some(Some(offset)) => offset - 1,
        Some(None) => 0,
        None => now.offset,
    }
}
