//! A writer that is driven by hand: the test chooses what comes first, not the kernel.

use super::*;
use crate::head::Framing;
use std::io::Read;
use std::net::{TcpListener, TcpStream as StdStream};

use tidings::{Event, Hub, Retention, Subscribe};
use tidings_net::Permit;
use tokio::sync::mpsc::unbounded_channel;

const LIMIT: Duration = Duration::from_secs(10);

struct Desk {
    writer: Writer<()>,
    listener: TcpListener,
    back: UnboundedSender<ReturnedConnection>,
}

impl Desk {
    fn new(write_timeout: Option<Duration>) -> Self {
        let writer = Writer::new(write_timeout).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self { writer, listener, back: unbounded_channel().0 }
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
        self.writer.accept(stream);
        client
    }

    fn stream(&self, socket: StdStream, subscribe: Subscribe) -> NewStream<()> {
        let response = StreamResponse {
            subscription: Box::new(subscribe.heartbeat(None).retry(None).open().unwrap()),
            head: Vec::new(),
            framing: Framing { chunked: true, keep_alive: true },
            body: (),
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

fn reset(client: StdStream) {
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
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

/// The numbers of the events whose data begin with a word.
fn numbers(text: &str, word: &str) -> Vec<u32> {
    let data = text.lines().filter_map(|line| line.strip_prefix("data: ")?.strip_prefix(word));
    data.map(|rest| rest.trim().split('.').next().unwrap().parse().unwrap()).collect()
}

/// Waits until the server's end knows what the client's has done.
fn wait_for_reset(socket: &TcpStream) {
    let began = Instant::now();
    while socket.take_error().unwrap().is_none() {
        assert!(began.elapsed() < LIMIT, "the reset never came");
        std::thread::yield_now();
    }
}

#[test]
fn a_stream_may_come_while_the_last_one_of_its_cohort_is_found_gone() {
    let hub = Hub::new();
    let mut desk = Desk::new(None);
    let first = desk.serve(hub.subscribe(["news"]));
    reset(first);
    wait_for_reset(&desk.writer.members[0].socket);
    // The writer knows of neither yet.
    publish(&hub, "news", "for nobody");
    let mut second = desk.serve(hub.subscribe(["news"]));
    publish(&hub, "news", "for the second");
    desk.catch_up();
    read_until(&mut second, "for the second");
    assert_eq!(hub.clients().count(), 1);
}

#[test]
fn a_stalled_stream_that_fails_leaves_no_deadline_to_the_next_stream() {
    let hub = Hub::new();
    let mut desk = Desk::new(Some(Duration::from_secs(60)));
    let first = desk.serve(hub.subscribe(["news"]));
    desk.stall_first(&hub, "news");
    assert!(desk.writer.deadlines.next().is_some());
    reset(first);
    wait_for_reset(&desk.writer.members[0].socket);
    // As if it had become writable, and was reset then.
    desk.writer.serve(0);
    assert!(desk.writer.members.is_empty());
    assert!(desk.writer.deadlines.next().is_none());
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
    while desk.writer.members[0].roster_index.is_none() {
        match client.read(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
        if desk.writer.members[0].stalled.is_some() {
            desk.writer.serve(0);
            desk.catch_up();
        } else {
            assert!(desk.writer.members[0].roster_index.is_some(), "nothing would wake it");
        }
    }
    client.set_nonblocking(false).unwrap();
    publish(&hub, "news", "for all");
    desk.catch_up();
    read_until(&mut client, "for all");
}

#[test]
fn a_topic_that_always_has_more_delays_nothing_else_by_more_than_a_turn() {
    let hub = Hub::new();
    let mut desk = Desk::new(None);
    let mut busy = [(); 3].map(|()| desk.serve(hub.subscribe(["busy"])));
    let mut quiet = desk.serve(hub.subscribe(["quiet"]));
    desk.catch_up();
    desk.writer.turn_writes = 2;
    for round in 0..20 {
        publish(&hub, "busy", &format!("busy {round}."));
        publish(&hub, "quiet", &format!("quiet {round}."));
        let new = ["busy", "other"].map(|topic| {
            let (client, socket) = desk.connect();
            let stream = desk.stream(socket, hub.subscribe([topic]));
            desk.writer.inbox.send(Message::Serve(Box::new(stream)));
            client
        });
        desk.round();
        assert!(desk.has_more(), "the busy topic has more than a turn");
        read_until(&mut quiet, &format!("quiet {round}."));
        for mut client in new {
            read_until(&mut client, "fresh");
        }
    }
    desk.catch_up();
    for client in &mut busy {
        assert_eq!(numbers(&read_until(client, "busy 19."), "busy"), (0..20).collect::<Vec<_>>());
    }
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
    desk.writer.serve(1);
    desk.writer.serve(4);
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
fn a_client_that_missed_much_delays_nothing_else_by_all_of_it() {
    let hub = Hub::new();
    let mut desk = Desk::new(None);
    desk.writer.turn_writes = 1;
    // So large that each is read by itself.
    for number in 0..3 {
        publish(&hub, "news", &format!("news {number}.{}", "x".repeat(40_000)));
    }
    let mut client = desk.serve(hub.subscribe(["news"]).history(tidings::History::All));
    for number in 0..3 {
        assert!(desk.has_more());
        read_until(&mut client, &format!("news {number}."));
        desk.round();
    }
    desk.catch_up();
    publish(&hub, "news", "for all");
    desk.catch_up();
    read_until(&mut client, "for all");
}

#[test]
fn a_stream_that_comes_after_the_end_is_dropped() {
    let hub = Hub::new();
    let inbox = start::<()>(7, None, tokio::runtime::Runtime::new().unwrap().handle().clone());
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
