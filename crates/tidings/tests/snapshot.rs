//! The current state in place of old events.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod reader;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use reader::{Reader, after, numbered, publish};
use tidings::{
    Event, EventId, History, Hub, Retention, STATUS_EVENT, SharedSnapshot, Snapshot, Subscribe,
    clock::ManualClock,
    error::{StreamError, StreamErrorKind},
    transport::{ApplicationTask, Cohort},
};

type Outcome = Result<Snapshot, Box<dyn std::error::Error + Send + Sync>>;

fn state(parts: usize) -> Snapshot {
    Snapshot::new((0..parts).map(|n| Event::named("state", format!("s{n}")).unwrap()))
}

/// Subscribes with a snapshot of some events, and counts how often it is made.
fn with_state(hub: &Hub, parts: usize) -> (Subscribe, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let subscribe = hub.subscribe(["a"]).snapshot(move || {
        counter.fetch_add(1, Ordering::SeqCst);
        async move { Ok(state(parts)) }
    });
    (subscribe, calls)
}

/// A hook that ends when the test says so.
#[derive(Clone, Default)]
struct Gate(Arc<(AtomicUsize, AtomicWaker)>);

impl Gate {
    fn open(&self) {
        self.0.0.store(1, Ordering::SeqCst);
        self.0.1.wake();
    }

    fn hook(
        &self,
    ) -> impl Fn() -> Pin<Box<dyn Future<Output = Outcome> + Send>> + Send + Sync + use<> {
        let gate = self.clone();
        move || {
            let gate = gate.clone();
            Box::pin(std::future::poll_fn(move |cx| {
                gate.0.1.register(cx.waker());
                match gate.0.0.load(Ordering::SeqCst) {
                    0 => Poll::Pending,
                    _ => Poll::Ready(Ok(state(2))),
                }
            }))
        }
    }
}

#[test]
fn a_snapshot_replaces_old_events_but_neither_history_nor_what_a_client_missed() {
    let hub = Hub::builder().retention(Retention::default().events(5)).build();
    let ids: Vec<_> = (0..10).map(|n| publish(&hub, "a", &format!("a{n}"))).collect();
    let resume = |n: usize| after(ids[n].as_str());
    for (parts, resume, history, expected) in [
        (3, None, History::None, ("fresh", numbered("s", 0..3))),
        (0, None, History::None, ("fresh", vec![])),
        (3, None, History::Last(1), ("fresh", numbered("a", 9..10))),
        (3, Some(resume(7)), History::None, ("resumed", numbered("a", 8..10))),
        (2, Some(resume(0)), History::None, ("reset", numbered("s", 0..2))),
    ] {
        let (subscribe, calls) = with_state(&hub, parts);
        let subscribe = subscribe.history(history).resume(resume.unwrap_or_default());
        let (mut reader, status) = Reader::open_with_status(subscribe);
        let received = reader.data();
        let is_made =
            expected.0 == "reset" || matches!(history, History::None) && expected.0 == "fresh";
        assert_eq!(reader.last_id(), ids[9].as_str());
        assert_eq!(calls.load(Ordering::SeqCst), usize::from(is_made));
        assert_eq!((status["status"].as_str().unwrap(), received), expected);
    }
}

#[test]
fn only_the_last_event_of_a_snapshot_has_the_position() {
    let hub = Hub::new();
    let id = publish(&hub, "a", "before");
    let (subscribe, _) = with_state(&hub, 3);
    let mut reader = Reader::open(subscribe.retry(None));
    let messages = reader.messages();
    let text = String::from_utf8(reader.raw.clone()).unwrap();
    let ids: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    let (epoch, _) = id.as_str().split_once('-').unwrap();
    assert_eq!(ids, [&format!("{epoch}-none"), id.as_str()]);
    assert!(text.ends_with(&format!("data: s2\nid: {id}\n\n")));
    assert_eq!(messages.len(), 4);
    assert!(messages[..3].iter().all(|message| message.last_event_id() == ids[0]));
    assert_eq!(messages[3].last_event_id(), id.as_str());
}

