//! A writer that is driven by hand: the test chooses what comes first, not the kernel.

mod alone;
mod end;
mod progress;
mod sent_ahead;
mod turns;

use super::*;
use crate::handoff::StreamResponse;
use crate::head::Framing;
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream as StdStream};
use std::os::fd::AsFd;
use std::sync::LazyLock;

use bytes::Bytes;
use socket2::SockRef;
use tidings::{Event, History, Hub, Retention, Subscribe, clock::ManualClock};
use tidings_net::{Permit, Unsent};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const LIMIT: Duration = Duration::from_secs(10);

thread_local! {
    static TIME: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static PROGRESS: Cell<Option<Progress>> = const { Cell::new(None) };
    static LOOKS: Cell<usize> = const { Cell::new(0) };
}

/// What the test says, in place of the system.
fn progress(_: &TcpStream) -> Option<Progress> {
    LOOKS.set(LOOKS.get() + 1);
    PROGRESS.get()
}

/// A clock that stands still until the test sets it.
fn stopped_clock() -> Instant {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    *BEGAN + TIME.get()
}

/// A clock that is looked at every half millisecond.
fn running_clock() -> Instant {
    TIME.set(TIME.get() + Duration::from_micros(500));
    stopped_clock()
}

struct Desk {
    writer: Writer<()>,
    listener: TcpListener,
    _runtime: Runtime,
    back: UnboundedSender<ReturnedConnection>,
    returned: UnboundedReceiver<ReturnedConnection>,
}

impl Desk {
    fn new(write_timeout: Option<Duration>) -> Self {
        let runtime = Runtime::new().unwrap();
        let mut writer =
            Writer::new(write_timeout, Hubs::default(), runtime.handle().clone()).unwrap();
        writer.clock = stopped_clock;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (back, returned) = unbounded_channel();
        Self { writer, listener, _runtime: runtime, back, returned }
    }

    /// The two ends of a connection, the client's first.
    fn connect(&self) -> (StdStream, StdStream) {
        let client = StdStream::connect(self.listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(LIMIT)).unwrap();
        let (server, _) = self.listener.accept().unwrap();
        server.set_nonblocking(true).unwrap();
        (client, server)
    }

    /// Adds a stream without a head; returns its client.
    fn serve(&mut self, subscribe: Subscribe) -> StdStream {
        let (client, socket) = self.connect();
        let stream = self.stream(socket, subscribe);
        self.writer.accept(stream, &mut Turn::new(Turn::WRITES, stopped_clock));
        client
    }

    /// Sends a stream to the writer; returns its client.
    fn send(&self, subscribe: Subscribe) -> StdStream {
        let (client, socket) = self.connect();
        self.writer.inbox.send(Message::Serve(Box::new(self.stream(socket, subscribe))));
        client
    }

    /// Serves a stream by itself.
    fn serve_alone(&mut self, key: usize) {
        self.writer.serve(key, &mut Turn::new(Turn::WRITES, stopped_clock));
    }

    fn stream(&self, socket: StdStream, subscribe: Subscribe) -> NewStream<()> {
        self.stream_with(socket, subscribe, ())
    }

    fn stream_with<B>(&self, socket: StdStream, subscribe: Subscribe, body: B) -> NewStream<B> {
        let response = StreamResponse {
            subscription: Box::new(subscribe.heartbeat(None).retry(None).open().unwrap()),
            head: Vec::new(),
            framing: Framing { chunked: true, keep_alive: true },
            body,
        };
        NewStream {
            response,
            socket,
            pipelined: Bytes::new(),
            permit: Permit::default(),
            back: self.back.clone(),
        }
    }

    /// A round of the writer, in which no socket has become ready.
    fn round(&mut self) {
        let events = Events::with_capacity(1);
        assert!(self.writer.round(&events).is_continue());
    }

    /// A round of the writer, with the sockets that have become ready.
    fn round_of_sockets(&mut self) {
        let mut events = Events::with_capacity(1024);
        self.writer.poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        assert!(self.writer.round(&events).is_continue());
    }

