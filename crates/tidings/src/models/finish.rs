//! Topics that are finished while clients come and read.

use super::*;
use crate::backend::Origin;
use crate::hub::scripted_log::{ScriptedLog, epoch, record};
use crate::{END_EVENT, History, Resume};

/// The positions of the events up to the end of a stream, which says why it ends.
fn read_to_the_end(client: &mut Client) -> Vec<u64> {
    let mut positions = Vec::new();
    let mut is_over = false;
    while let Some(message) = client.next() {
        assert!(!is_over, "nothing follows the end");
        match message.event() {
            END_EVENT => is_over = true,
            _ => positions.push(position(message.last_event_id())),
        }
    }
    assert!(is_over);
    positions
}

#[test]
fn a_stream_ends_after_the_last_events_whenever_they_came() {
    explore(|| {
        let hub = hub().build();
        let reading = [(&["a"][..], 2), (&["a", "b"], 3)].map(|(topics, count)| {
            spawn_with(&hub, move |hub| {
                let subscribe = hub.subscribe(topics.iter().copied()).history(History::All);
                let (mut client, _) = Client::of(subscribe);
                assert_eq!(read_to_the_end(&mut client).len(), count);
            })
        });
        let finishing = ["a", "b"].map(|topic| {
            spawn_with(&hub, move |hub| {
                if topic == "a" {
                    publish(&hub, topic, "x").expect("it is open");
                }
                hub.finish(topic, Event::new("last")).wait().expect("it is open");
            })
        });
        join(reading);
        join(finishing);
    });
}

#[test]
fn a_stream_that_is_said_to_be_open_does_not_end_without_its_new_topic() {
    explore(|| {
        let hub = hub().build();
        let (mut client, _) = Client::new(&hub, &["a"]);
        let id = client.stream.client_id();
        let changing = spawn_with(&hub, move |hub| {
            let is_open = hub.client(id).subscribe("b").expect("a good topic");
            if is_open {
                hub.finish("b", Event::new("last")).wait().expect("it is open");
            }
            is_open
        });
        let finishing = spawn_with(&hub, |hub| {
            hub.finish("a", Event::new("last")).wait().expect("it is open");
        });
        let count = read_to_the_end(&mut client).len();
        join([finishing]);
        assert_eq!(count, if join([changing]) == [true] { 2 } else { 1 });
    });
}

#[test]
fn clients_of_a_topic_whose_end_only_the_log_has_learn_of_it_from_each_other() {
    explore(|| {
        let log = ScriptedLog::default();
        let (hub, replica) = log.hub();
        let mut last = record("a", 1);
        last.event.tags_mut().is_last = true;
        log.state().records = vec![last];
        replica.restart(Origin { epoch: epoch(), position: 1, end: 1 }).expect("the hub is there");
        let reading = [(); 2].map(|()| {
            spawn_with(&hub, |hub| {
                let resume = Resume::new().with_last_event_id(epoch().id(1).as_str());
                // It may have learned of the end already.
                let Ok(stream) = resume.subscribe(&hub, "a").open() else { return };
                let mut client = Client { stream, decoder: Decoder::new() };
                assert_eq!(client.next().expect("a status event").event(), STATUS_EVENT);
                assert!(read_to_the_end(&mut client).is_empty());
            })
        });
        join(reading);
    });
}