#[test]
fn a_client_that_is_cut_before_the_last_event_gets_another_snapshot() {
    let hub = Hub::new();
    publish(&hub, "a", "before");
    let (subscribe, _) = with_state(&hub, 3);
    let mut whole = Reader::open(subscribe);
    let messages = whole.messages();
    for (at, message) in messages.iter().enumerate() {
        let resume = after(message.last_event_id());
        let (subscribe, calls) = with_state(&hub, 3);
        let (mut reader, status) = Reader::open_with_status(subscribe.resume(resume));
        let is_whole = at + 1 == messages.len();
        assert_eq!(status["status"], if is_whole { "resumed" } else { "reset" }, "cut at {at}");
        let expected = if is_whole { vec![] } else { numbered("s", 0..3) };
        assert_eq!(
            (reader.data(), calls.load(Ordering::SeqCst)),
            (expected, usize::from(!is_whole))
        );
    }
}

#[test]
fn a_reader_that_is_overrun_gets_a_snapshot_however_it_began() {
    for history in [History::None, History::All] {
        let hub = Hub::builder().retention(Retention::default().events(5)).build();
        let (subscribe, calls) = with_state(&hub, 2);
        let (mut reader, _) = Reader::open_with_status(subscribe.history(history));
        reader.data();
        let before = calls.load(Ordering::SeqCst);
        assert_eq!(before, usize::from(history == History::None));
        (0..1_000).for_each(|n| drop(publish(&hub, "a", &format!("a{n}"))));
        assert_eq!(reader.next_status()["status"], "reset", "{history:?}");
        publish(&hub, "a", "next");
        assert_eq!(reader.data(), ["s0", "s1", "next"]);
        assert_eq!(calls.load(Ordering::SeqCst), before + 1);
        let info = hub.clients().get(reader.subscription().client_id()).unwrap();
        assert_eq!(info.last_id.as_str(), reader.last_id());
    }
}

#[test]
fn an_event_published_while_the_hook_runs_follows_exactly_once() {
    let hub = Hub::new();
    let gate = Gate::default();
    publish(&hub, "a", "before");
    let mut reader = Reader::open(hub.subscribe(["a"]).snapshot(gate.hook()));
    publish(&hub, "a", "one");
    // The first bytes do not wait for the application.
    assert!(String::from_utf8(reader.bytes()).unwrap().starts_with("retry: "));
    publish(&hub, "a", "two");
    assert!(reader.messages().is_empty());
    let wakes = reader.wakes.count();
    gate.open();
    assert_eq!(reader.wakes.count(), wakes + 1);
    publish(&hub, "a", "three");
    assert_eq!(reader.next_status()["status"], "fresh");
    assert_eq!(reader.data(), ["s0", "s1", "one", "two", "three"]);
}

#[test]
fn a_client_cut_after_the_snapshot_resumes_with_the_events_published_during_it() {
    let hub = Hub::new();
    let gate = Gate::default();
    let mut reader = Reader::open(hub.subscribe(["a"]).snapshot(gate.hook()));
    reader.bytes();
    publish(&hub, "a", "meanwhile");
    gate.open();
    // The snapshot is one chunk; it is cut after that.
    assert!(reader.chunk().is_some());
    assert_eq!(reader.next_status()["status"], "fresh");
    let (mut again, status) =
        Reader::open_with_status(hub.subscribe(["a"]).resume(reader.resume()));
    assert_eq!(
        (status["status"].as_str(), again.data()),
        (Some("resumed"), vec!["meanwhile".into()])
    );
}

#[test]
fn a_hook_that_fails_ends_the_stream_with_its_error() {
    let hub = Hub::new();
    let subscribe = hub.subscribe(["a"]).snapshot(|| async { Err("the database is gone".into()) });
    let mut reader = Reader::open(subscribe);
    reader.bytes();
    let error = reader.error.take().unwrap();
    assert_eq!(error.kind(), StreamErrorKind::Snapshot);
    assert_eq!(error.to_string(), "snapshot failed: the database is gone");
    assert!(reader.messages().is_empty() && reader.ended, "nothing comes after an error");
    assert!(reader.error.is_none());
}

#[test]
fn a_stream_that_waits_for_its_snapshot_is_kept_alive() {
    let clock = ManualClock::new();
    let hub = Hub::builder().clock(clock.clock()).heartbeat(Duration::from_secs(5)).build();
    let gate = Gate::default();
    let mut reader = Reader::open(hub.subscribe(["a"]).snapshot(gate.hook()));
    reader.bytes();
    for _ in 0..3 {
        clock.advance(Duration::from_millis(5_100));
        assert_eq!(reader.bytes(), b":\n\n");
        assert_eq!(reader.bytes(), b"");
    }
    gate.open();
    assert_eq!(reader.next_status()["status"], "fresh");
    assert_eq!(reader.data(), ["s0", "s1"]);
}

