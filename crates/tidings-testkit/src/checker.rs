//! Checks whether a client received what it was promised, over all of its connections.
//!
//! The promise: every event of its topics, in the hub's order, none twice, across reconnects; or a reset. [`check`]
//! knows nothing of how a hub works: it compares what was published with what arrived.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::AddAssign;

use tidings::{Decoder, END_EVENT, Event, Hub, Message, STATUS_EVENT};

pub use crate::pattern::is_of;
use crate::wire::Response;

/// One event that was published, with the id that the hub gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The event's id.
    pub id: String,
    /// Its topic.
    pub topic: String,
    /// Its data.
    pub data: String,
}

impl Entry {
    /// Publishes an event.
    #[track_caller]
    pub fn publish(hub: &Hub, topic: &str, data: &str) -> Self {
        let published = hub.publish(topic, Event::new(data)).wait().expect("an event is published");
        Self { id: published.id().to_string(), topic: topic.to_owned(), data: data.to_owned() }
    }
}

/// One connection of a client.
#[derive(Debug, Clone)]
pub struct Visit {
    /// The `Last-Event-ID` that the client sent.
    pub claimed: Option<String>,
    /// All messages that it received.
    pub messages: Vec<Message>,
}

impl Visit {
    /// The messages of a response so far. What a stream says of its end is about the stream, and the last of it.
    pub fn of(claimed: Option<&str>, response: &Response) -> Self {
        let mut messages = response.messages().to_vec();
        messages.pop_if(|message| message.event() == END_EVENT);
        Self { claimed: claimed.map(str::to_owned), messages }
    }
}

/// What a client received, if nothing was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Events, status events aside.
    pub events: usize,
    /// Connections that were resumed.
    pub resumed: usize,
    /// Resets, at the start of a connection or later.
    pub resets: usize,
}

impl AddAssign for Summary {
    fn add_assign(&mut self, other: Self) {
        self.events += other.events;
        self.resumed += other.resumed;
        self.resets += other.resets;
    }
}

