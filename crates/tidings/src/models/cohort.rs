//! A transport that serves many streams from one thread, as `tidings-hyper`'s writers do.

use super::*;
use crate::sync::{Condvar, Mutex};
use crate::transport::{Batch, Cohort};
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::mpsc::{Sender, channel};
use std::task::{Context, Poll, Wake, Waker};

enum Call {
    Serve(Box<Subscription>),
    Stream(usize),
    Cohort,
    /// Serve until all streams have what is up to this position, or have ended.
    Until(Option<u64>),
    /// Report when everything before this is done.
    Report(Sender<()>),
}

/// What others have to say to the transport.
#[derive(Default)]
struct Inbox {
    calls: Mutex<Vec<Call>>,
    more: Condvar,
}

impl Inbox {
    fn send(&self, call: Call) {
        self.calls.lock().push(call);
        self.more.notify_one();
    }

    fn take(&self) -> Vec<Call> {
        let mut calls = self.calls.lock();
        while calls.is_empty() {
            self.more.wait(&mut calls);
        }
        std::mem::take(&mut calls)
    }
}

struct Caller {
    inbox: Arc<Inbox>,
    /// The number of a stream, or the cohort.
    stream: Option<usize>,
}

impl Wake for Caller {
    fn wake(self: Arc<Self>) {
        self.inbox.send(self.stream.map_or(Call::Cohort, Call::Stream));
    }
}

struct Member {
    /// `None` when it has ended.
    subscription: Option<Subscription>,
    is_caught_up: bool,
    decoder: Decoder,
    visits: Vec<Visit>,
}

/// What a stream has received after a status event.
#[derive(Default)]
struct Visit {
    begin: u64,
    received: Vec<u64>,
}

struct Transport {
    inbox: Arc<Inbox>,
    cohort: Option<Cohort>,
    members: Vec<Member>,
}

impl Transport {
    fn new() -> Self {
        Self { inbox: Arc::default(), cohort: None, members: Vec::new() }
    }

    /// Serves `count` streams.
    fn run(mut self, count: usize) -> Vec<Member> {
        let mut until = None;
        loop {
            let is_done = |member: &Member| match until {
                Some(Some(last)) => member.cursor() >= last,
                Some(None) => member.subscription.is_none(),
                None => false,
            };
            if self.members.len() == count && self.members.iter().all(is_done) {
                return self.members;
            }
            for call in self.inbox.take() {
                match call {
                    Call::Serve(subscription) => self.accept(*subscription),
                    Call::Stream(number) => self.serve(number),
                    Call::Cohort => self.advance(),
                    Call::Until(last) => until = Some(last),
                    Call::Report(done) => done.send(()).expect("it is waited for"),
                }
            }
        }
    }

    fn accept(&mut self, subscription: Subscription) {
        if self.cohort.is_none() {
            let caller = Caller { inbox: self.inbox.clone(), stream: None };
            self.cohort = Some(Cohort::of(&subscription, Waker::from(Arc::new(caller))));
        }
        self.advance();
        self.members.push(Member {
            subscription: Some(subscription),
            is_caught_up: false,
            decoder: Decoder::new(),
            visits: Vec::new(),
        });
        self.serve(self.members.len() - 1);
    }

    fn advance(&mut self) {
        while let Some(cohort) = &mut self.cohort {
            match cohort.next_batch() {
                Ok(Some(batch)) => self.send(&batch),
                Ok(None) => return,
                Err(_) => {
                    for number in 0..self.members.len() {
                        if std::mem::take(&mut self.members[number].is_caught_up) {
                            self.serve(number);
                        }
                    }
                }
            }
        }
    }

    fn send(&mut self, batch: &Batch) {
        let cohort = self.cohort.as_ref().expect("it made the batch");
        for (number, member) in self.members.iter_mut().enumerate() {
            let Some(subscription) = member.subscription.as_mut().filter(|_| member.is_caught_up)
            else {
                continue;
            };
            cohort.mark_sent(batch, subscription);
            member.receive(batch.bytes());
            // Its socket has taken only a part: it comes back by itself, and late.
            if thread_rng().gen_range(0..3) == 0 {
                member.is_caught_up = false;
                self.inbox.send(Call::Stream(number));
            }
        }
    }

    fn serve(&mut self, number: usize) {
        self.members[number].is_caught_up = false;
        loop {
            let (cohort, member) = (self.cohort.as_ref(), &mut self.members[number]);
            let (Some(cohort), Some(subscription)) = (cohort, &mut member.subscription) else {
                return;
            };
            let caller = Caller { inbox: self.inbox.clone(), stream: Some(number) };
            let waker = Waker::from(Arc::new(caller));
            match cohort.poll_member(subscription, &mut Context::from_waker(&waker)) {
                Poll::Ready(Some(Ok(bytes))) => member.receive(&bytes),
                Poll::Ready(Some(Err(error))) => panic!("{error}"),
                Poll::Ready(None) => member.subscription = None,
                Poll::Pending if cohort.is_overtaken_by(subscription) => self.advance(),
                Poll::Pending => {
                    assert!(cohort.is_caught_up(subscription), "nobody would wake it");
                    member.is_caught_up = true;
                    return;
                }
            }
        }
    }
}

