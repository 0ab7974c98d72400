//! A pattern subscriber gets the events of all matching topics, whenever these come and go.

use super::leaving::come_and_go;
use super::*;
use crate::{Resume, Retention};

fn join_pattern(hub: &Hub, patterns: &[&str]) -> (Client, u64) {
    Client::of(hub.subscribe_matching(patterns.iter().copied()))
}

#[test]
fn a_pattern_subscriber_gets_every_event_after_its_status_while_topics_are_created() {
    explore(|| {
        let hub = hub().build();
        let publishing = publishing(&hub, ["a:1", "a:2", "a:3"]);
        // Two clients of one pattern, and one whose names match every event in several ways.
        let joining = [&["a:*"][..], &["a:*"], &["*", "a:*", "a:1"]].map(|patterns| {
            spawn_with(&hub, move |hub| {
                let (mut client, begin) = join_pattern(&hub, patterns);
                client.expect(begin + 1..=3);
            })
        });
        join([publishing]);
        join(joining);
        assert_eq!(hub.clients().patterns(), []);
    });
}

#[test]
fn a_pattern_subscriber_that_resumes_gets_events_published_meanwhile_once() {
    explore(|| {
        let hub = hub().build();
        publish(&hub, "a:1", "x").expect("it is open");
        let epoch = hub.shared().epoch();
        let publishing = publishing(&hub, ["a:2", "a:1", "a:3"]);
        let resume = Resume::new().with_last_event_id(epoch.id(0).as_str());
        let (mut client, begin) = Client::of(hub.subscribe_matching(["a:*"]).resume(resume));
        assert_eq!(begin, 0);
        client.expect(1..=4);
        join([publishing]);
    });
}

#[test]
fn a_pattern_that_comes_and_goes_hides_no_event_and_leaves_nothing() {
    explore(|| come_and_go(|hub| join_pattern(hub, &["a:*"]), ["a:1", "a:2", "a:1"]));
}

#[test]
fn a_pattern_subscriber_that_resumes_is_reset_for_the_events_of_a_vanishing_topic() {
    explore(|| {
        let hub = hub().retention(Retention::none()).build();
        let (Client { stream, .. }, begin) = Client::new(&hub, &["a:1"]);
        let id = hub.shared().epoch().id(begin);
        let leaving = spawn(move || drop(stream));
        publish(&hub, "a:1", "x").expect("it is open");
        let resume = Resume::new().with_last_event_id(id.as_str());
        let stream = hub.subscribe_matching(["a:*"]).resume(resume).open().expect("a good pattern");
        let mut client = Client { stream, decoder: Decoder::new() };
        let status = client.next().expect("a status event");
        if !status.data().contains("reset") {
            // The topic was still there, or it is said in the stream that it is not.
            let next = client.next().expect("it is open");
            let is_reset = next.event() == STATUS_EVENT && next.data().contains("reset");
            assert!(is_reset || position(next.last_event_id()) == begin + 1, "{next:?}");
        }
        join([leaving]);
    });
}