#[test]
fn closing_does_not_wait_for_a_hook() {
    for close in [true, false] {
        let hub = Hub::new();
        let gate = Gate::default();
        let mut reader = Reader::open(hub.subscribe(["a"]).snapshot(gate.hook()));
        reader.bytes();
        let wakes = reader.wakes.count();
        match close {
            true => hub.close(),
            false => assert!(hub.clients().close(reader.subscription().client_id())),
        }
        assert_eq!(reader.wakes.count(), wakes + 1);
        assert!(reader.bytes().is_empty() && reader.ended);
    }
}

#[test]
fn a_closed_hub_still_sends_a_snapshot_that_is_ready() {
    let hub = Hub::new();
    hub.close();
    let (subscribe, _) = with_state(&hub, 2);
    let (mut reader, _) = Reader::open_with_status(subscribe);
    assert_eq!((reader.data(), reader.ended), (numbered("s", 0..2), true));
    // And the first bytes of one that is not: how long to wait before the next attempt.
    let mut reader = Reader::open(hub.subscribe(["a"]).snapshot(Gate::default().hook()));
    assert!(reader.bytes().starts_with(b"retry: ") && reader.ended);
}

#[test]
fn a_snapshot_without_status_is_its_events_alone() {
    for parts in [0, 2] {
        let hub = Hub::new();
        let id = publish(&hub, "a", "before");
        let (subscribe, _) = with_state(&hub, parts);
        let mut reader = Reader::open(subscribe.status(false).retry(None));
        let messages = reader.messages();
        assert!(messages.iter().all(|message| message.event() != STATUS_EVENT));
        assert_eq!(messages.len(), parts);
        assert!(reader.raw.starts_with(b":\n\n"));
        assert_eq!(reader.last_id(), if parts == 0 { "" } else { id.as_str() });
        publish(&hub, "b", "elsewhere");
        assert!(reader.data().is_empty());
    }
}

#[test]
fn ids_of_a_snapshots_events_are_left_out() {
    let hub = Hub::new();
    let subscribe = hub.subscribe(["a"]).snapshot(|| async {
        let event = |n: u32| Event::new(n.to_string()).with_id(EventId::new("mine").unwrap());
        Ok(Snapshot::new([event(1), event(2)]))
    });
    let mut reader = Reader::open(subscribe);
    reader.bytes();
    assert!(!String::from_utf8(reader.raw.clone()).unwrap().contains("mine"));
}

#[test]
fn a_hook_that_panics_leaves_no_client() {
    let hub = Hub::new();
    let mut reader = Reader::open(panicking(&hub));
    assert!(reader.chunk().is_some());
    assert!(catch(move || reader.chunk()).is_err());
    assert_eq!(hub.clients().count(), 0);
    assert!(hub.clients().topics().is_empty());
}

fn panicking(hub: &Hub) -> Subscribe {
    hub.subscribe(["a"]).snapshot(|| -> std::future::Ready<Outcome> {
        std::panic::resume_unwind(Box::new("in the application"))
    })
}

fn catch<T>(run: impl FnOnce() -> T) -> std::thread::Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run))
}

/// A stream of a transport that has its snapshots made elsewhere.
struct Member {
    cohort: Cohort,
    reader: Reader,
}

impl Member {
    fn open(subscribe: Subscribe) -> Self {
        let reader = Reader::open(subscribe);
        Self { cohort: Cohort::of(reader.subscription(), Waker::noop().clone()), reader }
    }

    /// Reads up to where the stream waits or ends. Returns its error.
    fn read(&mut self) -> Option<StreamError> {
        let waker = Waker::from(self.reader.wakes.clone());
        loop {
            while self.cohort.next_batch().is_ok_and(|batch| batch.is_some()) {}
            let wakes = self.reader.wakes.count();
            let stream = self.reader.subscription_mut();
            match self.cohort.poll_member(stream, &mut Context::from_waker(&waker)) {
                Poll::Ready(Some(Ok(bytes))) => self.reader.feed(&bytes),
                Poll::Ready(Some(Err(error))) => return Some(error),
                Poll::Ready(None) => return None,
                Poll::Pending if self.reader.wakes.count() > wakes => {}
                Poll::Pending => return None,
            }
        }
    }

