//! All publications, and whether what clients received agrees with them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Mutex;

use tidings::STATUS_EVENT;
use tidings_testkit::checker::{self, Entry, EventId, Visit};

use crate::publisher;

/// Begins the topics of events that a client is not sent, of those that it has asked for.
const HIDDEN: &str = "hidden/";

/// The outcome of a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was published with this id.
    Acknowledged(String),
    /// It was not published.
    Refused,
    /// It was not published, because its topic is finished.
    Finished,
    /// It may have been published, once.
    Unknown,
}

/// One attempt to publish an event. Its data is unique.
#[derive(Debug, Clone)]
pub(crate) struct Publication {
    pub(crate) publisher: usize,
    pub(crate) topic: String,
    pub(crate) data: String,
    pub(crate) outcome: Outcome,
}

/// All publications: those of each publisher in order.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Vec<Publication>>);

impl Ledger {
    pub(crate) fn record(&self, publication: Publication) {
        self.0.lock().unwrap().push(publication);
    }

    pub(crate) fn acknowledged(&self) -> usize {
        let all = self.0.lock().unwrap();
        all.iter().filter(|one| matches!(one.outcome, Outcome::Acknowledged(_))).count()
    }

    /// The id of an event that was acknowledged.
    pub(crate) fn id_of(&self, data: &str) -> Option<String> {
        let all = self.0.lock().unwrap();
        let id = all.iter().filter(|one| one.data == data).find_map(Publication::id);
        id.map(str::to_owned)
    }

    pub(crate) fn publications(&self) -> Vec<Publication> {
        self.0.lock().unwrap().clone()
    }
}

/// What one client received.
#[derive(Debug, Clone)]
pub(crate) struct Receipts {
    pub(crate) topics: Vec<String>,
    /// The [part](part_of) of the events that the client is sent, if it has a filter. It is also sent the last ones.
    pub(crate) part: Option<&'static str>,
    pub(crate) visits: Vec<Visit>,
}

/// Which part of the events one is of: `even` or `odd` by its number, or `last`.
pub(crate) fn part_of(data: &str) -> &'static str {
    let name = data.split(' ').next().unwrap_or_default();
    match name.split_once('-') {
        Some(("last" | "early", _)) => "last",
        Some((_, count)) if count.ends_with(['0', '2', '4', '6', '8']) => "even",
        _ => "odd",
    }
}

impl Receipts {
    fn is_sent(&self, entry: &Entry) -> bool {
        let part = part_of(&entry.data);
        self.part.is_none_or(|mine| mine == part || part == "last")
    }
}

