//! A hub on a log that delivers, follows and restarts while clients come and read.

use super::*;
use crate::backend::{
    Append, Appended, Epoch, Log, Origin, Page, Read, Record, Replica, Reply, Start,
};
use crate::sync::{Condvar, Mutex};
use crate::{Topic, TopicPattern};

/// A log that has everything from the beginning, and delivers it when a model says so.
#[derive(Debug, Clone)]
struct Script(Arc<Mutex<State>>, Arc<Condvar>);

#[derive(Debug)]
struct State {
    epoch: Epoch,
    records: Vec<Record>,
    is_selective: bool,
    replica: Option<Replica>,
    interests: Vec<(TopicPattern, u64)>,
    /// There will be no more interests.
    is_done: bool,
    appended: Vec<(Append, Reply<Appended>)>,
}

fn topic(name: &str) -> Topic {
    Topic::new(name).expect("a good name")
}

fn epoch(name: &str) -> Epoch {
    Epoch::new(name).expect("a good name")
}

/// Events of these topics, at 1, 2 and so on.
fn records(topics: &[&str]) -> Vec<Record> {
    let record = |(topic_name, position): (&&str, u64)| Record {
        position,
        at: 0,
        topic: topic(topic_name),
        event: Event::new(position.to_string()),
    };
    topics.iter().zip(1..).map(record).collect()
}

impl Script {
    fn hub(topics: &[&str], is_selective: bool) -> (Hub, Self) {
        let state = State {
            epoch: epoch("one"),
            records: records(topics),
            is_selective,
            replica: None,
            interests: Vec::new(),
            is_done: false,
            appended: Vec::new(),
        };
        let script = Self(Arc::new(Mutex::new(state)), Arc::default());
        (hub().build_on(script.clone()), script)
    }

    fn replica(&self) -> Replica {
        self.0.lock().replica.clone().expect("it has begun")
    }

    /// Delivers everything, as far as the hub is interested by then.
    fn run(&self) {
        let replica = self.replica();
        let records = self.0.lock().records.clone();
        let mut followed = Vec::new();
        for record in records {
            self.follow(&replica, &mut followed);
            let is_followed = !self.0.lock().is_selective
                || followed.iter().any(|topics| topics.matches(&record.topic));
            let delivered = match is_followed {
                true => replica.deliver(record),
                false => replica.reached(record.position),
            };
            delivered.expect("the hub is there");
        }
        self.follow(&replica, &mut followed);
    }

    fn follow(&self, replica: &Replica, followed: &mut Vec<TopicPattern>) {
        let interests = std::mem::take(&mut self.0.lock().interests);
        if !interests.is_empty() {
            let position = replica.position().expect("the hub is there");
            let numbers = interests.iter().map(|(name, number)| (name, *number));
            replica.followed(numbers, position).expect("the hub is there");
            followed.extend(interests.into_iter().map(|(topic, _)| topic));
        }
    }
}

impl Log for Script {
    fn origin(&self) -> Origin {
        Origin { epoch: self.0.lock().epoch.clone(), position: 0, end: 0 }
    }

    fn start(&self, replica: Replica) {
        self.0.lock().replica = Some(replica);
    }

    fn append(&self, append: Append, reply: Reply<Appended>) {
        self.0.lock().appended.push((append, reply));
        self.1.notify_one();
    }

    fn read(&self, read: Read, reply: Reply<Page>) {
        let state = self.0.lock();
        let Start::After(from) = read.start else { return };
        let is_asked = |record: &&Record| {
            (from + 1..=read.to).contains(&record.position) && read.is_of(record.topic.as_str())
        };
        let records = state.records.iter().filter(is_asked).cloned().collect();
        let page = Page { epoch: state.epoch.clone(), records, from, to: read.to };
        drop(state);
        reply.send(Ok(page));
    }

    fn end(&self, reply: Reply<u64>) {
        let end = self.0.lock().records.len() as u64;
        reply.send(Ok(end));
    }

    fn stop(&self) {}

    fn is_selective(&self) -> bool {
        self.0.lock().is_selective
    }

    fn set_interest(&self, pattern: &TopicPattern, interest: Option<u64>) {
        if let Some(interest) = interest {
            self.0.lock().interests.push((pattern.clone(), interest));
            self.1.notify_one();
        }
    }
}