    /// Takes what streams were woken for out of the inbox.
    fn take_messages_to_streams(&self) -> Vec<Message<()>> {
        let inbox = &self.writer.inbox;
        let mut messages = Vec::new();
        inbox.take(&mut messages);
        let is_to_stream = |message: &Message<()>| matches!(message, Message::Stream(_));
        let (taken, left): (Vec<_>, Vec<_>) = messages.into_iter().partition(is_to_stream);
        left.into_iter().for_each(|message| inbox.send(message));
        taken
    }

    /// Whether a turn was not enough for some cohort.
    fn has_more(&self) -> bool {
        self.writer.timeout() == Some(Duration::ZERO)
    }

    /// Rounds, until every cohort is caught up.
    fn catch_up(&mut self) {
        for _ in 0..1_000 {
            self.round();
            if !self.has_more() {
                return;
            }
        }
        panic!("the writer never catches up");
    }

    /// Writes to the first stream until it stalls.
    fn stall_first(&mut self, hub: &Hub, topic: &str) {
        for _ in 0..1_000 {
            publish(hub, topic, &"x".repeat(100_000));
            self.catch_up();
            if self.writer.members[0].stalled.is_some() {
                return;
            }
        }
        panic!("the socket takes everything");
    }
}

fn publish(hub: &Hub, topic: &str, data: &str) {
    let _ = hub.publish(topic, Event::new(data)).wait().unwrap();
}

/// Reads until `wanted` has come.
#[track_caller]
fn read_until(client: &mut StdStream, wanted: &str) -> String {
    let mut all = Vec::new();
    while !String::from_utf8_lossy(&all).contains(wanted) {
        let mut some = [0; 65_536];
        let length = client.read(&mut some).expect("the bytes come in time");
        assert!(length > 0, "the stream ends without {wanted:?}");
        all.extend_from_slice(&some[..length]);
    }
    String::from_utf8(all).unwrap()
}

/// Reads what has come.
fn read_available(client: &mut StdStream) -> String {
    client.set_nonblocking(true).unwrap();
    let mut all = Vec::new();
    let end = client.read_to_end(&mut all).expect_err("there is no end");
    assert_eq!(end.kind(), io::ErrorKind::WouldBlock);
    client.set_nonblocking(false).unwrap();
    String::from_utf8(all).unwrap()
}