    fn take_task(&mut self) -> Option<ApplicationTask> {
        self.reader.subscription_mut().take_application_task()
    }

    fn data(&mut self) -> Vec<String> {
        let messages = self.reader.messages_so_far();
        messages.iter().map(|message| message.data().to_owned()).collect()
    }
}

#[test]
fn a_transport_makes_snapshots_where_it_wants() {
    let hub = Hub::builder().retention(Retention::default().events(5)).build();
    let (subscribe, calls) = with_state(&hub, 2);
    let mut member = Member::open(subscribe);
    for begins in [true, false] {
        if !begins {
            // It is overrun.
            (0..1_000).for_each(|n| drop(publish(&hub, "a", &format!("a{n}"))));
        }
        let before = calls.load(Ordering::SeqCst);
        assert!(member.read().is_none());
        publish(&hub, "a", "meanwhile");
        let task = member.take_task().unwrap();
        assert!(member.take_task().is_none(), "it was taken");
        assert!(member.read().is_none());
        assert!(member.data().is_empty());
        assert_eq!(calls.load(Ordering::SeqCst), before, "nothing was called");
        let wakes = member.reader.wakes.count();
        std::thread::spawn(|| futures_executor::block_on(task)).join().unwrap();
        assert_eq!(calls.load(Ordering::SeqCst), before + 1);
        assert_eq!(member.reader.wakes.count(), wakes + 1);
        assert!(member.read().is_none());
        assert_eq!(member.data()[1..], ["s0", "s1", "meanwhile"]);
        assert!(member.take_task().is_none(), "it needs none");
    }
}

#[test]
fn a_snapshot_that_takes_too_long_ends_its_stream_with_an_error() {
    for is_elsewhere in [false, true] {
        let clock = ManualClock::new();
        let limit = Duration::from_secs(2);
        let hub = Hub::builder().clock(clock.clock()).snapshot_timeout(limit).build();
        let gate = Gate::default();
        let mut member = Member::open(hub.subscribe(["a"]).snapshot(gate.hook()));
        let mut task = None;
        let mut read = |member: &mut Member| match is_elsewhere {
            true => {
                let error = member.read();
                task = task.take().or_else(|| member.take_task().map(Box::pin));
                let cx = &mut Context::from_waker(Waker::noop());
                let task = task.as_mut().map(|task| task.as_mut().poll(cx));
                (error, task.is_some_and(|task| task.is_ready()))
            }
            false => {
                member.reader.bytes();
                (member.reader.error.take(), member.reader.error.is_some())
            }
        };
        assert!(read(&mut member).0.is_none());
        clock.advance(limit - Duration::from_millis(1));
        assert!(read(&mut member).0.is_none());
        let wakes = member.reader.wakes.count();
        clock.advance(Duration::from_millis(51));
        assert_eq!(member.reader.wakes.count(), wakes + 1);
        gate.open();
        let (error, is_task_over) = read(&mut member);
        let error = error.unwrap();
        assert_eq!(error.kind(), StreamErrorKind::Snapshot);
        assert_eq!(error.to_string(), "snapshot failed: it is not there after 2 s");
        assert_eq!(hub.metrics().snapshots_timed_out, 1);
        assert_eq!(is_task_over, is_elsewhere);
    }
}

#[test]
fn a_snapshot_that_is_there_in_time_has_no_time_limit() {
    let clock = ManualClock::new();
    let hub = Hub::builder().clock(clock.clock()).snapshot_timeout(Duration::from_secs(2)).build();
    let (subscribe, _) = with_state(&hub, 2);
    let mut reader = Reader::open(subscribe.heartbeat(None));
    assert_eq!(reader.messages().len(), 3);
    clock.advance(Duration::from_secs(10));
    publish(&hub, "a", "next");
    assert_eq!(reader.data(), ["next"]);
    assert_eq!(hub.metrics().snapshots_timed_out, 0);
}