#[test]
fn a_client_that_subscribes_before_its_topic_is_followed_misses_nothing() {
    explore(|| {
        let (hub, script) = Script::hub(&["a", "b", "a", "b"], true);
        let joining = {
            let (hub, script) = (hub.clone(), script.clone());
            spawn(move || {
                let (mut client, begin) = Client::new(&hub, &["a", "b"]);
                client.expect(begin + 1..=4);
                script.0.lock().is_done = true;
                script.1.notify_one();
            })
        };
        script.run();
        // Interests that come now are answered, too.
        loop {
            let mut state = script.0.lock();
            while state.interests.is_empty() && !state.is_done {
                script.1.wait(&mut state);
            }
            if state.is_done {
                break;
            }
            drop(state);
            script.follow(&script.replica(), &mut Vec::new());
        }
        join([joining]);
    });
}

#[test]
fn no_client_goes_on_from_one_history_into_another() {
    explore(|| {
        let (hub, script) = Script::hub(&["a", "b"], false);
        let joining = [&["a"][..], &["a", "b"]].map(|topics| {
            spawn_with(&hub, move |hub| {
                let stream = hub.subscribe(topics.iter().copied()).open().expect("good topics");
                let mut client = Client { stream, decoder: Decoder::new() };
                let mut history = None;
                let mut place = 0;
                loop {
                    let message = client.next().expect("it goes on");
                    let id = message.last_event_id();
                    let (of, at) = (id.split_once('-').expect("an id").0.to_owned(), position(id));
                    if message.event() == STATUS_EVENT {
                        history = Some(of);
                    } else {
                        assert_eq!(history, Some(of), "{id}");
                        let is_mine = |at: &u64| topics.contains(&["a", "b"][*at as usize % 2]);
                        let next = (place + 1..).find(|at| is_mine(&(at - 1)));
                        assert_eq!(next, Some(at));
                    }
                    place = at;
                    // The last one of the second history that all have.
                    if history.as_deref() == Some("two") && place == 3 {
                        return;
                    }
                }
            })
        });
        let replica = script.replica();
        for record in records(&["a", "b", "a"]) {
            replica.deliver(record).expect("the hub is there");
        }
        let origin = Origin { epoch: epoch("two"), position: 0, end: 0 };
        replica.restart(origin).expect("the hub is there");
        for record in records(&["a", "b", "a"]) {
            replica.deliver(record).expect("the hub is there");
        }
        join(joining);
    });
}

#[test]
fn events_lost_on_the_way_to_a_replica_are_read_from_the_log() {
    explore(|| {
        let (hub, script) = Script::hub(&["a", "a", "a", "a"], false);
        let joining = spawn_with(&hub, move |hub| {
            let (mut client, mut place) = Client::new(&hub, &["a"]);
            while place < 4 {
                let message = client.next().expect("it goes on");
                let at = position(message.last_event_id());
                // The log has it all: nobody has to be reset.
                assert_ne!(message.event(), STATUS_EVENT);
                assert_eq!(at, place + 1);
                place = at;
            }
        });
        let replica = script.replica();
        let mut events = script.0.lock().records.clone().into_iter();
        replica.deliver(events.next().expect("four")).expect("the hub is there");
        // The second and the third are lost on the way to the replica.
        let origin = Origin { epoch: epoch("one"), position: 3, end: 3 };
        replica.restart(origin).expect("the hub is there");
        replica.deliver(events.nth(2).expect("four")).expect("the hub is there");
        join([joining]);
    });
}

#[test]
fn a_publisher_that_then_subscribes_begins_after_its_event() {
    explore(|| {
        let (hub, script) = Script::hub(&["a"], false);
        let (mut first, _) = Client::new(&hub, &["a"]);
        let publishing = spawn_with(&hub, move |hub| {
            let published = block_on(hub.publish("a", Event::new("1"))).expect("it is open");
            let at = position(published.id().as_str());
            let (_, begin) = Client::new(&hub, &["a"]);
            assert!(begin >= at, "{begin} {at}");
        });
        let answering = {
            let script = script.clone();
            spawn(move || {
                let mut state = script.0.lock();
                let (_, reply) = loop {
                    match state.appended.pop() {
                        Some(appended) => break appended,
                        None => script.1.wait(&mut state),
                    }
                };
                drop(state);
                let epoch = epoch("one");
                reply.send(Ok(Appended { epoch, position: 1, is_duplicate: false }));
            })
        };
        let delivering = spawn(move || script.run());
        assert_eq!(first.next_position(), Some(1));
        join([publishing, answering, delivering]);
    });
}