/// A broken promise, mostly with the id of the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A connection does not begin with a status event, or its status is unknown; or no connection has had any.
    NoStatus(String),
    /// The status contradicts what the client sent.
    WrongStatus(String),
    /// The event did not come.
    Lost(String),
    /// The event came twice, without a reset in between.
    Doubled(String),
    /// The event came before one that was published earlier.
    OutOfOrder(String),
    /// The client is not subscribed to the event's topic.
    Foreign(String),
    /// The event was published with other data, or not at all.
    Altered(String),
    /// The client was resumed, but its next event did not come.
    MissingReset(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Fault {}

/// Checks all visits of a client that is subscribed to `topics`, among them patterns such as `a:*`, and has read
/// up to the last event.
///
/// `published` is everything that was published to the hub, in its order: one epoch after the other.
///
/// # Errors
///
/// The first fault.
pub fn check(published: &[Entry], topics: &[&str], visits: &[Visit]) -> Result<Summary, Fault> {
    check_all(published, topics, visits, HashSet::new(), (true, true)).map(|it| it.summary)
}

/// As [`check`], for a client that may have stopped before the last event.
///
/// # Errors
///
/// The first fault.
pub fn check_unfinished(
    published: &[Entry],
    topics: &[&str],
    visits: &[Visit],
) -> Result<Summary, Fault> {
    check_all(published, topics, visits, HashSet::new(), (true, false)).map(|it| it.summary)
}

/// As [`check`], where topics keep different numbers of events: what is retained follows a reset, and begins at
/// another position for each topic. At the end, the newest event of each topic must have come.
///
/// What a reset is to be followed by, this does not know. So a topic that has lost all of its events between a reset and the
/// client's next connection is not found.
///
/// # Errors
///
/// The first fault.
pub fn check_uneven(
    published: &[Entry],
    topics: &[&str],
    visits: &[Visit],
    finished: bool,
) -> Result<Summary, Fault> {
    let client = check_all(published, topics, visits, HashSet::new(), (false, finished))?;
    match client.newest_unseen() {
        Some(id) if finished => Err(Fault::Lost(id.to_owned())),
        _ => Ok(client.summary),
    }
}

/// As [`check_uneven`], for a client that has come to the last event, where topics keep the newest event of each key: those
/// that a newer one with the same key supersedes may be missing. `key_of` has the topic and the key of an event of such a
/// topic. A server may have lost the newest event of a topic, too: one of which nothing has come since a reset is not found.
///
/// # Errors
///
/// The first fault.
pub fn check_values(
    published: &[Entry],
    topics: &[&str],
    visits: &[Visit],
    key_of: impl Fn(&Entry) -> Option<(&str, &str)>,
) -> Result<Summary, Fault> {
    let mut newest = HashMap::new();
    let mut superseded = HashSet::new();
    for entry in published {
        if let Some(key) = key_of(entry) {
            let of_epoch = (EventId::of(&entry.id).epoch, key);
            superseded.extend(newest.insert(of_epoch, entry.id.as_str()));
        }
    }
    check_all(published, topics, visits, superseded, (false, true)).map(|it| it.summary)
}

fn check_all<'a>(
    published: &'a [Entry],
    topics: &[&str],
    visits: &'a [Visit],
    superseded: HashSet<&'a str>,
    (even, finished): (bool, bool),
) -> Result<Client<'a>, Fault> {
    let known: HashSet<_> = published.iter().map(|entry| entry.topic.as_str()).collect();
    let topics: HashSet<_> = known.into_iter().filter(|topic| is_of(topics, topic)).collect();
    let mut of_topics: HashMap<&str, Vec<_>> = HashMap::new();
    for entry in published.iter().filter(|entry| topics.contains(entry.topic.as_str())) {
        let EventId { epoch, position } = EventId::of(&entry.id);
        of_topics.entry(epoch).or_default().push((position, entry));
    }
    let mut client = Client {
        by_id: published.iter().map(|entry| (entry.id.as_str(), entry)).collect(),
        of_topics,
        superseded,
        topics,
        even,
        to_begin: HashSet::new(),
        reset: None,
        cursor: None,
        seen: HashSet::new(),
        summary: Summary::default(),
    };
    visits.iter().try_for_each(|visit| client.visit(visit))?;
    if finished && client.cursor.is_none() && !client.of_topics.is_empty() {
        return Err(Fault::NoStatus(String::new()));
    }
    match client.missing_at_the_end(published).first() {
        Some(id) if finished => Err(Fault::Lost((*id).to_owned())),
        _ => Ok(client),
    }
}

/// The parts of an id `<epoch>-<position>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventId<'a> {
    /// The name of the history.
    pub epoch: &'a str,
    /// The position in it.
    pub position: u64,
}

impl<'a> EventId<'a> {
    /// The parts of an id, if it is one of a hub.
    pub fn parse(id: &'a str) -> Option<Self> {
        let (epoch, position) = id.rsplit_once('-')?;
        Some(Self { epoch, position: position.parse().ok()? })
    }

    /// The parts of an id of a hub.
    pub fn of(id: &'a str) -> Self {
        Self::parse(id).unwrap_or_else(|| panic!("{id:?} is not an id of a hub"))
    }

    /// Whether a client with this id has the event with the other id.
    pub fn has(self, other: Self) -> bool {
        self.epoch == other.epoch && self.position >= other.position
    }
}

struct Client<'a> {
    by_id: HashMap<&'a str, &'a Entry>,
    /// The events that the client should receive with their positions, in order, for each epoch.
    of_topics: HashMap<&'a str, Vec<(u64, &'a Entry)>>,
    /// The ids of those that may be missing.
    superseded: HashSet<&'a str>,
    /// The topics that it is subscribed to, by name or by a pattern.
    topics: HashSet<&'a str>,
    /// Whether all topics keep the same range of positions.
    even: bool,
    /// If not: the topics of which nothing has come since a reset.
    to_begin: HashSet<&'a str>,
    /// Where that was.
    reset: Option<EventId<'a>>,
    /// The client has everything up to here. `None` before its first status.
    cursor: Option<EventId<'a>>,
    /// The ids received since the last reset.
    seen: HashSet<&'a str>,
    summary: Summary,
}

