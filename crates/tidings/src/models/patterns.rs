//! Who subscribes to a family gets what is published to its topics, whenever those come and go.

use super::*;
use crate::{Resume, Retention};

fn join_family(hub: &Hub, families: &[&str]) -> (Client, u64) {
    Client::of(hub.subscribe_matching(families.iter().copied()))
}

#[test]
fn whoever_joins_a_family_while_its_topics_come_gets_all_behind_its_status() {
    explore(|| {
        let hub = hub().build();
        let publishing = {
            let hub = hub.clone();
            spawn(move || {
                for topic in ["a:1", "a:2", "a:3"] {
                    publish(&hub, topic, "x").expect("it is open");
                }
            })
        };
        // Two of one family, and one who gets every event in several ways.
        let joining = [&["a:*"][..], &["a:*"], &["*", "a:*", "a:1"]].map(|families| {
            let hub = hub.clone();
            spawn(move || {
                let (mut client, begin) = join_family(&hub, families);
                for n in begin + 1..=3 {
                    assert_eq!(client.next_position(), Some(n));
                }
            })
        });
        join([publishing]);
        join(joining);
        assert_eq!(hub.clients().patterns(), []);
    });
}

#[test]
fn whoever_resumes_in_a_family_gets_what_is_published_meanwhile_once() {
    explore(|| {
        let hub = hub().build();
        publish(&hub, "a:1", "x").expect("it is open");
        let epoch = hub.shared().epoch();
        let publishing = {
            let hub = hub.clone();
            spawn(move || {
                for topic in ["a:2", "a:1", "a:3"] {
                    publish(&hub, topic, "x").expect("it is open");
                }
            })
        };
        let resume = Resume::new().with_last_event_id(epoch.id(0).as_str());
        let (mut client, begin) = Client::of(hub.subscribe_matching(["a:*"]).resume(resume));
        assert_eq!(begin, 0);
        for n in 1..=4 {
            assert_eq!(client.next_position(), Some(n));
        }
        join([publishing]);
    });
}

#[test]
fn a_family_that_comes_and_goes_hides_no_event_and_leaves_nothing() {
    explore(|| {
        let hub = hub().retention(Retention::none()).build();
        let (last, _) = join_family(&hub, &["a:*"]);
        let leaving = spawn(move || drop(last));
        let joining = {
            let hub = hub.clone();
            spawn(move || {
                let (mut client, begin) = join_family(&hub, &["a:*"]);
                for n in begin + 1..=3 {
                    assert_eq!(client.next_position(), Some(n));
                }
            })
        };
        for topic in ["a:1", "a:2", "a:1"] {
            publish(&hub, topic, "x").expect("it is open");
        }
        join([leaving, joining]);
        assert_eq!((hub.clients().patterns(), hub.clients().topics()), (vec![], vec![]));
        assert_eq!(hub.shared().journal.lock().index_sizes(), (0, 0));
    });
}

#[test]
fn a_resume_in_a_family_is_told_what_a_vanishing_topic_had() {
    explore(|| {
        let hub = hub().retention(Retention::none()).build();
        let (Client { stream, .. }, begin) = Client::new(&hub, &["a:1"]);
        let id = hub.shared().epoch().id(begin);
        let leaving = spawn(move || drop(stream));
        publish(&hub, "a:1", "x").expect("it is open");
        let resume = Resume::new().with_last_event_id(id.as_str());
        let stream = hub.subscribe_matching(["a:*"]).resume(resume).open().expect("a family");
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
