//! Streams that come and go while it is published who is there.

use super::*;
use crate::presence::Presence;

const GRACE: Duration = Duration::from_millis(5);

/// As many principals as there are when all that is due is done.
fn settle(hub: &Hub, clock: &ManualClock) -> usize {
    for _ in 0..6 {
        clock.advance(Duration::from_millis(1));
    }
    hub.presence("a").wait().unwrap().len()
}

#[test]
fn those_who_come_and_go_while_the_time_passes_are_noticed() {
    explore(|| {
        let clock = ManualClock::new();
        let presence = Presence::default().grace(GRACE);
        let hub = Hub::builder().clock(&clock).heartbeat(None).presence("a", presence);
        let hub = hub.unwrap().build();
        let time = clock.clone();
        let passing = thread::spawn(move || {
            (0..3).for_each(|_| time.advance(Duration::from_millis(1)));
        });
        let coming = {
            let hub = hub.clone();
            thread::spawn(move || {
                drop(hub.subscribe("a").principal("goes").open().unwrap());
                hub.subscribe("a").principal("stays").open().unwrap()
            })
        };
        passing.join().unwrap();
        let stream = coming.join().unwrap();
        assert_eq!(settle(&hub, &clock), 1);
        drop(stream);
        assert_eq!(settle(&hub, &clock), 0);
    });
}

#[test]
fn a_hub_that_is_closed_while_the_time_passes_is_freed() {
    explore(|| {
        let clock = ManualClock::new();
        let hub = Hub::builder().clock(&clock).heartbeat(None).presence("a", Presence::default());
        let hub = hub.unwrap().build();
        let (shared, time) = (hub.shared().this(), clock.clone());
        let passing = thread::spawn(move || {
            (0..3).for_each(|_| time.advance(Duration::from_millis(1)));
        });
        let stream = hub.subscribe("a").principal("ada").open().unwrap();
        drop(hub);
        drop(stream);
        passing.join().unwrap();
        assert_eq!(shared.strong_count(), 0);
    });
}
