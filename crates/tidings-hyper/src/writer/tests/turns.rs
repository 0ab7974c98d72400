//! Turns: nothing waits for all of a topic that always has more, nor of anything else that is much.

use super::*;

/// A desk whose turns have eight writes, with a topic of so many streams that its cohort is never caught up, and another
/// with one stream.
pub(super) struct Firehose {
    hub: Hub,
    pub(super) desk: Desk,
    busy: Vec<StdStream>,
    quiet: StdStream,
    published: u32,
}

impl Firehose {
    pub(super) fn new() -> Self {
        let hub = Hub::new();
        let mut desk = Desk::new(None);
        let busy = (0..40).map(|_| desk.serve(hub.subscribe(["busy"]))).collect();
        let quiet = desk.serve(hub.subscribe(["quiet"]));
        desk.catch_up();
        desk.writer.turn_writes = 8;
        Self { hub, desk, busy, quiet, published: 0 }
    }

    /// Publishes to both. The quiet topic's event waits for no more than a turn of each cohort.
    pub(super) fn turns(&mut self) {
        let n = self.published;
        self.published += 1;
        publish(&self.hub, "busy", &format!("busy {n}."));
        publish(&self.hub, "quiet", &format!("quiet {n}."));
        let mut rounds = 0;
        while rounds < self.desk.writer.cohorts.groups.len() {
            rounds += 1;
            let before = self.members();
            self.desk.round_of_sockets();
            assert!(self.members().abs_diff(before) <= 2, "two new ones, or ends, in a turn");
        }
        assert!(self.desk.has_more(), "the busy cohort is never caught up");
        read_until(&mut self.quiet, &format!("quiet {n}."));
    }

    pub(super) fn members(&self) -> usize {
        self.desk.writer.members.len()
    }

    /// Ends when every stream of the busy topic has everything.
    pub(super) fn end(mut self) {
        self.desk.catch_up();
        let last = self.published - 1;
        for client in &mut self.busy {
            let received = numbers(&read_until(client, &format!("busy {last}.")), "busy");
            assert_eq!(received, (0..=last).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_topic_that_always_has_more_delays_nothing_else_by_more_than_a_turn() {
    let mut firehose = Firehose::new();
    for _ in 0..20 {
        let mut new = firehose.desk.send(firehose.hub.subscribe(["other"]));
        firehose.turns();
        read_until(&mut new, "fresh");
    }
    firehose.end();
}

#[test]
fn a_flood_of_new_streams_delays_nothing_else_by_all_of_it() {
    let mut firehose = Firehose::new();
    let before = firehose.members();
    let topics = ["busy", "other"].iter().cycle().take(60);
    let new = topics.map(|topic| firehose.desk.send(firehose.hub.subscribe([*topic])));
    let mut new: Vec<_> = new.collect();
    let mut accepted = 0;
    while accepted < new.len() {
        firehose.turns();
        let now = firehose.members() - before;
        assert!(now > accepted, "some in each turn");
        for client in &mut new[accepted..now] {
            read_until(client, "fresh");
        }
        accepted = now;
    }
    firehose.end();
}

#[test]
fn streams_that_end_at_once_delay_nothing_else_by_all_of_them() {
    for topic in ["busy", "other"] {
        let mut firehose = Firehose::new();
        let before = firehose.members();
        let subscribe = || firehose.hub.subscribe([topic]);
        let others: Vec<_> = (0..100).map(|_| firehose.desk.serve(subscribe())).collect();
        firehose.desk.catch_up();
        drop(others);
        while firehose.members() > before {
            firehose.turns();
        }
        assert_eq!(firehose.hub.clients().count(), before);
        firehose.end();
    }
}

#[test]
fn streams_that_end_at_once_with_topics_of_their_own_delay_nothing_else_by_all_of_them() {
    let mut firehose = Firehose::new();
    let before = firehose.members();
    let subscribe = |n| firehose.hub.subscribe([format!("own/{n}"), format!("own/{n}/more")]);
    let others: Vec<_> = (0..100).map(|n| firehose.desk.serve(subscribe(n))).collect();
    firehose.desk.catch_up();
    drop(others);
    // All of them are known to be gone before there is an event.
    firehose.desk.round_of_sockets();
    publish(&firehose.hub, "quiet", "at last.");
    (0..2).for_each(|_| firehose.desk.round_of_sockets());
    assert!(read_available(&mut firehose.quiet).contains("at last."));
    assert!(firehose.members() > before + 50, "they end some at a time");
    while firehose.members() > before {
        firehose.turns();
    }
    firehose.end();
}

#[test]
fn a_stream_that_missed_much_delays_nothing_else_by_all_of_it() {
    let mut firehose = Firehose::new();
    // So large that each is read by itself.
    for number in 0..40 {
        publish(&firehose.hub, "news", &format!("news {number}.{}", "x".repeat(40_000)));
    }
    let subscribe = || firehose.hub.subscribe(["news"]).history(History::All);
    let mut first = firehose.desk.send(subscribe());
    let mut second = firehose.desk.send(subscribe());
    let mut received = [0, 0];
    for _ in 0..20 {
        firehose.turns();
        for (client, received) in [&mut first, &mut second].into_iter().zip(&mut received) {
            *received += numbers(&read_available(client), "news").len();
        }
        assert!(received[0].abs_diff(received[1]) <= 4, "one waits for the other: {received:?}");
    }
    publish(&firehose.hub, "news", "news 40.");
    firehose.desk.catch_up();
    read_until(&mut first, "news 40.");
    read_until(&mut second, "news 40.");
    firehose.end();
}

#[test]
fn streams_that_missed_much_take_turns_of_some_batches() {
    let hub = Hub::new();
    let mut desk = Desk::new(None);
    for number in 0..20 {
        publish(&hub, "news", &format!("news {number}.{}", "x".repeat(40_000)));
    }
    let mut clients = [(); 2].map(|()| desk.send(hub.subscribe(["news"]).history(History::All)));
    let mut received = 0;
    while received < 20 {
        desk.round();
        let new = clients.each_mut().map(|client| numbers(&read_available(client), "news").len());
        assert!(new[0] == new[1] && (1..=2 * Turn::BATCHES).contains(&new[0]), "{new:?}");
        received += new[0];
    }
}

#[test]
fn a_turn_that_takes_longer_than_its_time_ends() {
    let hub = Hub::new();
    let mut desk = Desk::new(None);
    let mut clients: Vec<_> = (0..200).map(|_| desk.serve(hub.subscribe(["news"]))).collect();
    desk.catch_up();
    for client in &mut clients {
        read_until(client, "fresh");
    }
    desk.writer.clock = running_clock;
    publish(&hub, "news", "news 0.");
    desk.round();
    assert!(desk.has_more(), "it has fewer writes than a turn, and takes longer");
    let has_it = |client: &mut StdStream| read_available(client).contains("news 0.");
    let served = clients.iter_mut().filter_map(|client| has_it(client).then_some(())).count();
    // The first look sets the end, and the fifth one finds it.
    assert_eq!(served, 5 * 32);
    desk.catch_up();
}
