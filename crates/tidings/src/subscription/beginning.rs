use std::sync::Arc;

use super::history::History;
use super::start_point::StartPoint;
use crate::backend::Reach;
use crate::clock::millis;
use crate::hub::journal::Head;
use crate::hub::journal::topics::Past;
use crate::hub::shared::Shared;
use crate::log::TopicLog;
use crate::log::reset_reason::ResetReason;
use crate::log::retention::RetentionRules;
use crate::log::standing::Standing;
use crate::status::Status;

/// What a client asks for when it connects.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) claim: Claim,
    pub(super) history: History,
    pub(super) has_snapshot: bool,
    /// Whether it is a client, and not the application that reads history.
    pub(super) is_client: bool,
}

impl Request {
    /// Whether the client is sent the last events of its topics if all of them are finished: it asks for nothing of the
    /// past, and nothing else is to come.
    pub(super) fn may_want_ends(&self) -> bool {
        self.is_live() && !self.has_snapshot && self.is_client
    }

    /// Whether the client is sent nothing of the past.
    pub(super) fn is_live(&self) -> bool {
        self.claim == Claim::None && self.history == History::None
    }
}

/// Where a client says that it left off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// It says nothing.
    None,
    /// It says something that is not an id of this history.
    Unknown,
    Position(u64),
}

/// What a client is sent first, and where its stream goes on after that.
///
/// Made from the request and what the hub knows, and from nothing else.
#[derive(Debug)]
pub(super) struct Beginning {
    pub(super) status: Status,
    pub(super) first: First,
    /// Where the stream goes on in memory.
    pub(super) then: StartPoint,
    /// Whether it reads the hub's log before that, because the log does not deliver all of its topics yet. From memory, an
    /// event of a topic that is delivered would take the client past those of a topic that is not.
    pub(super) waits_for_topics: bool,
    /// Whether a fresh client is sent all the history that was asked for. What is read from the hub's log says so itself.
    pub(super) is_complete: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    /// The status.
    Status,
    /// The status, and the application's snapshot.
    Snapshot,
    /// Events of the hub's log; the status is announced when the log has answered.
    Log(LogStart),
}

/// Where a stream begins in the hub's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogStart {
    /// After a position, which the log may not have reached.
    AfterClaim(u64),
    /// After a position that the log has reached, and this node perhaps not yet.
    After(u64),
    /// With the newest events up to a position, or up to the head: at most `count`, and none older than `age` in
    /// milliseconds. Of those, all that pass the client's filter, if it has one, or so many of them.
    Newest { count: usize, age: u64, to: Option<u64>, whole: Whole, passing: Option<usize> },
}

/// When the newest events of the hub's log are all that the client has asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whole {
    /// When there are none before them.
    All,
    /// When there are as many as were asked for, too.
    Count,
    /// When they go as far back as was asked for, too.
    Time,
}

impl Whole {
    pub(super) fn is_reached(self, reach: Reach) -> bool {
        match reach {
            Reach::All => true,
            Reach::Count => self == Self::Count,
            Reach::Time => self == Self::Time,
            _ => false,
        }
    }
}

/// What the hub knows at the moment at which a client begins.
pub(super) struct View<'a> {
    pub(super) head: &'a Head,
    /// The logs that the client subscribes to.
    pub(super) logs: &'a [Arc<TopicLog>],
    pub(super) past: Past<'a>,
    pub(super) rules: &'a RetentionRules,
    /// The hub's time in milliseconds.
    pub(super) now: u64,
    /// The offset before the newest events that the client asks for, if that was looked for.
    pub(super) newest: Option<u64>,
}

impl Beginning {
    pub(super) fn of(request: &Request, view: &View<'_>) -> Self {
        let position = match request.claim {
            Claim::None => return Self::fresh(request, view),
            Claim::Unknown => {
                return Self::reset(ResetReason::Unknown, request.has_snapshot, view);
            }
            Claim::Position(position) => position,
        };
        match view.after(position) {
            Ok(then) => Self::from_memory(Status::Resumed, then),
            // The log may have what memory has not, and positions that this node has not reached.
            Err(_) if view.head.replica.is_some() => {
                Self::from_log(Status::Resumed, LogStart::AfterClaim(position), view)
            }
            Err(reason) => Self::reset(reason, request.has_snapshot, view),
        }
    }

    fn fresh(request: &Request, view: &View<'_>) -> Self {
        let status = Status::Fresh;
        if request.may_want_ends()
            && let Some(beginning) = Self::before_ends(view)
        {
            return beginning;
        }
        let lag = view.end_of_history().filter(|end| view.head.position < *end);
        match (request.history, lag) {
            (History::None, _) if request.has_snapshot => Self::live(status, First::Snapshot, view),
            (History::None, Some(end)) => Self::from_log(status, LogStart::After(end), view),
            (History::None, None) => Self::live(status, First::Status, view),
            (history, lag) if lag.is_some() || view.is_in_log(history) => {
                Self::from_log(status, view.newest(history), view)
            }
            (history, _) => Self::retained(status, history, view),
        }
    }

