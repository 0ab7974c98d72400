//! Clients are ended by the progress that they make, and not by the time that they take.

use super::turns::Firehose;
use super::*;

/// A desk with a time limit of ten seconds, whose clients make the progress that the test says.
fn patient_desk() -> Desk {
    let mut desk = Desk::new(Some(Duration::from_secs(10)));
    desk.writer.progress = progress;
    desk
}

/// Lets the time go on by tenths of a second, until the client is ended or the time is there. Returns the time, in
/// tenths of a second.
fn wait_until(desk: &mut Desk, tenths: u32, mut each: impl FnMut(&mut Desk, u32)) -> u32 {
    for now in 0..tenths {
        TIME.set(Duration::from_millis(100) * now);
        each(desk, now);
        desk.round();
        // The look is one round, and the end of the stream is another.
        desk.round();
        if desk.writer.members.is_empty() {
            return now;
        }
    }
    tenths
}

#[test]
fn a_client_that_acknowledges_nothing_is_ended_after_the_time_limit_and_within_its_half() {
    for from in 0..=60 {
        let hub = Hub::new();
        let mut desk = patient_desk();
        let mut client = desk.serve(hub.subscribe(["news"]));
        let ended = wait_until(&mut desk, 1_000, |_, now| {
            PROGRESS.set(Some(Progress::new(5, now >= from, true)));
        });
        assert!((from + 100..=from + 151).contains(&ended), "from {from} on, and until {ended}");
        assert!(client.read_to_end(&mut Vec::new()).is_ok());
    }
}

#[test]
fn a_client_that_answers_has_time_to_read_what_it_has_taken_up() {
    let ended = |acknowledged, is_in_flight| {
        let hub = Hub::new();
        let mut desk = patient_desk();
        let _client = desk.serve(hub.subscribe(["news"]));
        PROGRESS.set(Some(Progress::new(acknowledged, true, is_in_flight)));
        wait_until(&mut desk, 1_000, |_, _| {})
    };
    assert!((250..=351).contains(&ended(64 * 1024, false)));
    assert!((450..=551).contains(&ended(100_000_000, false)));
    assert!((100..=151).contains(&ended(100_000_000, true)), "it has vanished");
}

#[test]
fn a_client_that_acknowledges_something_within_the_time_limit_is_never_ended() {
    let at = |acknowledged: u32, is_outstanding| {
        Progress::new(acknowledged.into(), is_outstanding, is_outstanding)
    };
    let slow = |now| at(now / 99, true);
    let idle = |_| at(5, false);
    // Bytes wait for it at a look, then none, then others at the next two.
    let now_and_then = |now: u32| {
        let phase = now % 200;
        let acknowledged = now / 200 * 2 + u32::from(phase > 0) + u32::from(phase > 151);
        at(acknowledged, phase == 0 || (99..=151).contains(&phase))
    };
    let clients: [&dyn Fn(u32) -> Progress; 3] = [&slow, &idle, &now_and_then];
    for client in clients {
        let hub = Hub::new();
        let mut desk = patient_desk();
        let _client = desk.serve(hub.subscribe(["news"]));
        let ended = wait_until(&mut desk, 1_000, |_, now| PROGRESS.set(Some(client(now))));
        assert_eq!(ended, 1_000);
    }
}

#[test]
fn without_a_time_limit_nobody_looks() {
    let hub = Hub::new();
    let mut desk = Desk::new(None);
    desk.writer.progress = progress;
    let _client = desk.serve(hub.subscribe(["news"]));
    PROGRESS.set(Some(Progress::new(5, true, true)));
    assert_eq!(wait_until(&mut desk, 1_000, |_, _| {}), 1_000);
    assert_eq!(LOOKS.get(), 0);
}

#[test]
fn where_the_system_does_not_tell_a_client_is_ended_if_its_socket_takes_nothing() {
    for reads in [false, true] {
        let hub = Hub::new();
        let mut desk = patient_desk();
        let mut client = desk.serve(hub.subscribe(["news"]));
        desk.stall_first(&hub, "news");
        let ended = wait_until(&mut desk, 500, |desk, now| {
            if reads && now % 95 == 90 {
                read_available(&mut client);
                desk.serve_alone(0);
                desk.stall_first(&hub, "news");
            }
        });
        assert_eq!(reads, ended == 500, "until {ended}");
        assert!(reads || (100..=151).contains(&ended), "until {ended}");
    }
}

#[test]
fn looks_at_many_streams_delay_nothing_else_by_all_of_them() {
    let mut firehose = Firehose::new();
    firehose.desk.writer.progress = progress;
    firehose.desk.writer.sweep = Sweep::new(Some(Duration::from_secs(10)));
    for _ in 0..2 {
        LOOKS.set(0);
        while LOOKS.get() < firehose.members() {
            let before = LOOKS.get();
            firehose.turns();
            let rounds = firehose.desk.writer.cohorts.groups.len();
            assert!(LOOKS.get() - before <= rounds * 8, "eight in a turn");
        }
        firehose.turns();
        assert_eq!(LOOKS.get(), firehose.members(), "once, and not before it is time");
        TIME.set(TIME.get() + Duration::from_secs(5));
    }
    firehose.end();
}
