//! Streams that are not sent what their cohort is.

use super::*;

/// How a stream that has ended ends its response.
const END: &str = "\r\n0\r\n\r\n";

#[test]
fn a_stream_that_was_closed_is_sent_nothing_that_is_published_later() {
    for has_read_inbox in [false, true] {
        let hub = Hub::new();
        let mut desk = Desk::new(None);
        let subscribe = |user| hub.subscribe(["a"]).principal(user);
        let mut eve = desk.serve(subscribe("eve"));
        let mut bob = desk.serve(subscribe("bob"));
        desk.catch_up();
        if has_read_inbox {
            // The cohort is about to be served when the stream is closed.
            publish(&hub, "a", "for both");
            desk.writer.read_inbox();
        }
        assert_eq!(hub.clients().close_principal("eve"), 1);
        publish(&hub, "a", "secret");
        if has_read_inbox {
            desk.writer.serve_cohorts();
        }
        desk.catch_up();
        read_until(&mut bob, "secret");
        assert!(!read_until(&mut eve, END).contains("secret"), "{has_read_inbox}");
    }
}

#[test]
fn streams_that_wait_for_their_end_are_sent_nothing_meanwhile() {
    let hub = Hub::new();
    let mut desk = Desk::new(None);
    let subscribe = |user| hub.subscribe(["a"]).principal(user);
    let mut of_eve: Vec<_> = (0..50).map(|_| desk.serve(subscribe("eve"))).collect();
    let mut bob = desk.serve(subscribe("bob"));
    desk.catch_up();
    desk.writer.turn_writes = 4;
    assert_eq!(hub.clients().close_principal("eve"), 50);
    let mut rounds = 0;
    while hub.clients().count() > 1 {
        publish(&hub, "a", "secret");
        desk.round();
        rounds += 1;
    }
    assert!(rounds > 5, "they end in {rounds} rounds");
    read_until(&mut bob, "secret");
    for client in &mut of_eve {
        assert!(!read_until(client, END).contains("secret"));
    }
}

#[test]
fn a_stream_that_comes_while_a_pace_lets_nobody_read_waits_for_the_others() {
    const INTERVAL: Duration = Duration::from_secs(1);

    let clock = ManualClock::new();
    let hub = Hub::builder().clock(clock.clock()).build();
    let mut desk = Desk::new(None);
    let paced = || hub.subscribe(["values"]).at_most_every(INTERVAL);
    let mut clients = vec![(desk.serve(paced()), 0)];
    desk.catch_up();
    for round in 0..3 {
        let first = round * 3;
        // Nothing is to be read, and the hub's head moves on.
        publish(&hub, "elsewhere", "for others");
        clients.push((desk.serve(paced()), first));
        desk.catch_up();
        publish(&hub, "values", &format!("event {first}."));
        desk.catch_up();
        // This is to be read, and not yet.
        publish(&hub, "values", &format!("event {}.", first + 1));
        clients.push((desk.serve(paced()), first + 2));
        desk.catch_up();
        clock.advance(INTERVAL);
        desk.catch_up();
        publish(&hub, "values", &format!("event {}.", first + 2));
        clock.advance(INTERVAL);
        desk.catch_up();
        clock.advance(INTERVAL);
    }
    assert!(desk.writer.members.iter().all(|(_, member)| member.seat.is_some()));
    for (client, from) in &mut clients {
        let text = read_until(client, "event 8.");
        assert_eq!(numbers(&text, "event "), (*from..9).collect::<Vec<_>>());
    }
}

#[test]
fn a_stream_that_waits_for_its_cohort_can_be_closed_and_may_leave() {
    let clock = ManualClock::new();
    let hub = Hub::builder().clock(clock.clock()).build();
    let mut desk = Desk::new(None);
    let paced =
        |user| hub.subscribe(["values"]).at_most_every(Duration::from_secs(1)).principal(user);
    let mut first = desk.serve(paced("first"));
    desk.catch_up();
    publish(&hub, "elsewhere", "for others");
    let mut closed = desk.serve(paced("closed"));
    let gone = desk.serve(paced("gone"));
    desk.catch_up();
    assert_eq!(hub.clients().close_principal("closed"), 1);
    desk.writer.dismiss(2);
    drop(gone);
    desk.catch_up();
    read_until(&mut closed, END);
    assert_eq!(hub.clients().count(), 1);
    publish(&hub, "values", "for the first");
    desk.catch_up();
    read_until(&mut first, "for the first");
    assert_eq!(
        desk.writer.cohorts.groups.iter().map(|(_, group)| group.ahead.len()).sum::<usize>(),
        0
    );
}
