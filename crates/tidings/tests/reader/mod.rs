//! Reads a subscription by hand, as a client would see it: no runtime, no waiting.
#![allow(dead_code, reason = "every test file uses a part of it")]

pub(crate) mod source;

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use tidings::{
    Decoder, Event, EventId, Hub, Message, Resume, STATUS_EVENT, Subscribe, Subscription,
    error::StreamError,
};

/// Counts how often a task would have been woken.
#[derive(Default)]
pub(crate) struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Wakes {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// Any stream of bytes, polled by hand.
pub(crate) struct Reader<S = Subscription> {
    stream: Pin<Box<S>>,
    decoder: Decoder,
    pub(crate) wakes: Arc<Wakes>,
    /// All bytes so far.
    pub(crate) raw: Vec<u8>,
    pub(crate) ended: bool,
    pub(crate) error: Option<StreamError>,
}

impl Reader<Subscription> {
    #[track_caller]
    pub(crate) fn open(subscribe: Subscribe) -> Self {
        Self::new(subscribe.open().expect("the subscription opens"))
    }

    /// Opens and reads the status event, which has to be the first.
    #[track_caller]
    pub(crate) fn open_with_status(subscribe: Subscribe) -> (Self, serde_json::Value) {
        let mut reader = Self::open(subscribe);
        let status = reader.next_status();
        (reader, status)
    }

    pub(crate) fn subscription(&self) -> &Subscription {
        &self.stream
    }

    pub(crate) fn subscription_mut(&mut self) -> &mut Subscription {
        &mut self.stream
    }
}

impl<S: Stream<Item = Result<Bytes, StreamError>>> Reader<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream: Box::pin(stream),
            decoder: Decoder::new(),
            wakes: Arc::default(),
            raw: Vec::new(),
            ended: false,
            error: None,
        }
    }

    /// The next chunk, if there is one now.
    pub(crate) fn chunk(&mut self) -> Option<Bytes> {
        let waker = Waker::from(self.wakes.clone());
        let wakes = self.wakes.count();
        match self.stream.as_mut().poll_next(&mut Context::from_waker(&waker)) {
            Poll::Ready(Some(Ok(bytes))) => {
                self.raw.extend_from_slice(&bytes);
                self.decoder.feed(&bytes).expect("an event of a sane size");
                Some(bytes)
            }
            Poll::Ready(Some(Err(error))) => {
                self.error = Some(error);
                None
            }
            Poll::Ready(None) => {
                self.ended = true;
                None
            }
            // It gave way and wants to go on.
            Poll::Pending if self.wakes.count() > wakes => self.chunk(),
            Poll::Pending => None,
        }
    }

    /// Bytes that came by another way than by polling.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(bytes);
        self.decoder.feed(bytes).expect("an event of a sane size");
    }

    /// The bytes up to where the stream waits or ends.
    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        let before = self.raw.len();
        while self.chunk().is_some() {}
        self.raw[before..].to_vec()
    }

    /// The messages up to where the stream waits or ends.
    pub(crate) fn messages(&mut self) -> Vec<Message> {
        self.bytes();
        self.messages_so_far()
    }

    /// The messages in what was read already.
    pub(crate) fn messages_so_far(&mut self) -> Vec<Message> {
        std::iter::from_fn(|| self.decoder.next_message()).collect()
    }

    /// The data of all events up to there; a status event is a failure.
    #[track_caller]
    pub(crate) fn data(&mut self) -> Vec<String> {
        let messages = self.messages();
        assert!(
            messages.iter().all(|message| message.event() != STATUS_EVENT),
            "unexpected status in {messages:?}"
        );
        messages.iter().map(|message| message.data().to_owned()).collect()
    }

    /// The next message, which has to be a status event.
    #[track_caller]
    pub(crate) fn next_status(&mut self) -> serde_json::Value {
        let message = loop {
            match self.decoder.next_message() {
                Some(message) => break message,
                None => assert!(self.chunk().is_some(), "there is no status event"),
            }
        };
        assert_eq!(message.event(), STATUS_EVENT, "{message:?}");
        serde_json::from_str(message.data()).expect("the status is JSON")
    }

    /// What a client would send as its Last-Event-ID.
    pub(crate) fn last_id(&self) -> &str {
        self.decoder.last_event_id()
    }

    pub(crate) fn resume(&self) -> Resume {
        after(self.last_id())
    }
}

/// Runs something on a thread, which must end in time: a deadlock or a lost wake-up is a failure.
#[track_caller]
pub(crate) fn within(seconds: u64, body: impl FnOnce() + Send + 'static) {
    let (done, outcome) = mpsc::channel();
    let thread = thread::spawn(move || {
        body();
        let _ = done.send(());
    });
    match outcome.recv_timeout(Duration::from_secs(seconds)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("not done after {seconds} s"),
        _ => thread.join().expect("the thread does not panic"),
    }
}

#[track_caller]
pub(crate) fn publish(hub: &Hub, topic: &str, data: &str) -> EventId {
    hub.publish(topic, Event::new(data)).wait().expect("the hub is open").id()
}

/// The position in an event's id.
#[track_caller]
pub(crate) fn position(id: &str) -> u64 {
    id.rsplit_once('-').expect("an id of a hub").1.parse().expect("a position")
}

/// The request of a client that has seen this id last.
pub(crate) fn after(id: impl AsRef<[u8]>) -> Resume {
    Resume::new().with_last_event_id(id)
}

/// `["a0", "a1", …]`
pub(crate) fn numbered(prefix: &str, range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("{prefix}{n}")).collect()
}
