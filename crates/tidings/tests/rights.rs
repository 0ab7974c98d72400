//! Streams that end because their clients' rights do.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod reader;

use std::collections::VecDeque;
use std::error::Error;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use reader::{Reader, publish};
use tidings::{
    END_EVENT, Hub, HubBuilder, STATUS_EVENT, Subscribe, clock::ManualClock, transport::Cohort,
};

const SECOND: Duration = Duration::from_secs(1);
/// Timers are late by up to this.
const LATE: Duration = Duration::from_millis(50);

fn hub() -> (Hub, ManualClock) {
    let clock = ManualClock::new();
    (builder(&clock).build(), clock)
}

fn builder(clock: &ManualClock) -> HubBuilder {
    Hub::builder().clock(clock).heartbeat(None).retry(10 * SECOND)
}

/// The names and data of what a stream sends until it waits or ends.
fn sent(reader: &mut Reader) -> Vec<(String, String)> {
    let messages = reader.messages();
    messages.iter().map(|it| (it.event().to_owned(), it.data().to_owned())).collect()
}

/// The reason for which a stream has ended, which it has told its client last.
#[track_caller]
fn end(reader: &mut Reader) -> String {
    let (name, data) = sent(reader).pop().expect("a last event");
    assert!(name == END_EVENT && reader.ended, "{name} {data}");
    let data: serde_json::Value = serde_json::from_str(&data).unwrap();
    data["reason"].as_str().unwrap().to_owned()
}

/// The `retry` of the last block.
fn retry(reader: &Reader) -> Option<u64> {
    let text = String::from_utf8(reader.raw.clone()).unwrap();
    let block = text.trim_end().rsplit("\n\n").next().unwrap().to_owned();
    block.lines().find_map(|line| line.strip_prefix("retry: ")?.parse().ok())
}

#[test]
fn a_stream_ends_when_the_right_of_its_client_expires_and_not_before() {
    let (hub, clock) = hub();
    for by_time in [true, false] {
        let subscribe = hub.subscribe(["a"]);
        let subscribe = match by_time {
            // A little of it passes meanwhile.
            true => subscribe.expires_at(SystemTime::now() + 60 * SECOND),
            false => subscribe.expires_in(60 * SECOND),
        };
        let (mut reader, _) = Reader::open_with_status(subscribe);
        clock.advance(59 * SECOND);
        publish(&hub, "a", "before");
        assert_eq!(reader.data(), ["before"]);
        let mut idle = Reader::open(hub.subscribe(["quiet"]).expires_in(SECOND));
        idle.bytes();
        let unseen = publish(&hub, "a", "unseen");
        clock.advance(SECOND + LATE);
        assert_eq!(idle.wakes.count(), 1);
        assert_eq!(end(&mut idle), "expired");
        publish(&hub, "a", "after");
        assert_eq!(sent(&mut reader).len(), 1, "only the end");
        assert!(reader.ended);
        assert!((8_000..=12_000).contains(&retry(&reader).unwrap()));

        // Nothing is lost: the client goes on where it was.
        assert_ne!(reader.last_id(), unseen.as_str());
        let mut again = Reader::open(hub.subscribe(["a"]).resume(reader.resume()));
        assert_eq!(again.next_status()["status"], "resumed");
        assert_eq!(again.data(), ["unseen", "after"]);
    }
    assert_eq!(hub.metrics().ended_expired, 4);
}

#[test]
fn a_right_that_has_expired_already_ends_the_stream_after_its_status() {
    let (hub, _clock) = hub();
    publish(&hub, "a", "secret");
    let subscribe = hub.subscribe(["a"]).history(tidings::History::All);
    let mut reader = Reader::open(subscribe.expires_at(SystemTime::UNIX_EPOCH));
    let events: Vec<_> = sent(&mut reader).into_iter().map(|(name, _)| name).collect();
    assert_eq!(events, [STATUS_EVENT, END_EVENT]);
    assert!(reader.ended);
}

type Answer = Result<bool, Box<dyn Error + Send + Sync>>;

/// An application that is asked, and answers what the test says; nothing for as long as it says nothing.
#[derive(Clone, Default)]
struct Application(Arc<Mutex<Asked>>);

#[derive(Default)]
struct Asked {
    times: usize,
    answers: VecDeque<Answer>,
    /// The answer to all later questions.
    always: Option<bool>,
    waker: Option<Waker>,
}

impl Application {
    fn always(answer: bool) -> Self {
        let this = Self::default();
        this.0.lock().unwrap().always = Some(answer);
        this
    }

    fn say(&self, answer: Answer) {
        let mut asked = self.0.lock().unwrap();
        asked.answers.push_back(answer);
        asked.waker.take().into_iter().for_each(Waker::wake);
    }

    fn times(&self) -> usize {
        self.0.lock().unwrap().times
    }

