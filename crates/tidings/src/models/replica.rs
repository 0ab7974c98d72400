//! A hub on a log that delivers, follows and restarts while clients come and read.

use super::*;
use crate::TopicPattern;
use crate::backend::{Appended, Origin, Replica};
use crate::hub::scripted_log::{ScriptedLog, epoch, other_epoch, record};

/// A hub on a log that has events of these topics, at 1, 2 and so on.
fn hub_on(topics: &[&str], is_selective: bool) -> (Hub, ScriptedLog) {
    let log = ScriptedLog::default();
    log.state().is_selective = is_selective;
    let (hub, _) = log.hub();
    let mut state = log.state();
    state.records = topics.iter().zip(1..).map(|(topic, at)| record(topic, at)).collect();
    state.end = topics.len() as u64;
    drop(state);
    (hub, log)
}

/// Delivers everything, as far as the hub is interested by then.
fn deliver_all(log: &ScriptedLog) {
    let replica = log.replica();
    let records = log.state().records.clone();
    let is_selective = log.state().is_selective;
    let mut followed = Vec::new();
    for record in records {
        followed.extend(follow(log, &replica));
        let is_of = |topics: &TopicPattern| topics.matches(&record.topic);
        let delivered = match !is_selective || followed.iter().any(is_of) {
            true => replica.deliver(record),
            false => replica.reached(record.position),
        };
        delivered.expect("the hub is there");
    }
    follow(log, &replica);
}

/// Answers the hub's interests.
fn follow(log: &ScriptedLog, replica: &Replica) -> Vec<TopicPattern> {
    let interests = std::mem::take(&mut log.state().interests);
    let interests: Vec<_> = interests
        .into_iter()
        .filter_map(|(name, number)| Some((TopicPattern::new(name).expect("a name"), number?)))
        .collect();
    if !interests.is_empty() {
        let position = replica.position().expect("the hub is there");
        let numbers = interests.iter().map(|(name, number)| (name, *number));
        replica.followed(numbers, position).expect("the hub is there");
    }
    interests.into_iter().map(|(name, _)| name).collect()
}

#[test]
fn a_client_that_subscribes_before_its_topic_is_followed_misses_nothing() {
    explore(|| {
        let (hub, log) = hub_on(&["a", "b", "a", "b"], true);
        let joining = {
            let log = log.clone();
            spawn_with(&hub, move |hub| {
                let (mut client, begin) = Client::new(&hub, &["a", "b"]);
                client.expect(begin + 1..=4);
                log.state().is_done = true;
                log.notify();
            })
        };
        deliver_all(&log);
        // Interests that come now are answered, too.
        while !log.wait_until(|log| !log.interests.is_empty() || log.is_done).is_done {
            follow(&log, &log.replica());
        }
        join([joining]);
    });
}

#[test]
fn no_client_goes_on_from_one_history_into_another() {
    explore(|| {
        let (hub, log) = hub_on(&["a", "b", "a"], false);
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
        deliver_all(&log);
        let origin = Origin { epoch: other_epoch(), position: 0, end: 0 };
        log.replica().restart(origin).expect("the hub is there");
        deliver_all(&log);
        join(joining);
    });
}

#[test]
fn events_lost_on_the_way_to_a_replica_are_read_from_the_log() {
    explore(|| {
        let (hub, log) = hub_on(&["a"; 4], false);
        let joining = spawn_with(&hub, move |hub| {
            // The log has it all: no client must be reset.
            let (mut client, begin) = Client::new(&hub, &["a"]);
            client.expect(begin + 1..=4);
        });
        let replica = log.replica();
        let mut events = log.state().records.clone().into_iter();
        replica.deliver(events.next().expect("four")).expect("the hub is there");
        // The second and the third are lost on the way to the replica.
        let origin = Origin { epoch: epoch(), position: 3, end: 3 };
        replica.restart(origin).expect("the hub is there");
        replica.deliver(events.nth(2).expect("four")).expect("the hub is there");
        join([joining]);
    });
}

#[test]
fn a_publisher_that_then_subscribes_begins_after_its_event() {
    explore(|| {
        let (hub, log) = hub_on(&["a"], false);
        let (mut first, _) = Client::new(&hub, &["a"]);
        let publishing = spawn_with(&hub, move |hub| {
            let published = block_on(hub.publish("a", Event::new("1"))).expect("it is open");
            let at = position(published.id().as_str());
            let (_, begin) = Client::new(&hub, &["a"]);
            assert!(begin >= at, "{begin} {at}");
        });
        let answering = {
            let log = log.clone();
            spawn(move || {
                let reply = log.wait_until(|log| !log.appends.is_empty()).appends.remove(0);
                let epoch = epoch();
                reply.send(Ok(Appended { epoch, position: 1, is_duplicate: false }));
            })
        };
        let delivering = spawn(move || deliver_all(&log));
        assert_eq!(first.next_position(), Some(1));
        join([publishing, answering, delivering]);
    });
}
