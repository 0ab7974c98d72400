use std::fmt;
use std::pin::Pin;

use futures_util::StreamExt;
use serde_json::Value;
use tidings::{ClientId, Decoder, Filter, Hub, Message, Resume, STATUS_EVENT, Subscription};

use crate::checker::{Entry, Visit, check};
use crate::limit::within;

/// A client that reads its stream in the test's own process.
pub struct Client {
    stream: Pin<Box<Subscription>>,
    decoder: Decoder,
    claimed: Option<String>,
    raw: Vec<u8>,
    messages: Vec<Message>,
}

impl Client {
    /// Subscribes to topics and patterns: as a fresh client, or as one that comes back with an id.
    #[track_caller]
    pub fn connect(hub: &Hub, topics: &[&str], id: Option<&str>) -> Self {
        Self::connect_filtered(hub, topics, None, id)
    }

    /// The same with a filter.
    #[track_caller]
    pub fn connect_filtered(
        hub: &Hub,
        topics: &[&str],
        filter: Option<Filter>,
        id: Option<&str>,
    ) -> Self {
        let resume = id.map_or(Resume::new(), |id| Resume::new().with_last_event_id(id));
        let subscribe = hub.subscribe_matching(topics.iter().copied()).retry(None).heartbeat(None);
        let subscribe = filter.into_iter().fold(subscribe, tidings::Subscribe::filter);
        Self::of(subscribe.resume(resume).open().expect("the subscription opens"), id)
    }

    /// Reads a subscription that was opened with an id, or without.
    pub fn of(subscription: Subscription, id: Option<&str>) -> Self {
        Self {
            stream: Box::pin(subscription),
            decoder: Decoder::new(),
            claimed: id.map(str::to_owned),
            raw: Vec::new(),
            messages: Vec::new(),
        }
    }

    /// [Connects](Self::connect), and reads the first status event.
    ///
    /// # Panics
    ///
    /// When its status is not the expected one: `fresh`, `resumed`, or the reason of a reset.
    #[track_caller]
    pub fn expect(
        hub: &Hub,
        topics: &[&str],
        id: Option<&str>,
        expected: &str,
    ) -> impl Future<Output = Self> + use<> {
        let mut client = Self::connect(hub, topics, id);
        let expected = expected.to_owned();
        async move {
            let status = client.status().await;
            let said = status["reason"].as_str().or(status["status"].as_str());
            assert_eq!(said, Some(&*expected), "{status}, to {:?}", client.claimed);
            client
        }
    }

    /// The next message; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Message> {
        within("the next message of a stream", self.next_at_any_time()).await
    }

    /// The same without a time limit.
    pub(super) async fn next_at_any_time(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.decoder.next_message() {
                self.messages.push(message.clone());
                return Some(message);
            }
            let bytes = self.stream.next().await?;
            let bytes = bytes.expect("the stream goes on");
            self.raw.extend_from_slice(&bytes);
            self.decoder.feed(&bytes).expect("the stream is an event stream");
        }
    }

    /// The data of the next message, which is a status event.
    pub async fn status(&mut self) -> Value {
        let message = self.next().await.expect("a status event");
        assert_eq!(message.event(), STATUS_EVENT);
        serde_json::from_str(message.data()).expect("its data is JSON")
    }

    /// Reads this many messages.
    pub async fn read(&mut self, count: usize) -> &[Message] {
        for _ in 0..count {
            self.next().await.expect("more messages");
        }
        &self.messages[self.messages.len() - count..]
    }

    /// Reads this many messages, and returns their ids.
    pub async fn read_ids(&mut self, count: usize) -> Vec<&str> {
        self.read(count).await.iter().map(Message::last_event_id).collect()
    }

    /// Reads up to the event with an id.
    pub async fn read_to(&mut self, id: &str) {
        while self.last_event_id() != id {
            let next = self.next().await;
            assert!(next.is_some(), "the stream ends before {id}");
        }
    }

    /// What a browser would remember: the id of the last message that was read.
    pub fn last_event_id(&self) -> &str {
        self.messages.last().map_or("", Message::last_event_id)
    }

    /// Takes what has arrived, and returns what clients remember that take the id of a block without data, as most browsers
    /// do.
    pub fn last_id_of_any_block(&mut self) -> &str {
        self.messages.extend(std::iter::from_fn(|| self.decoder.next_message()));
        self.decoder.last_event_id()
    }

    /// The client's id in the registry.
    pub fn id(&self) -> ClientId {
        self.stream.client_id()
    }

    /// All messages so far.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// All bytes so far.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Ends the connection.
    pub fn leave(self) -> Visit {
        Visit { claimed: self.claimed, messages: self.messages }
    }

    /// Ends the connection, the client's only one, over which it received this many events without a reset.
    #[track_caller]
    pub(super) fn leave_complete(self, published: &[Entry], topics: &[&str], events: usize) {
        let summary = check(published, topics, &[self.leave()]).expect("all as promised");
        assert_eq!((summary.events, summary.resets), (events, 0), "{topics:?}");
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("claimed", &self.claimed)
            .field("messages", &self.messages)
            .finish_non_exhaustive()
    }
}