    /// With the last events of the topics, if all of them are finished.
    fn before_ends(view: &View<'_>) -> Option<Self> {
        // A selective log may have been ahead of the head.
        let (mut offset, mut position) = (view.head.offset, u64::MAX);
        let mut is_in_memory = true;
        // Patterns have no end.
        if view.logs.iter().any(|log| log.name.has_wildcard()) {
            return None;
        }
        // A filtered log begins empty, and every filter passes a last event.
        for log in view.past.logs.iter() {
            let state = log.lock();
            let Standing::Finished(last) = state.standing else { return None };
            position = position.min(last.position.saturating_sub(1));
            match state.durable.last() {
                Some(frame) => offset = offset.min(frame.offset - 1),
                None => is_in_memory = false,
            }
        }
        if is_in_memory {
            let then = StartPoint::before_ends(&view.past, offset, position, view.head);
            return Some(Self::from_memory(Status::Fresh, then));
        }
        Some(Self::from_log(Status::Fresh, LogStart::After(position), view))
    }

    /// How a client begins that has missed something that is gone: when it connects, or in mid-stream.
    pub(super) fn reset(reason: ResetReason, has_snapshot: bool, view: &View<'_>) -> Self {
        let status = Status::Reset(reason);
        if has_snapshot {
            Self::live(status, First::Snapshot, view)
        } else if view.is_in_log(History::All) {
            Self::from_log(status, view.newest(History::All), view)
        } else {
            Self::retained(status, History::All, view)
        }
    }

    fn retained(status: Status, history: History, view: &View<'_>) -> Self {
        let asked = (history, view.newest);
        let (then, is_complete) = StartPoint::retained(asked, &view.past, view.head, view.now);
        // A reset client knows that it has missed something.
        let is_complete = is_complete || status != Status::Fresh;
        Self { is_complete, ..Self::from_memory(status, then) }
    }

    fn from_memory(status: Status, then: StartPoint) -> Self {
        Self { status, first: First::Status, then, waits_for_topics: false, is_complete: true }
    }

    fn live(status: Status, first: First, view: &View<'_>) -> Self {
        let then = StartPoint::live(view.head);
        let waits_for_topics = !view.is_followed();
        Self { status, first, then, waits_for_topics, is_complete: true }
    }

    fn from_log(status: Status, start: LogStart, view: &View<'_>) -> Self {
        let then = StartPoint::live(view.head);
        Self { first: First::Log(start), ..Self::from_memory(status, then) }
    }
}

impl<'a> View<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        head: &'a Head,
        logs: &'a [Arc<TopicLog>],
        past: Past<'a>,
    ) -> Self {
        let (rules, now) = (&*shared.retention, shared.clock.now());
        Self { head, logs, past, rules, now, newest: None }
    }

    /// Where memory goes on after a position.
    ///
    /// # Errors
    ///
    /// The reason, when memory lacks an event after it.
    pub(super) fn after(&self, position: u64) -> Result<StartPoint, ResetReason> {
        let after = |past: &Past<'_>| StartPoint::after(past, position, self.head);
        match self.past.filter {
            // These know what they had, whatever the logs have lost that they are of.
            Some(_) => after(&Past::of_filtered(self.logs)).or_else(|_| after(&self.past)),
            None => after(&self.past),
        }
    }

    /// Whether the hub's log delivers all topics.
    fn is_followed(&self) -> bool {
        self.logs.iter().all(|log| log.lock().coverage.is_followed())
    }

    /// Whether history is read from the hub's log: memory has it not.
    fn is_in_log(&self, history: History) -> bool {
        self.head.is_selective() || history == History::All && self.values_to().is_some()
    }

    /// The position up to which there may be values of keys in the hub's log that memory has not: what was published before
    /// this node began. What came then has taken the place of some of these, and is in memory.
    fn values_to(&self) -> Option<u64> {
        self.head.replica.filter(|replica| !replica.is_selective)?;
        let logs = self.past.logs.iter().filter(|log| log.retention.is_latest_per_key());
        let began = logs.filter_map(|log| log.lock().values_began());
        let is_latest = |log: &Arc<TopicLog>| self.rules.of(&log.name).is_latest_per_key();
        let has_values = || self.logs.iter().any(|log| log.name.has_wildcard() && is_latest(log));
        let vanished = Some(self.past.vanished.position).filter(|_| has_values());
        began.chain(vanished).max().filter(|to| *to > 0)
    }

    /// The position up to which events are history to a fresh client, although this node may not have them yet.
    fn end_of_history(&self) -> Option<u64> {
        let replica = self.head.replica.as_ref()?;
        Some(match self.is_followed() {
            true => replica.end,
            // This node's own publications are no news, although the replica may not have come so far.
            false => replica.end.max(replica.acknowledged),
        })
    }

    /// As much of the hub's log as `history` asks for, and no more than the retention of the topics would keep in
    /// memory. A pattern counts as one topic.
    fn newest(&self, history: History) -> LogStart {
        let (mut count, mut age) = (0, 0);
        for log in self.logs {
            let retention = self.rules.of(&log.name);
            count = retention.events.saturating_add(count);
            age = retention.age_millis().max(age);
        }
        let (mut to, mut whole, mut passing) = (None, Whole::All, None);
        match history {
            History::None => count = 0,
            History::All => to = self.values_to(),
            History::Last(last) if self.past.filter.is_some() => passing = Some(last),
            History::Last(last) if last <= count => (count, whole) = (last, Whole::Count),
            History::Within(within) if millis(within) <= age => {
                (age, whole) = (millis(within), Whole::Time);
            }
            _ => {}
        }
        LogStart::Newest { count, age, to, whole, passing }
    }
}
