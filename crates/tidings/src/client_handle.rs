use std::sync::Arc;

use crate::client_id::ClientId;
use crate::error::{FieldError, SubscribeError, SubscribeErrorCause};
use crate::hub::shared::Shared;
use crate::into_topics::IntoTopics;
use crate::subscription::history::History;
use crate::topic::{Topic, TopicPattern};
use crate::waking::Waiter;

/// One open stream of a hub, whose topics can be changed: see [`Hub::client`](crate::Hub::client).
///
/// A change holds from the moment of its call on. Every event of a new topic that is published after the call has returned is
/// sent, and none of a topic that was taken away. What the new topics retain is sent only if
/// [`history`](Self::history) asks for it. The order is that of the hub; a stream that lags makes the change when it has come
/// there. A reset is one with the new topics.
///
/// A stream whose client does not read while its topics change 256 times is closed.
///
/// The client's id is still enough: at its next request, the handler names the topics anew, and the client resumes in all of
/// them. So the change must be made where the handler looks, *before* it is made here.
#[derive(Debug, Clone)]
#[must_use = "it does nothing by itself"]
pub struct ClientHandle {
    shared: Arc<Shared>,
    id: ClientId,
    history: History,
}

impl ClientHandle {
    pub(crate) fn new(shared: Arc<Shared>, id: ClientId) -> Self {
        Self { shared, id, history: History::None }
    }

    /// Sets how much of what new topics retain is sent. Default: nothing.
    ///
    /// It is sent as one block, before later events. Its events do not have the ids with which they were published; the last
    /// one has the id of the moment of the call. A client that is cut off within the block is reset when it comes back.
    pub fn history(mut self, history: History) -> Self {
        self.history = history;
        self
    }

    /// Adds topics to the stream. Returns whether it is open on this node; one that was told to end is not. Topics that it has
    /// already stay as they are.
    ///
    /// # Errors
    ///
    /// As [`Subscribe::open`](crate::Subscribe::open): when a topic's name is refused, and when the stream would have more
    /// topics than the hub allows. Nothing is changed then.
    ///
    /// ```
    /// use tidings::{Event, History, Hub};
    ///
    /// let hub = Hub::new();
    /// let stream = hub.subscribe("room:1").open()?;
    /// let client = hub.client(stream.client_id());
    /// assert!(client.history(History::Last(20)).subscribe("room:2")?);
    /// assert!(hub.client(stream.client_id()).unsubscribe("room:1")?);
    /// assert_eq!(hub.clients().get(stream.client_id()).unwrap().topics[0].as_str(), "room:2");
    /// # Ok::<(), tidings::error::SubscribeError>(())
    /// ```
    pub fn subscribe<K>(&self, topics: impl IntoTopics<K>) -> Result<bool, SubscribeError> {
        add(&self.shared, self.id, names(topics.into_topics()), (self.history, b""))
    }

    /// The same for [patterns](crate::Hub::subscribe_matching).
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    pub fn subscribe_matching<K>(
        &self,
        patterns: impl IntoTopics<K, TopicPattern>,
    ) -> Result<bool, SubscribeError> {
        add(&self.shared, self.id, patterns.into_topics(), (self.history, b""))
    }

    /// Takes topics from the stream. Returns whether it is open on this node. An event that a pattern of the stream matches
    /// is still sent.
    ///
    /// # Errors
    ///
    /// When a topic's name is refused, and when the stream would be left without topics:
    /// [close](crate::Clients::close) it instead. Nothing is changed then.
    pub fn unsubscribe<K>(&self, topics: impl IntoTopics<K>) -> Result<bool, SubscribeError> {
        remove(&self.shared, self.id, names(topics.into_topics()))
    }

    /// The same for patterns, which are taken away by their own names.
    ///
    /// # Errors
    ///
    /// As [`unsubscribe`](Self::unsubscribe).
    pub fn unsubscribe_matching<K>(
        &self,
        patterns: impl IntoTopics<K, TopicPattern>,
    ) -> Result<bool, SubscribeError> {
        remove(&self.shared, self.id, patterns.into_topics())
    }
}

/// The names of topics as patterns.
pub(crate) fn names(topics: Result<Vec<Topic>, FieldError>) -> Names {
    topics.map(|topics| topics.into_iter().map(TopicPattern::from).collect())
}

pub(crate) type Names = Result<Vec<TopicPattern>, FieldError>;

/// Adds topics and patterns to a stream of this node, with what they retain, and otherwise with what comes after an id, if
/// that is ahead of the hub. Returns whether it is open.
pub(crate) fn add(
    shared: &Shared,
    id: ClientId,
    names: Names,
    from: (History, &[u8]),
) -> Result<bool, SubscribeError> {
    let names = names.map_err(SubscribeErrorCause::Topic)?;
    let Some(client) = shared.registry.get(id) else { return Ok(false) };
    let is_open = client.topic_changes().add(names, from, shared, &client)?;
    // No lock is held.
    shared.tell_interests();
    shared.note_presence(&client);
    client.wake();
    Ok(is_open)
}

/// The other way round.
pub(crate) fn remove(shared: &Shared, id: ClientId, names: Names) -> Result<bool, SubscribeError> {
    let names = names.map_err(SubscribeErrorCause::Topic)?;
    let Some(client) = shared.registry.get(id) else { return Ok(false) };
    let is_open = client.topic_changes().remove(&names, shared, &client)?;
    shared.note_presence(&client);
    client.wake();
    Ok(is_open)
}