impl<'a> Client<'a> {
    fn visit(&mut self, visit: &'a Visit) -> Result<(), Fault> {
        let mut resumed_just_now = false;
        for (index, message) in visit.messages.iter().enumerate() {
            if message.event() == STATUS_EVENT {
                let claimed = visit.claimed.as_deref().filter(|_| index == 0);
                resumed_just_now = self.status(message, claimed, index == 0)?;
            } else if index == 0 {
                return Err(Fault::NoStatus(message.last_event_id().to_owned()));
            } else {
                self.event(message, &visit.messages[index + 1..], resumed_just_now)?;
                resumed_just_now = false;
            }
        }
        Ok(())
    }

    /// Handles a status event. Returns whether the client is resumed.
    fn status(
        &mut self,
        message: &'a Message,
        claimed: Option<&str>,
        is_first: bool,
    ) -> Result<bool, Fault> {
        let data: serde_json::Value = serde_json::from_str(message.data()).unwrap_or_default();
        let id = message.last_event_id();
        let wrong = || Err(Fault::WrongStatus(format!("{} at {id:?}", message.data())));
        match data["status"].as_str() {
            Some("fresh") if is_first && claimed.is_none() => {
                self.cursor = Some(EventId::of(id));
                self.seen.clear();
                self.to_begin.clear();
            }
            Some("resumed") if claimed == Some(id) => {
                // A client whose earlier connections are unknown begins here.
                self.cursor.get_or_insert(EventId::of(id));
                // The client has all topics up to here now.
                self.to_begin.clear();
                self.summary.resumed += 1;
                return Ok(true);
            }
            Some("reset") if !is_first || claimed.is_some() => {
                self.cursor = Some(EventId::of(id));
                self.seen.clear();
                if !self.even {
                    self.to_begin.extend(&self.topics);
                    self.reset = self.cursor;
                }
                self.summary.resets += 1;
            }
            Some("fresh" | "resumed" | "reset") => return wrong(),
            _ => return Err(Fault::NoStatus(id.to_owned())),
        }
        Ok(false)
    }

    fn event(
        &mut self,
        message: &Message,
        later: &[Message],
        resumed_just_now: bool,
    ) -> Result<(), Fault> {
        let id = message.last_event_id().to_owned();
        let Some((&known, entry)) = self.by_id.get_key_value(id.as_str()) else {
            return Err(Fault::Altered(id));
        };
        if !self.topics.contains(entry.topic.as_str()) {
            return Err(Fault::Foreign(id));
        }
        if !self.seen.insert(known) {
            return Err(Fault::Doubled(id));
        }
        if entry.data != message.data() {
            return Err(Fault::Altered(id));
        }
        let at = EventId::of(known);
        if let Some(cursor) = self.cursor {
            if at.epoch != cursor.epoch {
                return Err(Fault::MissingReset(id));
            }
            if at.position <= cursor.position {
                return Err(Fault::OutOfOrder(id));
            }
        }
        if let Some(missing) = self.missing_before(at).first() {
            return Err(if later.iter().any(|message| message.last_event_id() == *missing) {
                Fault::OutOfOrder(id)
            } else if resumed_just_now {
                Fault::MissingReset((*missing).to_owned())
            } else {
                Fault::Lost((*missing).to_owned())
            });
        }
        self.cursor = Some(at);
        self.to_begin.remove(entry.topic.as_str());
        self.summary.events += 1;
        Ok(())
    }