impl Member {
    fn receive(&mut self, bytes: &[u8]) {
        self.decoder.feed(bytes).expect("an event of a sane size");
        while let Some(message) = self.decoder.next_message() {
            let at = position(message.last_event_id());
            if message.event() == STATUS_EVENT {
                self.visits.push(Visit { begin: at, received: Vec::new() });
            } else {
                self.visits.last_mut().expect("a status event is the first").received.push(at);
            }
        }
    }

    fn cursor(&self) -> u64 {
        let last = self.visits.last();
        last.map_or(0, |visit| visit.received.last().copied().unwrap_or(visit.begin))
    }

    /// Whether it has all of these, and nothing else, but for resets.
    fn check(&self, published: &[u64]) {
        for (index, Visit { begin, received }) in self.visits.iter().enumerate() {
            let after: Vec<u64> = published.iter().copied().filter(|at| at > begin).collect();
            let is_last = index + 1 == self.visits.len();
            let expected = if is_last { &after[..] } else { &after[..received.len()] };
            assert_eq!(received, expected, "after {begin}");
        }
    }
}

/// Two streams come while four events are published.
fn serve_two(hub: &Hub, until: Option<u64>) {
    let transport = Transport::new();
    let inbox = transport.inbox.clone();
    let serving = spawn(move || transport.run(2));
    let joining = [(); 2].map(|()| {
        let (hub, inbox) = (hub.clone(), inbox.clone());
        spawn(move || {
            let stream = hub.subscribe(["a", "b"]).open().expect("good topics");
            inbox.send(Call::Serve(Box::new(stream)));
        })
    });
    join(["a", "b"].map(|topic| publishing(hub, [topic; 2])));
    join(joining);
    if until.is_none() {
        hub.close();
    }
    inbox.send(Call::Until(until));
    for member in join([serving]).remove(0) {
        assert_eq!(member.visits.len(), 1, "nothing is lost here");
        member.check(&[1, 2, 3, 4]);
    }
}

#[test]
fn streams_that_join_while_batches_are_made_lose_nothing_and_get_nothing_twice() {
    explore(|| serve_two(&hub().build(), Some(4)));
}

#[test]
fn streams_of_a_cohort_get_all_that_was_accepted_before_their_hub_closed() {
    explore(|| serve_two(&hub().build(), None));
}

#[test]
fn streams_of_a_cohort_that_is_overrun_are_reset_and_catch_up_again() {
    explore(|| {
        // It keeps the newest event only. Some are published elsewhere, unseen by the cohort.
        let hub = hub().max_retained_bytes(1).build();
        let transport = Transport::new();
        let inbox = transport.inbox.clone();
        let stream = hub.subscribe(["a"]).open().expect("a good topic");
        inbox.send(Call::Serve(Box::new(stream)));
        let serving = spawn(move || transport.run(1));
        let publishers = ["a", "elsewhere"].map(|topic| {
            spawn_with(&hub, move |hub| {
                [(); 3].map(|()| publish(&hub, topic, "x").expect("it is open"))
            })
        });
        let mut published = join(publishers).remove(0).to_vec();
        // Whatever it has missed, this comes without anything else that would wake it.
        let last = publish(&hub, "a", "the last").expect("it is open");
        published.push(last);
        inbox.send(Call::Until(Some(last)));
        join([serving]).remove(0).remove(0).check(&published);
    });
}

#[test]
fn a_stream_of_a_cohort_has_its_heartbeats_and_its_events() {
    const INTERVAL: Duration = Duration::from_secs(15);

    explore(|| {
        let clock = ManualClock::new();
        let hub = Hub::builder().clock(clock.clock()).heartbeat(INTERVAL).retry(None).build();
        let transport = Transport::new();
        let inbox = transport.inbox.clone();
        let stream = hub.subscribe(["a"]).open().expect("a good topic");
        let client = stream.client_id();
        inbox.send(Call::Serve(Box::new(stream)));
        let serving = spawn(move || transport.run(1));
        let time = {
            let clock = clock.clone();
            spawn(move || clock.advance(INTERVAL * 2))
        };
        publish(&hub, "a", "x").expect("it is open");
        join([time]);
        let sent = || hub.clients().get(client).expect("it is open").bytes_sent;
        while hub.clients().get(client).expect("it is open").events_sent < 2 {
            thread::yield_now();
        }
        // Idle from here on. A heartbeat that fell due while the event was written is spared.
        let (done, is_done) = channel();
        inbox.send(Call::Report(done));
        is_done.recv().expect("it goes on");
        let before = sent();
        clock.advance(INTERVAL * 2);
        while sent() == before {
            thread::yield_now();
        }
        inbox.send(Call::Until(Some(1)));
        join([serving]).remove(0).remove(0).check(&[1]);
    });
}