    fn check(&self, subscribe: Subscribe, every: Duration) -> Subscribe {
        let this = self.clone();
        subscribe.revalidate(every, move || {
            this.0.lock().unwrap().times += 1;
            let this = this.clone();
            std::future::poll_fn(move |cx| {
                let mut asked = this.0.lock().unwrap();
                if let Some(answer) = asked.answers.pop_front() {
                    return Poll::Ready(answer);
                }
                asked.waker = Some(cx.waker().clone());
                asked.always.map_or(Poll::Pending, |answer| Poll::Ready(Ok(answer)))
            })
        })
    }
}

#[test]
fn the_checks_of_streams_that_come_at_once_are_spread() {
    let (hub, clock) = hub();
    let application = Application::always(true);
    let every = 60 * SECOND;
    let open = |_| Reader::open(application.check(hub.subscribe(["a"]), every));
    let mut readers: Vec<_> = (0..1_000).map(open).collect();
    let mut checks_of = |seconds: u32| {
        let before = application.times();
        clock.advance(seconds * SECOND);
        readers.iter_mut().for_each(|reader| drop(reader.bytes()));
        application.times() - before
    };
    // The first and the later ones: about 200 in each fifth of the time, and not a thousand in one.
    for fifth in 0..25 {
        let checks = checks_of(12);
        assert!((40..400).contains(&checks), "{checks} in the {fifth}th fifth");
    }
}