#[test]
fn a_task_that_does_not_end_by_itself_ends_its_stream_and_the_other_way_round() {
    let hub = Hub::new();
    // A runtime that shuts down drops its tasks.
    for (panics, why) in [(false, "its task has ended early"), (true, "it has panicked")] {
        let mut member = Member::open(panicking(&hub));
        member.read();
        let task = member.take_task().unwrap();
        match panics {
            true => futures_executor::block_on(task),
            false => drop(task),
        }
        let error = member.read().unwrap();
        assert_eq!(error.to_string(), format!("snapshot failed: {why}"));
    }
    let mut member = Member::open(hub.subscribe(["a"]).snapshot(Gate::default().hook()));
    member.read();
    let mut task = Box::pin(member.take_task().unwrap());
    let wakes = Arc::<reader::Wakes>::default();
    let waker = Waker::from(wakes.clone());
    assert!(task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(member);
    assert_eq!(wakes.count(), 1);
    assert!(task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
}

/// A hook of the application that counts its calls, each of which ends when the test says so.
#[derive(Clone, Default)]
struct Shop(Arc<Mutex<Sales>>);

#[derive(Default)]
struct Sales {
    calls: usize,
    ended: usize,
    /// The call that panics when it ends.
    panics: Option<usize>,
    wakers: Vec<Waker>,
}

impl Shop {
    fn calls(&self) -> usize {
        self.0.lock().unwrap().calls
    }

    fn end_call(&self) {
        let wakers = {
            let mut sales = self.0.lock().unwrap();
            sales.ended += 1;
            std::mem::take(&mut sales.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The state is the number of the call.
    fn hook(&self) -> SharedSnapshot {
        let shop = self.clone();
        SharedSnapshot::new(move || {
            let shop = shop.clone();
            let number = {
                let mut sales = shop.0.lock().unwrap();
                sales.calls += 1;
                sales.calls
            };
            std::future::poll_fn(move |cx| {
                let mut sales = shop.0.lock().unwrap();
                if sales.ended < number {
                    sales.wakers.push(cx.waker().clone());
                    return Poll::Pending;
                }
                if sales.panics == Some(number) {
                    drop(sales);
                    std::panic::resume_unwind(Box::new("in the application"));
                }
                Poll::Ready(Ok(Snapshot::new([Event::new(format!("state {number}"))])))
            })
        })
    }
}

#[test]
fn streams_that_join_before_a_call_begins_share_it_and_later_ones_share_the_next() {
    let hub = Hub::new();
    let shop = Shop::default();
    let state = shop.hook();
    let open = |_| {
        let mut reader = Reader::open(hub.subscribe(["a"]).shared_snapshot(&state).heartbeat(None));
        assert!(reader.chunk().is_some(), "the first bytes do not wait");
        reader
    };
    let mut first: Vec<_> = (0..100).map(open).collect();
    assert_eq!(shop.calls(), 0);
    first.iter_mut().for_each(|reader| assert!(reader.chunk().is_none()));
    assert_eq!(shop.calls(), 1);
    publish(&hub, "a", "meanwhile");
    let mut second: Vec<_> = (0..100).map(open).collect();
    second.iter_mut().for_each(|reader| assert!(reader.chunk().is_none()));
    assert_eq!(shop.calls(), 1, "one at a time");
    shop.end_call();
    for reader in &mut first {
        assert_eq!(reader.next_status()["status"], "fresh");
        assert_eq!(reader.data(), ["state 1", "meanwhile"]);
    }
    // The rest wait for a call that began after they had come.
    within_a_moment(|| {
        second.iter_mut().for_each(|reader| assert!(reader.chunk().is_none()));
        shop.calls() == 2
    });
    shop.end_call();
    for reader in &mut second {
        assert_eq!(reader.next_status()["status"], "fresh");
        assert_eq!(reader.data(), ["state 2"]);
    }
    assert_eq!((shop.calls(), hub.metrics().snapshots), (2, 2));
}

/// Many streams are woken by another thread.
#[track_caller]
fn within_a_moment(mut is_true: impl FnMut() -> bool) {
    let limit = std::time::Instant::now() + Duration::from_secs(10);
    while !is_true() {
        assert!(std::time::Instant::now() < limit, "it never becomes true");
        std::thread::yield_now();
    }
}

#[test]
fn a_stream_that_leaves_or_is_not_polled_takes_nothing_from_those_that_share_its_call() {
    for leaves in [false, true] {
        let hub = Hub::new();
        let shop = Shop::default();
        let state = shop.hook();
        let open = || Reader::open(hub.subscribe(["a"]).shared_snapshot(&state).heartbeat(None));
        let (mut first, mut second, mut third) = (open(), open(), open());
        for reader in [&mut first, &mut second, &mut third] {
            reader.bytes();
        }
        // The first one has begun the call, and the last one has polled it.
        if leaves {
            drop((first, third));
        }
        let wakes = second.wakes.count();
        shop.end_call();
        assert_eq!(second.wakes.count(), wakes + 1);
        assert_eq!(second.next_status()["status"], "fresh");
        assert_eq!((second.data(), shop.calls()), (vec!["state 1".to_owned()], 1));
    }
    // When all have left, the call is given up, and the next stream has one of its own.
    let hub = Hub::new();
    let shop = Shop::default();
    let state = shop.hook();
    for calls in 1..4 {
        let mut reader = Reader::open(hub.subscribe(["a"]).shared_snapshot(&state));
        reader.bytes();
        assert_eq!(shop.calls(), calls);
    }
}

#[test]
fn a_call_that_fails_fails_its_streams_and_not_those_that_wait_for_the_next() {
    let clock = ManualClock::new();
    let limit = Duration::from_secs(2);
    let hub = Hub::builder().clock(&clock).heartbeat(None).snapshot_timeout(limit).build();
    let shop = Shop::default();
    let state = shop.hook();
    let open = |_| {
        let mut reader = Reader::open(hub.subscribe(["a"]).shared_snapshot(&state));
        assert!(reader.chunk().is_some());
        reader
    };
    let mut first: Vec<_> = (0..3).map(open).collect();
    first.iter_mut().for_each(|reader| assert!(reader.chunk().is_none()));
    clock.advance(Duration::from_secs(1));
    let mut second: Vec<_> = (0..3).map(open).collect();
    clock.advance(Duration::from_millis(1_050));
    for reader in &mut first {
        reader.bytes();
        let error = reader.error.take().unwrap();
        assert_eq!(error.to_string(), "snapshot failed: it is not there after 2 s");
    }
    second.iter_mut().for_each(|reader| drop(reader.bytes()));
    assert_eq!(shop.calls(), 2);
    (0..2).for_each(|_| shop.end_call());
    for reader in &mut second {
        assert_eq!(reader.next_status()["status"], "fresh");
        assert_eq!(reader.data(), ["state 2"]);
    }
    assert_eq!((hub.metrics().snapshots_timed_out, hub.metrics().snapshots_failed), (1, 3));
}

#[test]
fn members_of_cohorts_share_a_call_by_one_task() {
    let hub = Hub::new();
    let shop = Shop::default();
    let state = shop.hook();
    let open = || Member::open(hub.subscribe(["a"]).shared_snapshot(&state).heartbeat(None));
    let (mut first, mut second) = (open(), open());
    assert!(first.read().is_none() && second.read().is_none());
    let mut task = Box::pin(first.take_task().unwrap());
    assert!(second.take_task().is_none(), "one is enough");
    let mut run = || task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
    assert!(!run() && shop.calls() == 1);
    let mut third = open();
    assert!(third.read().is_none() && third.take_task().is_none());
    // The task is not its stream's.
    drop(first);
    shop.end_call();
    assert!(!run() && !run() && shop.calls() == 2, "it goes on with the next call");
    assert!(second.read().is_none());
    assert_eq!(second.data()[1..], ["state 1"]);
    shop.end_call();
    assert!(run());
    assert!(third.read().is_none());
    assert_eq!(third.data()[1..], ["state 2"]);
    // The next one needs a new task.
    let mut fourth = open();
    assert!(fourth.read().is_none() && fourth.take_task().is_some());
}

#[test]
fn a_call_that_panics_in_a_task_fails_its_streams_and_not_those_that_wait_for_the_next() {
    let hub = Hub::new();
    let shop = Shop::default();
    shop.0.lock().unwrap().panics = Some(1);
    let state = shop.hook();
    let open = || Member::open(hub.subscribe(["a"]).shared_snapshot(&state).heartbeat(None));
    let mut first = open();
    assert!(first.read().is_none());
    let mut task = Box::pin(first.take_task().unwrap());
    let wakes = Arc::<reader::Wakes>::default();
    let waker = Waker::from(wakes.clone());
    let mut run = || task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
    assert!(!run() && shop.calls() == 1);
    let mut second = open();
    assert!(second.read().is_none() && second.take_task().is_none());
    shop.end_call();
    let before = wakes.count();
    assert!(!run() && wakes.count() > before, "the runtime polls it again");
    assert_eq!(first.read().unwrap().to_string(), "snapshot failed: it has panicked");
    assert!(!run() && shop.calls() == 2);
    shop.end_call();
    assert!(run());
    assert!(second.read().is_none());
    assert_eq!(second.data()[1..], ["state 2"]);
}

#[test]
fn a_task_whose_call_takes_too_long_is_woken_and_ends_so_that_the_next_stream_has_its_own() {
    let clock = ManualClock::new();
    let limit = Duration::from_secs(2);
    let hub = Hub::builder().clock(&clock).heartbeat(None).snapshot_timeout(limit).build();
    let state = Shop::default().hook();
    let open = || Member::open(hub.subscribe(["a"]).shared_snapshot(&state));
    let mut first = open();
    assert!(first.read().is_none());
    let mut task = Box::pin(first.take_task().unwrap());
    let wakes = Arc::<reader::Wakes>::default();
    let waker = Waker::from(wakes.clone());
    let mut run = || task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
    assert!(!run());
    clock.advance(limit + Duration::from_millis(50));
    assert!(first.read().is_some());
    assert_eq!(wakes.count(), 1);
    assert!(run());
    let mut second = open();
    assert!(second.read().is_none() && second.take_task().is_some());
}

/// A state that the application never has, and whose drop panics: of a connection that must be dropped in a runtime.
fn never_and_panics(hub: &Hub) -> Subscribe {
    struct Connection;

    impl Drop for Connection {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("outside of a runtime"));
        }
    }

    hub.subscribe(["a"]).snapshot(|| async {
        let _connection = Connection;
        std::future::pending::<Outcome>().await
    })
}

#[test]
fn a_call_that_is_given_up_and_panics_in_its_drop_harms_nobody() {
    for leaves in [false, true] {
        let clock = ManualClock::new();
        let limit = Duration::from_secs(2);
        let hub = Hub::builder().clock(&clock).heartbeat(Duration::from_secs(5));
        let hub = hub.snapshot_timeout(limit).build();
        let mut idle = Reader::open(hub.subscribe(["a"]));
        let mut reader = Reader::open(never_and_panics(&hub));
        idle.bytes();
        reader.bytes();
        if leaves {
            drop(reader);
        } else {
            clock.advance(limit + Duration::from_millis(50));
            reader.bytes();
            let error = reader.error.take().unwrap();
            assert_eq!(error.to_string(), "snapshot failed: it is not there after 2 s");
        }
        assert_eq!(hub.metrics().snapshots_timed_out, u64::from(!leaves));
        clock.advance(Duration::from_secs(6));
        assert_eq!(idle.bytes(), b":\n\n");
    }
}

#[test]
fn a_shared_state_is_never_older_than_the_position_of_its_stream() {
    reader::within(60, || {
        let retention = Retention::default().events(10_000_000).bytes(usize::MAX);
        let hub = Hub::builder().retention(retention).max_retained_bytes(usize::MAX).build();
        let level = Arc::new(AtomicUsize::new(0));
        let state = SharedSnapshot::new({
            let level = level.clone();
            move || {
                let level = level.clone();
                async move {
                    // Read early, and answered late.
                    let level = level.load(Ordering::SeqCst);
                    std::thread::yield_now();
                    Ok(Snapshot::new([Event::new(level.to_string())]))
                }
            }
        });
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..50 {
                            let subscribe = hub.subscribe(["a"]).shared_snapshot(&state);
                            let mut reader = Reader::open(subscribe);
                            let mut data: Vec<usize> = Vec::new();
                            while data.len() < 3 {
                                let messages = reader.messages();
                                let events =
                                    messages.iter().filter(|it| it.event() != STATUS_EVENT);
                                data.extend(events.map(|it| it.data().parse::<usize>().unwrap()));
                            }
                            // A change is made before it is published, so some may come twice.
                            let (state, events) = (data[0], &data[1..]);
                            assert!(
                                events[0] <= state + 1,
                                "lost between {state} and {}",
                                events[0]
                            );
                            assert!(events.is_sorted_by(|a, b| a + 1 == *b), "lost after {state}");
                        }
                    })
                })
                .collect();
            while readers.iter().any(|reader| !reader.is_finished()) {
                let next = level.fetch_add(1, Ordering::SeqCst) + 1;
                publish(&hub, "a", &next.to_string());
            }
        });
        assert!(hub.metrics().snapshots <= 200, "none has more than a call of its own");
    });
}
