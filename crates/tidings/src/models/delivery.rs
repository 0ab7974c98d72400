//! Who subscribes gets what is published.

use super::*;
use shuttle::sync::mpsc::channel;

#[test]
fn a_publish_between_a_read_and_a_wait_is_never_missed() {
    explore(|| {
        let hub = hub().build();
        let (mut client, _) = Client::new(&hub, &["a"]);
        let reader = spawn(move || client.expect(1..=3));
        for n in 1..=3 {
            assert_eq!(publish(&hub, "a", "x"), Some(n));
        }
        join([reader]);
    });
}

#[test]
fn events_of_two_publishers_on_two_topics_come_in_one_order_without_a_gap() {
    explore(|| {
        let hub = hub().build();
        // Of the same feed, so that they share what is coalesced.
        let readers = [(); 2].map(|()| {
            let (mut client, _) = Client::new(&hub, &["a", "b"]);
            spawn(move || client.expect(1..=4))
        });
        let publishers = ["a", "b"].map(|topic| publishing(&hub, [topic; 2]));
        join(publishers);
        join(readers);
    });
}

#[test]
fn a_client_that_subscribes_while_events_are_published_gets_all_after_its_status() {
    explore(|| {
        let hub = hub().build();
        let publishers = ["a", "b"].map(|topic| publishing(&hub, [topic; 2]));
        let reader = spawn_with(&hub, move |hub| {
            let (mut client, begin) = Client::new(&hub, &["a", "b"]);
            client.expect(begin + 1..=4);
        });
        join(publishers);
        join([reader]);
    });
}

#[test]
fn more_than_a_publisher_wakes_are_all_woken_by_the_thread_that_does() {
    explore(|| {
        let hub = hub().build();
        let readers = [(); 3].map(|()| {
            let (mut client, _) = Client::new(&hub, &["a", "b"]);
            spawn(move || client.expect(1..=2))
        });
        // Two at once: one of them starts the thread.
        let publishers = ["a", "b"].map(|topic| publishing(&hub, [topic]));
        join(publishers);
        join(readers);
    });
}

#[test]
fn events_accepted_before_the_hub_closed_are_delivered_and_then_the_stream_ends() {
    explore(|| {
        let hub = hub().build();
        let (mut client, _) = Client::new(&hub, &["a", "b"]);
        let reader = spawn(move || {
            let received: Vec<u64> = std::iter::from_fn(|| client.next_position()).collect();
            received
        });
        let publishers = ["a", "b"]
            .map(|topic| spawn_with(&hub, move |hub| [(); 2].map(|()| publish(&hub, topic, "x"))));
        hub.close();
        let mut accepted: Vec<u64> = join(publishers).into_iter().flatten().flatten().collect();
        accepted.sort_unstable();
        assert_eq!(join([reader]), [accepted]);
    });
}

#[test]
fn a_client_that_connects_while_the_hub_closes_ends() {
    explore(|| {
        let hub = hub().build();
        let readers = [(); 2].map(|()| {
            spawn_with(&hub, |hub| {
                let (mut client, _) = Client::new(&hub, &["a", "b"]);
                assert_eq!(client.next(), None);
            })
        });
        hub.close();
        join(readers);
        assert_eq!(hub.clients().count(), 0);
    });
}

#[test]
fn a_closed_client_ends_whatever_it_waits_for() {
    explore(|| {
        let hub = hub().build();
        let (mut client, _) = Client::new(&hub, &["a"]);
        let id = client.stream.client_id();
        let reader = spawn(move || {
            let mut next = 1;
            while let Some(position) = client.next_position() {
                assert_eq!(position, next);
                next += 1;
            }
        });
        let closing = spawn_with(&hub, move |hub| assert!(hub.clients().close(id)));
        publish(&hub, "a", "x").expect("it is open");
        join([reader, closing]);
        assert_eq!(hub.clients().count(), 0);
    });
}

#[test]
fn an_idle_stream_has_its_heartbeat_whatever_was_written_meanwhile() {
    const INTERVAL: Duration = Duration::from_secs(15);

    explore(|| {
        let clock = ManualClock::new();
        let hub = Hub::builder().clock(clock.clock()).heartbeat(INTERVAL).retry(None).build();
        let (mut client, _) = Client::new(&hub, &["a"]);
        let (came, has_come) = channel();
        let reader = spawn(move || {
            // One that falls due at that moment may come before the event, or be spared by it.
            while client.bytes().expect("it goes on") == ":\n\n" {}
            came.send(()).expect("it is waited for");
            assert_eq!(client.bytes().as_deref(), Some(":\n\n"));
        });
        let time = {
            let clock = clock.clone();
            spawn(move || clock.advance(INTERVAL * 2))
        };
        publish(&hub, "a", "x").expect("it is open");
        join([time]);
        has_come.recv().expect("the event comes");
        clock.advance(INTERVAL * 2);
        join([reader]);
    });
}

#[test]
fn an_event_that_is_published_during_a_sweep_expires_all_the_same() {
    explore(|| {
        let clock = ManualClock::new();
        let hub = Hub::builder().clock(clock.clock()).heartbeat(None).build();
        publish(&hub, "a", "x").expect("it is open");
        let time = {
            let clock = clock.clone();
            spawn(move || clock.advance(Duration::from_secs(3_600)))
        };
        publish(&hub, "b", "x").expect("it is open");
        join([time]);
        for _ in 0..3 {
            clock.advance(Duration::from_secs(3_600));
        }
        assert_eq!(hub.clients().topics(), []);
    });
}