#[test]
fn a_refusal_ends_the_stream_within_the_time_that_is_promised() {
    let (hub, clock) = hub();
    let every = 10 * SECOND;
    for _ in 0..200 {
        let application = Application::always(true);
        let (mut reader, _) =
            Reader::open_with_status(application.check(hub.subscribe(["a"]), every));
        clock.advance(Duration::from_millis(fastrand::u64(..30_000)));
        reader.bytes();
        application.0.lock().unwrap().always = Some(false);
        clock.advance(every.mul_f64(1.2) + LATE);
        publish(&hub, "a", "secret");
        let events = sent(&mut reader);
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!(events[0], (END_EVENT.to_owned(), r#"{"reason":"revoked"}"#.to_owned()));
        assert!(reader.ended && retry(&reader).is_none());
    }
    assert_eq!((hub.metrics().ended_revoked, hub.metrics().checks_failed), (200, 0));
}

#[test]
fn events_are_sent_while_the_application_is_asked() {
    let (hub, clock) = hub();
    let application = Application::default();
    let (mut reader, _) =
        Reader::open_with_status(application.check(hub.subscribe(["a"]), 10 * SECOND));
    clock.advance(10 * SECOND + LATE);
    publish(&hub, "a", "one");
    assert_eq!(reader.data(), ["one"]);
    assert_eq!(application.times(), 1);
    let wakes = reader.wakes.count();
    application.say(Ok(true));
    assert_eq!(reader.wakes.count(), wakes + 1);
    publish(&hub, "a", "two");
    assert_eq!((reader.data(), application.times()), (vec!["two".to_owned()], 1));
    // It waits for the next one like any other stream.
    assert!(reader.bytes().is_empty());
    clock.advance(12 * SECOND + LATE);
    application.say(Ok(false));
    assert_eq!((end(&mut reader).as_str(), application.times()), ("revoked", 2));
}

#[test]
fn a_check_that_fails_is_no_refusal_and_three_in_a_row_end_the_stream() {
    let (hub, clock) = hub();
    let every = 20 * SECOND;
    for slow in [false, true] {
        let before = hub.metrics().checks_failed;
        let application = Application::default();
        let subscribe = application.check(hub.subscribe(["a"]), every);
        let (mut reader, _) = Reader::open_with_status(subscribe);
        let mut answers = vec![None, None, Some(Ok(true)), None, None, None];
        for (n, answer) in answers.drain(..).enumerate() {
            clock.advance(every.mul_f64(1.2) + LATE);
            let failure = || Err("the database is gone".into());
            // A slow one gives no answer in time.
            match answer.or_else(|| (!slow).then(failure)) {
                Some(answer) => application.say(answer),
                None => {
                    assert!(reader.bytes().is_empty());
                    clock.advance(10 * SECOND + LATE);
                }
            }
            if n < 5 {
                publish(&hub, "a", "goes on");
                assert_eq!(reader.data(), ["goes on"], "after check {n}");
                assert_eq!(application.times(), n + 1);
            }
        }
        assert_eq!(end(&mut reader), "expired");
        assert_eq!(application.times(), 6);
        assert!((8_000..=12_000).contains(&retry(&reader).unwrap()));
        assert_eq!(hub.metrics().checks_failed, before + 5);
    }
}

#[test]
fn a_stream_that_was_not_polled_sends_nothing_before_a_check_has_succeeded() {
    for answer in [Ok(true), Ok(false), Err("the database is gone")] {
        let (hub, clock) = hub();
        let application = Application::default();
        let subscribe = application.check(hub.subscribe(["a"]), 10 * SECOND);
        let (mut reader, _) = Reader::open_with_status(subscribe);
        clock.advance(10 * SECOND + LATE);
        clock.advance(60 * SECOND);
        publish(&hub, "a", "one");
        assert!(reader.data().is_empty(), "nobody knows whether it may be sent");
        assert_eq!(application.times(), 1);
        let wakes = reader.wakes.count();
        application.say(answer.map_err(Into::into));
        assert!(reader.wakes.count() > wakes);
        match answer {
            Ok(true) => assert_eq!(reader.data(), ["one"]),
            Ok(false) => assert_eq!(end(&mut reader), "revoked"),
            Err(_) => {
                assert!(reader.data().is_empty(), "nobody knows yet");
                clock.advance(12 * SECOND + LATE);
                application.say(Ok(true));
                assert_eq!(reader.data(), ["one"]);
            }
        }
    }
}

#[test]
fn a_stream_that_drains_is_sent_nothing_after_its_clients_right_has_expired() {
    let (hub, clock) = hub();
    let (mut reader, _) = Reader::open_with_status(hub.subscribe(["a"]).expires_in(10 * SECOND));
    publish(&hub, "a", "unread");
    let _drain = hub.drain(Duration::ZERO);
    clock.advance(10 * SECOND + LATE);
    let sent = sent(&mut reader);
    assert_eq!(sent, [(END_EVENT.to_owned(), r#"{"reason":"expired"}"#.to_owned())]);
    assert!(reader.ended);
}

#[test]
fn a_stream_that_waits_for_a_check_is_sent_nothing_when_it_drains() {
    let (hub, clock) = hub();
    let application = Application::default();
    let subscribe = application.check(hub.subscribe(["a"]), 10 * SECOND);
    let (mut reader, _) = Reader::open_with_status(subscribe);
    clock.advance(10 * SECOND + LATE);
    clock.advance(60 * SECOND);
    publish(&hub, "a", "one");
    let _drain = hub.drain(Duration::ZERO);
    assert_eq!(sent(&mut reader).len(), 1, "only the end");
    assert!(reader.ended);
}

#[test]
fn a_check_that_panics_has_failed_and_its_stream_goes_on() {
    let (hub, clock) = hub();
    let asked = Arc::new(Mutex::new(0));
    let times = asked.clone();
    let subscribe = hub.subscribe(["a"]).revalidate(10 * SECOND, move || {
        let n = {
            let mut times = times.lock().unwrap();
            *times += 1;
            *times
        };
        assert!(n != 1, "on purpose, before there is a future");
        async move {
            assert!(n != 2, "on purpose, in the future");
            Ok(true)
        }
    });
    let (mut reader, _) = Reader::open_with_status(subscribe);
    for n in 1..=4 {
        clock.advance(12 * SECOND + LATE);
        publish(&hub, "a", "goes on");
        assert_eq!(reader.data(), ["goes on"], "after check {n}");
    }
    assert_eq!((*asked.lock().unwrap(), hub.metrics().checks_failed), (4, 2));
}

#[test]
fn a_transport_asks_where_it_wants() {
    let (hub, clock) = hub();
    let application = Application::default();
    let subscribe = application.check(hub.subscribe(["a"]), 10 * SECOND);
    let mut stream = subscribe.open().unwrap();
    let mut cohort = Cohort::of(&stream, Waker::noop().clone());
    let mut cx = Context::from_waker(Waker::noop());
    let mut poll = |stream: &mut _, cohort: &mut Cohort| {
        while cohort.next_batch().is_ok_and(|batch| batch.is_some()) {}
        let mut text = String::new();
        while let Poll::Ready(Some(bytes)) = cohort.poll_member(stream, &mut cx) {
            text.push_str(std::str::from_utf8(&bytes.unwrap()).unwrap());
        }
        text
    };
    poll(&mut stream, &mut cohort);
    assert!(stream.take_application_task().is_none() && cohort.is_caught_up(&stream));
    clock.advance(10 * SECOND + LATE);
    publish(&hub, "a", "one");
    assert!(poll(&mut stream, &mut cohort).contains("one"));
    assert_eq!(application.times(), 0, "nothing was called");
    let mut task = Box::pin(stream.take_application_task().unwrap());
    assert!(stream.take_application_task().is_none(), "it was taken");
    let mut run = || task.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(run().is_pending() && application.times() == 1);
    assert!(cohort.is_caught_up(&stream), "its batches go on");
    application.say(Ok(false));
    assert!(run().is_ready());
    assert!(poll(&mut stream, &mut cohort).contains(r#"{"reason":"revoked"}"#));
}

#[test]
fn a_task_that_is_dropped_or_outlives_its_stream_is_no_refusal() {
    let (hub, clock) = hub();
    let application = Application::default();
    let mut stream = application.check(hub.subscribe(["a"]), 10 * SECOND).open().unwrap();
    clock.advance(10 * SECOND + LATE);
    drop(stream.take_application_task().unwrap());
    assert_eq!((hub.metrics().checks_failed, hub.metrics().ended_revoked), (1, 0));
    clock.advance(12 * SECOND + LATE);
    let mut task = Box::pin(stream.take_application_task().unwrap());
    let wakes = Arc::<reader::Wakes>::default();
    let waker = Waker::from(wakes.clone());
    assert!(task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(stream);
    assert_eq!(wakes.count(), 1);
    assert!(task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
    drop(task);
    assert_eq!(hub.metrics().checks_failed, 1);
}
