//! Everything that was asked to be published, and whether what clients received agrees with it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Mutex;

use tidings::STATUS_EVENT;
use tidings_testkit::checker::{self, Entry, Visit};

/// What became of a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It has this id.
    Acknowledged(String),
    /// It is nowhere.
    Refused,
    /// It may be there, once.
    Unknown,
}

/// One event that somebody wanted to publish. Its data is no other's.
#[derive(Debug, Clone)]
pub(crate) struct Publication {
    pub(crate) publisher: usize,
    pub(crate) topic: String,
    pub(crate) data: String,
    pub(crate) outcome: Outcome,
}

/// All publications, each publisher's in its order.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Vec<Publication>>);

impl Ledger {
    pub(crate) fn note(&self, publication: Publication) {
        self.0.lock().unwrap().push(publication);
    }

    pub(crate) fn acknowledged(&self) -> usize {
        let all = self.0.lock().unwrap();
        all.iter().filter(|one| matches!(one.outcome, Outcome::Acknowledged(_))).count()
    }

    pub(crate) fn publications(&self) -> Vec<Publication> {
        self.0.lock().unwrap().clone()
    }
}

/// What one client received.
#[derive(Debug, Clone)]
pub(crate) struct Receipts {
    pub(crate) topics: Vec<String>,
    pub(crate) visits: Vec<Visit>,
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
                    _ => write!(f, " {}", place(id).1)?,
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
    /// A client did not receive what it had to.
    Client(usize, checker::Fault),
    /// An event stands twice in the log, by these ids.
    Doubled(String, String),
    /// Two events have this id, by what clients received or publishers were told.
    Ambiguous { id: String, events: [String; 2] },
    /// An event with this id was refused, or never published.
    Invented(String),
    /// Of one publisher, the event with this id stands before one that was acknowledged earlier.
    OutOfOrder(String),
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// What was seen, where nothing was wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) acknowledged: usize,
    /// Publications that nobody has answered, or that were refused.
    pub(crate) failed: usize,
    /// Events, of all clients.
    pub(crate) received: usize,
    pub(crate) reconnects: usize,
    pub(crate) resets: BTreeMap<String, usize>,
}

impl Counts {
    /// Both together.
    pub(crate) fn and(mut self, other: Self) -> Self {
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

/// Checks what all clients received. Each has come to the last event of its topics.
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
        let summary = checker::check_uneven(&entries, &topics, &client.visits, true)
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
            Outcome::Refused | Outcome::Unknown => None,
        }
    }
}

/// The logs of all epochs, as far as anybody has seen them: what was acknowledged, and what was not but
/// has come all the same. The epoch of the last acknowledgement comes last.
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
        let known = by_data.get(data).filter(|one| one.outcome != Outcome::Refused);
        let publication = known.ok_or_else(|| Breach::Invented(id.to_owned()))?;
        if let Some(other) = by_id.insert(id, publication).filter(|other| other.data != data) {
            let events = [other, publication].map(Publication::describe);
            return Err(Breach::Ambiguous { id: id.to_owned(), events });
        }
        match ids.insert((place(id).0, data), id) {
            Some(other) if other != id => {
                return Err(Breach::Doubled(other.to_owned(), id.to_owned()));
            }
            _ => {}
        }
    }
    let last = all.iter().rev().find_map(Publication::id).map_or("", |id| place(id).0);
    let mut entries: Vec<_> = by_id.into_iter().collect();
    entries.sort_by_key(|(id, _)| (place(id).0 == last, place(id)));
    let entry = |(id, one): (&str, &Publication)| Entry {
        id: id.to_owned(),
        topic: one.topic.clone(),
        data: one.data.clone(),
    };
    Ok(entries.into_iter().map(entry).collect())
}