/// The numbers of the events whose data begin with a word.
fn numbers(text: &str, word: &str) -> Vec<u32> {
    let data = text.lines().filter_map(|line| line.strip_prefix("data: ")?.strip_prefix(word));
    data.map(|rest| rest.trim().split('.').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn a_stream_may_come_while_the_last_one_of_its_cohort_is_found_gone() {
    let hub = Hub::new();
    let mut desk = Desk::new(None);
    let _first = desk.serve(hub.subscribe(["news"]));
    desk.catch_up();
    desk.writer.dismiss(0);
    // It is opened ahead of its cohort, and waits after the first one's end.
    publish(&hub, "news", "for nobody");
    let mut second = desk.serve(hub.subscribe(["news"]));
    publish(&hub, "news", "for the second");
    desk.catch_up();
    read_until(&mut second, "for the second");
    assert_eq!(hub.clients().count(), 1);
    // Its cohort is still there.
    publish(&hub, "news", "for it alone");
    desk.catch_up();
    read_until(&mut second, "for it alone");
}

#[test]
fn a_stream_that_was_reset_is_caught_up_though_the_hubs_head_moves_on_elsewhere() {
    let hub = Hub::builder().retain("news", Retention::none()).unwrap().build();
    let mut desk = Desk::new(None);
    let mut client = desk.serve(hub.subscribe(["news"]));
    desk.stall_first(&hub, "news");
    // It is overrun, and the hub's head moves past the newest event of its topics.
    for _ in 0..300 {
        publish(&hub, "news", "gone");
    }
    desk.catch_up();
    publish(&hub, "elsewhere", "for others");
    // It reads everything that the kernel has, and its socket is writable again.
    let mut rest = [0; 65_536];
    client.set_nonblocking(true).unwrap();
    while desk.writer.members[0].seat.is_none() {
        match client.read(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
        if desk.writer.members[0].stalled.is_some() {
            desk.serve_alone(0);
            desk.catch_up();
        } else {
            assert!(desk.writer.members[0].seat.is_some(), "nothing would wake it");
        }
    }
    client.set_nonblocking(false).unwrap();
    publish(&hub, "news", "for all");
    desk.catch_up();
    read_until(&mut client, "for all");
}

#[test]
#[cfg(target_os = "linux")]
fn little_of_a_stream_of_values_waits_in_the_kernel() {
    fn unsent(socket: &impl AsFd) -> u32 {
        SockRef::from(socket).tcp_notsent_lowat().unwrap()
    }
    let values = Retention::latest_per_key();
    let hub = Hub::builder().retain("values", values).unwrap().build();
    let mut desk = Desk::new(None);
    let (_client, socket) = desk.connect();
    Unsent::Usual.apply(&socket).unwrap();
    let stream = desk.stream(socket, hub.subscribe("values"));
    desk.writer.accept(stream, &mut Turn::new(Turn::WRITES, stopped_clock));
    assert_eq!(unsent(&desk.writer.members[0].socket), 8 * 1024);
    // The next response of the connection is another one.
    let _ = hub.finish("values", Event::new("last")).wait().unwrap();
    desk.catch_up();
    let returned = desk.returned.try_recv().expect("the stream has ended");
    assert_eq!(unsent(&returned.socket), 64 * 1024);
}

#[test]
fn a_batch_that_is_cut_short_reaches_every_stream_once() {
    let hub = Hub::new();
    let mut desk = Desk::new(None);
    let mut clients: Vec<_> = (0..6).map(|_| desk.serve(hub.subscribe(["news"]))).collect();
    desk.catch_up();
    desk.writer.turn_writes = 2;
    publish(&hub, "news", "news 0.");
    desk.round();
    assert!(desk.has_more(), "four streams do not have it yet");
    // One leaves of those that have it, and one of the others; one of each is served by itself; one
    // joins.
    desk.writer.remove(0);
    desk.writer.remove(5);
    desk.serve_alone(1);
    desk.serve_alone(4);
    clients = clients.drain(1..5).collect();
    clients.push(desk.serve(hub.subscribe(["news"])));
    desk.catch_up();
    publish(&hub, "news", "news 1.");
    desk.catch_up();
    for (index, client) in clients.iter_mut().enumerate() {
        let first = u32::from(index == 4);
        assert_eq!(numbers(&read_until(client, "news 1."), "news"), (first..2).collect::<Vec<_>>());
    }
}

#[test]
fn a_writer_that_fails_ends_its_streams_and_is_started_again() {
    let hub = Hub::new();
    let mut hubs = Hubs::default();
    hubs.add(&hub);
    let runtime = Runtime::new().unwrap();
    let inbox = start::<()>(8, None, hubs, runtime.handle().clone()).unwrap();
    let desk = Desk::new(None);
    let serve = |topic: &str| {
        let (mut client, socket) = desk.connect();
        inbox.send(Message::Serve(Box::new(desk.stream(socket, hub.subscribe([topic])))));
        read_until(&mut client, "fresh");
        client
    };
    for restarts in 1..=2 {
        let mut clients = ["a", "b", "a"].map(serve);
        inbox.send(Message::Panic);
        for client in &mut clients {
            assert_eq!(client.read(&mut [0; 64]).expect("its end comes in time"), 0);
        }
        let mut next = serve("a");
        publish(&hub, "a", "to the new one");
        read_until(&mut next, "to the new one");
        assert_eq!(hub.clients().count(), 1);
        assert_eq!(hub.health().writer_restarts, restarts);
        assert_eq!(hub.metrics().writer_restarts, restarts);
        let says = ["a writer was restarted", "writers were restarted 2 times"];
        assert_eq!(hub.health().to_string(), format!("ready; {}", says[restarts as usize - 1]));
        drop(next);
        let began = Instant::now();
        while hub.clients().count() > 0 {
            assert!(began.elapsed() < LIMIT, "it is still registered");
            std::thread::yield_now();
        }
    }
    inbox.send(Message::Stop);
}

#[test]
fn streams_that_hold_too_much_of_what_topics_have_lost_are_ended() {
    const LIMIT: usize = 4 << 20;
    const SIZE: usize = 500_000;

    let clock = ManualClock::new();
    let hub = Hub::builder().clock(clock.clock()).pinned_limit(LIMIT);
    let hub = hub.retain("*", Retention::none()).unwrap().build();
    let mut desk = Desk::new(None);
    let mut reader = desk.serve(hub.subscribe(["elsewhere"]));
    // Each wave stalls on an event of its own, in one topic or the other.
    let mut clients = Vec::new();
    for wave in 0..40 {
        let topic = if wave % 2 == 0 { "news" } else { "others" };
        clients.push(desk.serve(hub.subscribe([topic])));
        for _ in 0..10 {
            publish(&hub, topic, &"x".repeat(SIZE));
            desk.catch_up();
            // Streams that have just stalled may have ended others.
            desk.catch_up();
            clock.advance(Duration::from_secs(1));
            let pinned = hub.metrics().pinned_bytes;
            assert!(pinned <= LIMIT + SIZE * 2, "{pinned} bytes in wave {wave}");
        }
    }
    let cut = hub.metrics().streams_cut;
    assert!(cut >= 20, "only {cut} were cut");
    assert_eq!(hub.clients().count(), 41 - cut as usize);
    publish(&hub, "elsewhere", "still here");
    desk.catch_up();
    read_until(&mut reader, "still here");
}

#[test]
fn a_stream_is_small() {
    assert!(size_of::<Member<()>>() <= 160, "{}", size_of::<Member<()>>());
}

#[test]
fn a_stream_that_comes_after_the_end_is_dropped() {
    let hub = Hub::new();
    let inbox = start::<()>(7, None, Hubs::default(), Runtime::new().unwrap().handle().clone());
    let inbox = inbox.unwrap();
    inbox.send(Message::Stop);
    let desk = Desk::new(None);
    let began = Instant::now();
    // The first may arrive before the writer has ended.
    for _ in 0..2 {
        let (mut client, socket) = desk.connect();
        let stream = desk.stream(socket, hub.subscribe(["news"]));
        inbox.send(Message::Serve(Box::new(stream)));
        assert_eq!(client.read(&mut [0; 64]).expect("its end comes in time"), 0);
    }
    while hub.clients().count() > 0 {
        assert!(began.elapsed() < LIMIT, "it is still registered");
        std::thread::yield_now();
    }
}

#[test]
fn a_stream_whose_topics_change_is_sent_no_batch_past_that_and_changes_its_cohort() {
    let hub = Hub::new();
    let mut desk = Desk::new(None);
    let mut same = desk.serve(hub.subscribe(["a"]));
    let mut other = desk.serve(hub.subscribe(["a"]));
    desk.catch_up();
    let id = desk.writer.members[1].subscription.client_id();
    let (mut of_same, mut of_other, mut count) = (Vec::new(), Vec::new(), 0);
    for round in 0..6 {
        let has_b = round % 2 == 0;
        publish(&hub, "a", &format!("event {count}."));
        of_same.push(count);
        of_other.push(count);
        match has_b {
            true => assert!(hub.client(id).subscribe("b").unwrap()),
            false => assert!(hub.client(id).unsubscribe("b").unwrap()),
        }
        // Its waker is late: it was called before the head of the change was taken, and is woken after that.
        let late = desk.take_messages_to_streams();
        for (topic, n) in ["b", "a", "b"].into_iter().zip(count + 1..) {
            publish(&hub, topic, &format!("event {n}."));
            if topic == "a" {
                of_same.push(n);
            }
            if topic == "a" || has_b {
                of_other.push(n);
            }
        }
        count += 4;
        desk.catch_up();
        late.into_iter().for_each(|message| desk.writer.inbox.send(message));
        desk.catch_up();
        let groups = desk.writer.members.iter().map(|(_, member)| member.group);
        let groups: std::collections::BTreeSet<_> = groups.collect();
        assert_eq!(
            groups.len(),
            1 + usize::from(has_b),
            "with the same topics, it is the same cohort"
        );
        assert!(desk.writer.members.iter().all(|(_, member)| member.seat.is_some()));
    }
    for (client, expected) in [(&mut same, of_same), (&mut other, of_other)] {
        let last = format!("event {}.", expected[expected.len() - 1]);
        assert_eq!(numbers(&read_until(client, &last), "event "), expected);
    }
}