/// What happened, for people.
impl fmt::Display for Receipts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "topics {:?}", self.topics)?;
        for Visit { claimed, messages } in &self.visits {
            write!(f, "claims {claimed:?}:")?;
            for message in messages {
                let id = message.last_event_id();
                match message.event() {
                    STATUS_EVENT => write!(f, " {}@{id}", message.data())?,
                    _ => write!(f, " {}", EventId::of(id).position)?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Breach {
    /// A client did not receive what it should.
    Client(usize, checker::Fault),
    /// An event is in the log twice, with these ids.
    Doubled(String, String),
    /// Two events have this id, according to clients or publishers.
    Ambiguous { id: String, events: [String; 2] },
    /// The event with this id was refused or never published.
    Invented(String),
    /// The event with this id comes before an event that the same publisher published earlier.
    OutOfOrder(String),
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// What happened, if nothing was wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) acknowledged: usize,
    /// Publications that were refused or unanswered.
    pub(crate) failed: usize,
    /// Events that all clients received.
    pub(crate) received: usize,
    pub(crate) reconnects: usize,
    pub(crate) resets: BTreeMap<String, usize>,
}

impl Counts {
    /// The sum of both.
    pub(crate) fn plus(mut self, other: Self) -> Self {
        self.acknowledged += other.acknowledged;
        self.failed += other.failed;
        self.received += other.received;
        self.reconnects += other.reconnects;
        for (reason, count) in other.resets {
            *self.resets.entry(reason).or_default() += count;
        }
        self
    }
}

/// Checks what all clients received. Each has received the last event of its topics.
pub(crate) fn judge(all: &[Publication], clients: &[Receipts]) -> Result<Counts, Breach> {
    let entries = entries(all, clients)?;
    in_order(all)?;
    let mut counts = Counts {
        acknowledged: all.iter().filter(|one| one.id().is_some()).count(),
        failed: all.iter().filter(|one| one.id().is_none()).count(),
        ..Counts::default()
    };
    for (number, client) in clients.iter().enumerate() {
        let topics: Vec<_> = client.topics.iter().map(String::as_str).collect();
        // To a client with a filter, other events are of a topic that it has not asked for.
        let entries = entries.iter().map(|entry| match client.is_sent(entry) {
            true => entry.clone(),
            false => Entry { topic: format!("{HIDDEN}{}", entry.topic), ..entry.clone() },
        });
        let entries: Vec<_> = entries.collect();
        // What is hidden supersedes all the same.
        let summary = checker::check_values(&entries, &topics, &client.visits, |entry| {
            let topic = entry.topic.strip_prefix(HIDDEN).unwrap_or(&entry.topic);
            publisher::key_of(topic, &entry.data).map(|key| (topic, key))
        })
        .map_err(|fault| Breach::Client(number, fault))?;
        counts.received += summary.events;
        counts.reconnects += client.visits.len() - 1;
        for reason in client.visits.iter().flat_map(|visit| &visit.messages).filter_map(reset) {
            *counts.resets.entry(reason).or_default() += 1;
        }
    }
    Ok(counts)
}

/// Why a client was reset, if this is a reset.
fn reset(message: &tidings::Message) -> Option<String> {
    if message.event() != STATUS_EVENT {
        return None;
    }
    let data: serde_json::Value = serde_json::from_str(message.data()).ok()?;
    (data["status"] == "reset").then(|| data["reason"].as_str().unwrap_or("?").to_owned())
}

impl Publication {
    /// For people.
    fn describe(&self) -> String {
        let name = self.data.split(' ').next().unwrap_or_default();
        format!("{name} on {}, {:?}", self.topic, self.outcome)
    }

    fn id(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Acknowledged(id) => Some(id),
            Outcome::Refused | Outcome::Finished | Outcome::Unknown => None,
        }
    }
}

/// The logs of all epochs, as far as publishers and clients know them: events that were acknowledged, and others that
/// clients received. The epoch of the last acknowledgement comes last.
pub(crate) fn entries(all: &[Publication], clients: &[Receipts]) -> Result<Vec<Entry>, Breach> {
    let by_data: HashMap<_, _> = all.iter().map(|one| (one.data.as_str(), one)).collect();
    let mut by_id: HashMap<&str, &Publication> = HashMap::new();
    let mut ids: HashMap<(&str, &str), &str> = HashMap::new();
    let acknowledged = all.iter().filter_map(|one| Some((one.id()?, one.data.as_str())));
    let received = clients.iter().flat_map(|client| &client.visits);
    let received = received
        .flat_map(|visit| &visit.messages)
        .filter(|message| message.event() != STATUS_EVENT)
        .map(|message| (message.last_event_id(), message.data()));
    for (id, data) in acknowledged.chain(received) {
        let is_refused =
            |one: &Publication| matches!(one.outcome, Outcome::Refused | Outcome::Finished);
        let known = by_data.get(data).filter(|one| !is_refused(one));
        let publication = known.ok_or_else(|| Breach::Invented(id.to_owned()))?;
        if let Some(other) = by_id.insert(id, publication).filter(|other| other.data != data) {
            let events = [other, publication].map(Publication::describe);
            return Err(Breach::Ambiguous { id: id.to_owned(), events });
        }
        match ids.insert((EventId::of(id).epoch, data), id) {
            Some(other) if other != id => {
                return Err(Breach::Doubled(other.to_owned(), id.to_owned()));
            }
            _ => {}
        }
    }
    let last = all.iter().rev().find_map(Publication::id).map_or("", |id| EventId::of(id).epoch);
    let mut entries: Vec<_> = by_id.into_iter().collect();
    entries.sort_by_key(|(id, _)| (EventId::of(id).epoch == last, EventId::of(id)));
    let entry = |(id, one): (&str, &Publication)| Entry {
        id: id.to_owned(),
        topic: one.topic.clone(),
        data: one.data.clone(),
    };
    Ok(entries.into_iter().map(entry).collect())
}

/// A publisher waits for each acknowledgement before it publishes the next event, so positions rise.
fn in_order(all: &[Publication]) -> Result<(), Breach> {
    let mut last: HashMap<(usize, &str), u64> = HashMap::new();
    for (publisher, id) in all.iter().filter_map(|one| Some((one.publisher, one.id()?))) {
        let EventId { epoch, position } = EventId::of(id);
        let before = last.insert((publisher, epoch), position);
        if before.is_some_and(|before| before >= position) {
            return Err(Breach::OutOfOrder(id.to_owned()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tidings_testkit::checker::{message, status_message};

    use super::*;

    fn publication(publisher: usize, data: &str, outcome: Outcome) -> Publication {
        Publication { publisher, topic: "a".to_owned(), data: data.to_owned(), outcome }
    }

    fn acknowledged(data: &str, id: &str) -> Publication {
        publication(0, data, Outcome::Acknowledged(id.to_owned()))
    }

    /// A fresh client that has received these events, each `data@id`.
    fn client(script: &str) -> Receipts {
        let mut messages = vec![status_message("fresh", "e-0")];
        messages.extend(script.split_whitespace().map(|word| {
            let (data, id) = word.split_once('@').unwrap();
            message("message", data, id)
        }));
        Receipts {
            topics: vec!["a".to_owned()],
            part: None,
            visits: vec![Visit { claimed: None, messages }],
        }
    }

    fn of_three() -> Vec<Publication> {
        vec![
            acknowledged("one", "e-1"),
            publication(1, "two", Outcome::Unknown),
            publication(1, "no", Outcome::Refused),
            acknowledged("three", "e-3"),
        ]
    }

    #[test]
    fn an_unanswered_event_comes_to_all_or_none() {
        assert_eq!(judge(&of_three(), &[client("one@e-1 three@e-3")]).unwrap().received, 2);
        let both = [client("one@e-1 two@e-2 three@e-3"), client("one@e-1 two@e-2 three@e-3")];
        let counts = judge(&of_three(), &both).unwrap();
        assert_eq!((counts.acknowledged, counts.failed, counts.received), (2, 2, 6));
        let one_only = [client("one@e-1 two@e-2 three@e-3"), client("one@e-1 three@e-3")];
        let lost = Breach::Client(1, checker::Fault::Lost("e-2".to_owned()));
        assert_eq!(judge(&of_three(), &one_only), Err(lost));
    }

    #[test]
    fn an_acknowledged_event_must_come() {
        let lost = Err(Breach::Client(0, checker::Fault::Lost("e-1".to_owned())));
        assert_eq!(judge(&of_three(), &[client("three@e-3")]), lost);
        let lost = Err(Breach::Client(0, checker::Fault::Lost("e-3".to_owned())));
        assert_eq!(judge(&of_three(), &[client("one@e-1")]), lost);
    }

    #[test]
    fn an_event_that_is_in_the_log_twice_is_found() {
        let twice = Breach::Doubled("e-2".to_owned(), "e-4".to_owned());
        let received = [client("one@e-1 two@e-2 three@e-3 two@e-4")];
        assert_eq!(judge(&of_three(), &received), Err(twice));
        let twice = Breach::Doubled("e-1".to_owned(), "e-2".to_owned());
        assert_eq!(judge(&of_three(), &[client("one@e-2 three@e-3")]), Err(twice));
    }

    #[test]
    fn a_refused_or_invented_event_must_not_come() {
        let invented = Err(Breach::Invented("e-2".to_owned()));
        assert_eq!(judge(&of_three(), &[client("one@e-1 no@e-2 three@e-3")]), invented);
        assert_eq!(judge(&of_three(), &[client("one@e-1 what@e-2 three@e-3")]), invented);
    }

    #[test]
    fn an_id_belongs_to_one_event() {
        let breach = judge(&of_three(), &[client("one@e-1 two@e-1 three@e-3")]).unwrap_err();
        assert!(matches!(breach, Breach::Ambiguous { id, .. } if id == "e-1"));
    }

    #[test]
    fn a_publishers_positions_rise() {
        let mut all = of_three();
        all.push(acknowledged("four", "e-2"));
        let received = [client("one@e-1 four@e-2 three@e-3")];
        assert_eq!(judge(&all, &received), Err(Breach::OutOfOrder("e-2".to_owned())));
    }
}