/// Publishers wait for one acknowledgement before they publish the next: so positions rise.
fn in_order(all: &[Publication]) -> Result<(), Breach> {
    let mut last: HashMap<(usize, &str), u64> = HashMap::new();
    for (publisher, id) in all.iter().filter_map(|one| Some((one.publisher, one.id()?))) {
        let (epoch, position) = place(id);
        let before = last.insert((publisher, epoch), position);
        if before.is_some_and(|before| before >= position) {
            return Err(Breach::OutOfOrder(id.to_owned()));
        }
    }
    Ok(())
}

/// Epoch and position of an id.
pub(crate) fn place(id: &str) -> (&str, u64) {
    let place = id.rsplit_once('-');
    place.and_then(|(epoch, at)| Some((epoch, at.parse().ok()?))).unwrap_or((id, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings::Decoder;

    fn publication(publisher: usize, data: &str, outcome: Outcome) -> Publication {
        Publication { publisher, topic: "a".to_owned(), data: data.to_owned(), outcome }
    }

    fn acknowledged(data: &str, id: &str) -> Publication {
        publication(0, data, Outcome::Acknowledged(id.to_owned()))
    }

    /// A client that has received these, each `data@id`, live.
    fn client(script: &str) -> Receipts {
        let mut decoder = Decoder::new();
        let fresh = format!("event: {STATUS_EVENT}\ndata: {{\"status\":\"fresh\"}}\nid: e-0\n\n");
        decoder.feed(fresh.as_bytes()).unwrap();
        for word in script.split_whitespace() {
            let (data, id) = word.split_once('@').unwrap();
            decoder.feed(format!("data: {data}\nid: {id}\n\n").as_bytes()).unwrap();
        }
        let messages = std::iter::from_fn(|| decoder.next_message()).collect();
        Receipts { topics: vec!["a".to_owned()], visits: vec![Visit { claimed: None, messages }] }
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
    fn what_nobody_has_answered_may_come_or_not_but_for_all() {
        assert_eq!(judge(&of_three(), &[client("one@e-1 three@e-3")]).unwrap().received, 2);
        let both = [client("one@e-1 two@e-2 three@e-3"), client("one@e-1 two@e-2 three@e-3")];
        let counts = judge(&of_three(), &both).unwrap();
        assert_eq!((counts.acknowledged, counts.failed, counts.received), (2, 2, 6));
        let one_only = [client("one@e-1 two@e-2 three@e-3"), client("one@e-1 three@e-3")];
        let lost = Breach::Client(1, checker::Fault::Lost("e-2".to_owned()));
        assert_eq!(judge(&of_three(), &one_only), Err(lost));
    }

    #[test]
    fn what_was_acknowledged_must_come() {
        let lost = Err(Breach::Client(0, checker::Fault::Lost("e-1".to_owned())));
        assert_eq!(judge(&of_three(), &[client("three@e-3")]), lost);
        let lost = Err(Breach::Client(0, checker::Fault::Lost("e-3".to_owned())));
        assert_eq!(judge(&of_three(), &[client("one@e-1")]), lost);
    }

    #[test]
    fn what_stands_twice_in_the_log_is_found() {
        let twice = Breach::Doubled("e-2".to_owned(), "e-4".to_owned());
        let received = [client("one@e-1 two@e-2 three@e-3 two@e-4")];
        assert_eq!(judge(&of_three(), &received), Err(twice));
        let twice = Breach::Doubled("e-1".to_owned(), "e-2".to_owned());
        assert_eq!(judge(&of_three(), &[client("one@e-2 three@e-3")]), Err(twice));
    }

    #[test]
    fn what_was_refused_or_never_published_must_not_come() {
        let invented = Err(Breach::Invented("e-2".to_owned()));
        assert_eq!(judge(&of_three(), &[client("one@e-1 no@e-2 three@e-3")]), invented);
        assert_eq!(judge(&of_three(), &[client("one@e-1 what@e-2 three@e-3")]), invented);
    }

    #[test]
    fn an_id_is_of_one_event() {
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