    /// The ids of the events that the client should have received by the end.
    fn missing_at_the_end(&self, published: &'a [Entry]) -> Vec<&'a str> {
        let last = published.last().map(|entry| EventId::of(&entry.id).epoch);
        let of_last = last.and_then(|epoch| self.of_topics.get(epoch));
        match (self.cursor, of_last, last) {
            // It was not reset when its history ended.
            (Some(cursor), Some(entries), Some(last)) if cursor.epoch != last => {
                entries.iter().map(|(_, entry)| entry.id.as_str()).collect()
            }
            (Some(cursor), ..) => self.missing_before(EventId { position: u64::MAX, ..cursor }),
            (None, ..) => Vec::new(),
        }
    }

    /// The newest event of a topic that keeps it, though nothing of the topic has come since a reset.
    fn newest_unseen(&self) -> Option<&'a str> {
        let reset = self.reset?;
        let entries = self.of_topics.get(reset.epoch)?;
        self.to_begin.iter().find_map(|topic| {
            let (at, newest) = entries.iter().rev().find(|(_, entry)| entry.topic == *topic)?;
            (*at > reset.position).then_some(newest.id.as_str())
        })
    }

    /// The ids of the events that the client should have received after its cursor and before another event of that
    /// epoch.
    fn missing_before(&self, before: EventId<'_>) -> Vec<&'a str> {
        let Some(cursor) = self.cursor else { return Vec::new() };
        let entries = self.of_topics.get(cursor.epoch).map_or(&[][..], Vec::as_slice);
        let after = entries.partition_point(|(at, _)| *at <= cursor.position);
        let missing = entries[after..].iter().take_while(|(at, _)| *at < before.position);
        let missing = missing.map(|(_, entry)| *entry);
        missing
            .filter(|entry| !self.to_begin.contains(entry.topic.as_str()))
            .map(|entry| entry.id.as_str())
            .filter(|id| !self.superseded.contains(id))
            .collect()
    }
}

/// The position in an id of a hub.
pub fn position(id: &str) -> u64 {
    EventId::of(id).position
}

/// A message as a client receives it, for tests of what checks clients.
pub fn message(event: &str, data: &str, id: &str) -> Message {
    let mut decoder = Decoder::new();
    let bytes = format!("event: {event}\ndata: {data}\nid: {id}\n\n");
    decoder.feed(bytes.as_bytes()).expect("an event");
    decoder.next_message().expect("a message")
}

/// A status event as a client receives it: see [`message`].
pub fn status_message(status: &str, id: &str) -> Message {
    message(STATUS_EVENT, &format!("{{\"status\":\"{status}\"}}"), id)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Six events: 1 to 6, of topics a, b, a, b, c, a.
    fn published() -> Vec<Entry> {
        let topics = ["a", "b", "a", "b", "c", "a"].into_iter();
        topics
            .zip(1..)
            .map(|(topic, n)| Entry {
                id: format!("e-{n}"),
                topic: topic.to_owned(),
                data: format!("{topic}{n}"),
            })
            .collect()
    }

    /// A connection as text: `fresh@0`, `resumed@2`, `reset@3`, or the number of an event.
    fn visit(claimed: Option<&str>, script: &str) -> Visit {
        let message = |word: &str| match word.split_once('@') {
            Some((status, at)) => status_message(status, &format!("e-{at}")),
            None => {
                let index: usize = word.parse().unwrap();
                let data = published().get(index - 1).map_or(String::new(), |e| e.data.clone());
                message("message", &data, &format!("e-{word}"))
            }
        };
        let messages = script.split_whitespace().map(message).collect();
        Visit { claimed: claimed.map(str::to_owned), messages }
    }

    fn check_a_and_b(visits: &[(Option<&str>, &str)]) -> Result<Summary, Fault> {
        let visits: Vec<_> =
            visits.iter().map(|(claimed, script)| visit(*claimed, script)).collect();
        check(&published(), &["a", "b"], &visits)
    }

    #[track_caller]
    fn finds(fault: fn(String) -> Fault, id: &str, visits: &[(Option<&str>, &str)]) {
        assert_eq!(check_a_and_b(visits), Err(fault(id.to_owned())));
    }

    #[test]
    fn everything_in_order_is_right() {
        let summary = check_a_and_b(&[(None, "fresh@0 1 2 3 4 6")]);
        assert_eq!(summary, Ok(Summary { events: 5, resumed: 0, resets: 0 }));
    }

    #[test]
    fn a_client_that_resumes_where_it_was_cut_is_right() {
        let summary = check_a_and_b(&[
            (None, ""),
            (None, "fresh@0"),
            (Some("e-0"), "resumed@0 1 2"),
            (Some("e-2"), "resumed@2"),
            (Some("e-2"), ""),
            (Some("e-2"), "resumed@2 3 4 6"),
        ]);
        assert_eq!(summary, Ok(Summary { events: 5, resumed: 3, resets: 0 }));
    }

    #[test]
    fn a_client_that_starts_live_need_not_see_what_was_before() {
        assert!(check_a_and_b(&[(None, "fresh@3 4 6")]).is_ok());
    }

    #[test]
    fn a_reset_may_leave_a_gap_and_repeat() {
        let summary = check_a_and_b(&[(None, "fresh@0 1 2"), (Some("e-2"), "reset@3 4 6")]);
        assert_eq!(summary, Ok(Summary { events: 4, resumed: 0, resets: 1 }));
        let summary = check_a_and_b(&[(None, "fresh@0 1 2 reset@1 2 3 4 6")]);
        assert_eq!(summary, Ok(Summary { events: 6, resumed: 0, resets: 1 }));
    }

    #[test]
    fn a_lost_event_is_found() {
        finds(Fault::Lost, "e-3", &[(None, "fresh@0 1 2 4 6")]);
        finds(Fault::Lost, "e-1", &[(None, "fresh@0 2 3 4 6")]);
        finds(Fault::Lost, "e-6", &[(None, "fresh@0 1 2 3 4")]);
        finds(Fault::Lost, "e-4", &[(None, "fresh@0 1 2"), (Some("e-2"), "resumed@2 3 6")]);
    }

    #[test]
    fn of_values_the_last_of_each_key_must_come() {
        let published: Vec<_> = (1..=4)
            .map(|n| Entry {
                id: format!("e-{n}"),
                topic: "a".into(),
                data: format!("k{} {n}", n % 2),
            })
            .collect();
        let check = |script: &str| {
            let messages = std::iter::once(status_message("fresh", "e-0"));
            let events = script.split_whitespace().map(|n| {
                let entry = &published[n.parse::<usize>().unwrap() - 1];
                message("message", &entry.data, &entry.id)
            });
            let visit = Visit { claimed: None, messages: messages.chain(events).collect() };
            check_values(&published, &["a"], &[visit], |entry| {
                Some((entry.topic.as_str(), entry.data.split(' ').next()?))
            })
        };
        for script in ["1 2 3 4", "2 3 4", "3 4"] {
            assert_eq!(check(script).unwrap().events, script.split(' ').count());
        }
        assert_eq!(check("1 2 4"), Err(Fault::Lost("e-3".into())));
        assert_eq!(check("1 2 3"), Err(Fault::Lost("e-4".into())));
        assert_eq!(check("2 1 3 4"), Err(Fault::OutOfOrder("e-1".into())));
    }

    #[test]
    fn an_event_that_is_lost_after_a_reset_is_found() {
        finds(Fault::Lost, "e-4", &[(None, "fresh@0 1 reset@3 6")]);
    }

    #[test]
    fn topics_that_keep_different_numbers_begin_at_different_positions_after_a_reset() {
        let check =
            |script| check_uneven(&published(), &["a", "b"], &[visit(Some("x-1"), script)], true);
        assert!(check("reset@0 1 3 4 6").is_ok());
        assert!(check("reset@0 2 4 6").is_ok_and(|summary| summary.events == 3));
        // Once a topic has begun, it is complete.
        assert_eq!(check("reset@0 1 2 3 6"), Err(Fault::Lost("e-4".to_owned())));
        assert_eq!(check("reset@0 1 2 4 6"), Err(Fault::Lost("e-3".to_owned())));
        assert_eq!(check("reset@0 1 2 3 4"), Err(Fault::Lost("e-6".to_owned())));
        // It has begun at the end, because it keeps its newest event.
        assert_eq!(check("reset@0 2 4"), Err(Fault::Lost("e-6".to_owned())));
        assert_eq!(check("reset@0 1 3 6"), Err(Fault::Lost("e-4".to_owned())));
        let unfinished = [visit(Some("x-1"), "reset@0 1 2 3 4")];
        assert!(check_uneven(&published(), &["a", "b"], &unfinished, false).is_ok());
        assert_eq!(check("reset@0 1 3 2 4 6"), Err(Fault::OutOfOrder("e-2".to_owned())));
        let visits = [visit(Some("x-1"), "reset@0 1 3"), visit(Some("e-3"), "resumed@3 6")];
        let fault = check_uneven(&published(), &["a", "b"], &visits, true);
        assert_eq!(fault, Err(Fault::MissingReset("e-4".to_owned())));
    }

    #[test]
    fn a_doubled_event_is_found() {
        finds(Fault::Doubled, "e-2", &[(None, "fresh@0 1 2 2 3 4 6")]);
        finds(Fault::Doubled, "e-2", &[(None, "fresh@0 1 2"), (Some("e-2"), "resumed@2 2 3 4 6")]);
    }

    #[test]
    fn events_out_of_order_are_found() {
        finds(Fault::OutOfOrder, "e-3", &[(None, "fresh@0 1 3 2 4 6")]);
        finds(Fault::OutOfOrder, "e-3", &[(None, "fresh@3 3 4 6")]);
    }

    #[test]
    fn an_event_of_another_topic_is_found() {
        finds(Fault::Foreign, "e-5", &[(None, "fresh@0 1 2 3 4 5 6")]);
    }

    #[test]
    fn a_pattern_is_all_topics_that_match_it_and_no_others() {
        let mut published = published();
        for (entry, topic) in published.iter_mut().zip(["a:1", "b", "a:2", "b", "c", "a:1"]) {
            topic.clone_into(&mut entry.topic);
        }
        let check = |topics: &[&str], script| {
            let visits = [visit(Some("x-1"), script)];
            check_uneven(&published, topics, &visits, true).map(|summary| summary.events)
        };
        for topics in [&["a:*"][..], &["*:*", "a:*"], &["a:1", "a:*"], &["a*1", "*2"]] {
            assert_eq!(check(topics, "reset@0 1 3 6"), Ok(3));
            assert_eq!(check(topics, "reset@0 1 1 3 6"), Err(Fault::Doubled("e-1".to_owned())));
            assert_eq!(check(topics, "reset@0 1 3 4 6"), Err(Fault::Foreign("e-4".to_owned())));
            assert_eq!(check(topics, "reset@0 1 3"), Err(Fault::Lost("e-6".to_owned())));
            // Each topic may begin at another position.
            assert_eq!(check(topics, "reset@0 3 6"), Ok(2));
            assert_eq!(check(topics, "reset@0 1 6"), Err(Fault::Lost("e-3".to_owned())));
        }
        assert_eq!(check(&["*"], "reset@0 1 2 3 5 6"), Err(Fault::Lost("e-4".to_owned())));
    }

    #[test]
    fn a_missing_reset_is_found() {
        finds(Fault::MissingReset, "e-3", &[(None, "fresh@0 1 2"), (Some("e-2"), "resumed@2 4 6")]);
    }

    #[test]
    fn altered_and_invented_events_are_found() {
        let mut visits = [visit(None, "fresh@0 1 2 3 4 6")];
        let mut published = published();
        published[2].data = "other".to_owned();
        let fault = check(&published, &["a", "b"], &visits);
        assert_eq!(fault, Err(Fault::Altered("e-3".to_owned())));
        visits = [visit(None, "fresh@0 1 2 3 4 6 7")];
        let fault = check(&published[..0], &["a"], &visits);
        assert_eq!(fault, Err(Fault::Altered("e-1".to_owned())));
    }

    #[test]
    fn a_status_that_contradicts_the_client_is_found() {
        for visits in [
            &[(None, "resumed@0 1")][..],
            &[(None, "reset@0 1")],
            &[(None, "fresh@0 1"), (Some("e-1"), "fresh@1 2")],
            &[(None, "fresh@0 1"), (Some("e-1"), "resumed@2 3")],
            &[(None, "fresh@0 1 fresh@2 3")],
        ] {
            let fault = check_a_and_b(visits);
            assert!(matches!(fault, Err(Fault::WrongStatus(_))), "{fault:?}");
        }
        finds(Fault::NoStatus, "e-1", &[(None, "1 2 3 4 6")]);
        finds(Fault::NoStatus, "e-0", &[(None, "odd@0 1")]);
    }

    #[test]
    fn a_client_that_has_received_nothing_at_all_is_found() {
        finds(Fault::NoStatus, "", &[]);
        finds(Fault::NoStatus, "", &[(None, ""), (None, "")]);
        assert!(check_unfinished(&published(), &["a"], &[visit(None, "")]).is_ok());
        assert!(check(&published(), &["silent"], &[]).is_ok());
    }

    #[test]
    fn a_client_that_is_known_by_its_claim_only_is_checked_from_there() {
        assert!(check_a_and_b(&[(Some("e-2"), "resumed@2 3 4 6")]).is_ok());
        finds(Fault::MissingReset, "e-3", &[(Some("e-2"), "resumed@2 4 6")]);
        finds(Fault::Lost, "e-6", &[(Some("e-2"), "resumed@2 3 4")]);
    }

    /// Events of two epochs, e and f, of topic a.
    fn of_two_epochs() -> Vec<Entry> {
        let ids = ["e-1", "e-2", "f-1", "f-2"];
        let entry = |id: &str| Entry { id: id.into(), topic: "a".into(), data: id.into() };
        ids.into_iter().map(entry).collect()
    }

    /// Checks a client of these events that received these ids; `!` before an id is a reset to it.
    fn check_epochs(script: &str) -> Result<Summary, Fault> {
        let message = |(index, word): (usize, &str)| match word.strip_prefix('!') {
            Some(id) => status_message(if index == 0 { "fresh" } else { "reset" }, id),
            None => message("message", word, word),
        };
        let messages = script.split_whitespace().enumerate().map(message).collect();
        check(&of_two_epochs(), &["a"], &[Visit { claimed: None, messages }])
    }

    #[test]
    fn a_new_epoch_needs_a_reset() {
        assert_eq!(check_epochs("!e-0 e-1 e-2 !f-0 f-1 f-2").unwrap().resets, 1);
        // The rest of the old epoch will not come.
        assert!(check_epochs("!e-0 e-1 !f-0 f-1 f-2").is_ok());
        assert_eq!(check_epochs("!e-0 e-1 e-2 f-1 f-2"), Err(Fault::MissingReset("f-1".into())));
        assert_eq!(check_epochs("!e-0 e-1 e-2"), Err(Fault::Lost("f-1".into())));
        assert_eq!(check_epochs("!e-0 e-1 e-2 !f-0 f-2"), Err(Fault::Lost("f-1".into())));
        assert_eq!(check_epochs("!e-0 !f-0 f-1 f-2 e-1"), Err(Fault::MissingReset("e-1".into())));
    }

    /// Forty events of topics a, b and c in turn, and a client of a and b that received all of its events, over
    /// connections of several lengths.
    fn clean() -> (Vec<Entry>, Vec<Visit>) {
        let published: Vec<_> = (1..=40)
            .map(|n| {
                let topic = ["a", "b", "c"][n % 3];
                Entry { id: format!("e-{n}"), topic: topic.to_owned(), data: format!("{topic}{n}") }
            })
            .collect();
        let mut mine = published.iter().filter(|entry| entry.topic != "c").peekable();
        let mut visits = vec![visit(None, "fresh@0")];
        let mut last = "e-0".to_owned();
        for length in (0..=4).cycle() {
            let mut messages = vec![status_message("resumed", &last)];
            let events = mine.by_ref().take(length);
            messages.extend(events.map(|entry| message("message", &entry.data, &entry.id)));
            let claimed = Some(last);
            last = messages.last().unwrap().last_event_id().to_owned();
            visits.push(Visit { claimed, messages });
            if mine.peek().is_none() {
                break;
            }
        }
        (published, visits)
    }

    /// Breaks a clean history at one event after the other, and asserts that the fault is found each time.
    fn at_every_event(
        breaks: impl Fn(&mut Vec<Visit>, usize, usize) -> Option<fn(&Fault) -> bool>,
    ) -> usize {
        let (published, clean) = clean();
        let summary = check(&published, &["a", "b"], &clean).expect("it is clean");
        assert_eq!(summary.events, 27);
        let mut broken = 0;
        for visit in 0..clean.len() {
            for index in 1..clean[visit].messages.len() {
                let mut visits = clean.clone();
                if let Some(is_it) = breaks(&mut visits, visit, index) {
                    let found = check(&published, &["a", "b"], &visits).expect_err("it is broken");
                    assert!(is_it(&found), "{found} at {visit}, {index}");
                    broken += 1;
                }
            }
        }
        broken
    }

    #[test]
    fn a_lost_event_is_found_everywhere() {
        let broken = at_every_event(|visits, visit, index| {
            visits[visit].messages.remove(index);
            Some(|fault| matches!(fault, Fault::Lost(_) | Fault::MissingReset(_)))
        });
        assert_eq!(broken, 27);
    }

    #[test]
    fn a_doubled_event_is_found_everywhere() {
        let broken = at_every_event(|visits, visit, index| {
            let again = visits[visit].messages[index].clone();
            visits[visit].messages.insert(index, again);
            Some(|fault| matches!(fault, Fault::Doubled(_)))
        });
        assert_eq!(broken, 27);
        // Also when it comes much later.
        let broken = at_every_event(|visits, visit, index| {
            let again = visits[visit].messages[index].clone();
            visits.last_mut().unwrap().messages.push(again);
            Some(|fault| matches!(fault, Fault::Doubled(_)))
        });
        assert_eq!(broken, 27);
    }

    #[test]
    fn a_wrong_order_is_found_everywhere() {
        let within = at_every_event(|visits, visit, index| {
            let messages = &mut visits[visit].messages;
            (index + 1 < messages.len()).then(|| messages.swap(index, index + 1))?;
            Some(|fault| matches!(fault, Fault::OutOfOrder(_)))
        });
        // Also from one connection to the next.
        let across = at_every_event(|visits, visit, index| {
            let is_last = index + 1 == visits[visit].messages.len();
            let next = (visit + 1..visits.len()).find(|next| visits[*next].messages.len() > 1);
            let next = next.filter(|_| is_last)?;
            let (one, other) = visits.split_at_mut(next);
            std::mem::swap(&mut one[visit].messages[index], &mut other[0].messages[1]);
            Some(|fault| {
                matches!(fault, Fault::OutOfOrder(_) | Fault::Lost(_) | Fault::MissingReset(_))
            })
        });
        // Each event with the next one.
        assert_eq!(within + across, 26);
    }

    #[test]
    fn an_event_of_another_topic_is_found_everywhere() {
        let broken = at_every_event(|visits, visit, index| {
            let foreign = message("message", "c20", "e-20");
            visits[visit].messages.insert(index, foreign);
            Some(|fault| matches!(fault, Fault::Foreign(id) if id == "e-20"))
        });
        assert_eq!(broken, 27);
    }

    #[test]
    fn a_gap_before_a_resumed_connection_is_found() {
        // The client did not receive the end of a connection, but claims it in the next one.
        let broken = at_every_event(|visits, visit, index| {
            visits[visit].messages.truncate(index);
            Some(|fault| matches!(fault, Fault::Lost(_) | Fault::MissingReset(_)))
        });
        assert_eq!(broken, 27);
    }

    #[test]
    fn altered_data_is_found_everywhere() {
        let broken = at_every_event(|visits, visit, index| {
            let messages = &mut visits[visit].messages;
            let id = messages[index].last_event_id().to_owned();
            messages[index] = message("message", "other", &id);
            Some(|fault| matches!(fault, Fault::Altered(_)))
        });
        assert_eq!(broken, 27);
    }
}
