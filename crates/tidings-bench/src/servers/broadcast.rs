//! Topics as applications usually have them: a map of tokio's broadcast channels.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::{Either, ready};
use futures_util::stream::{self, Stream, StreamExt};
use parking_lot::Mutex;
use tokio::sync::broadcast::Sender;
use tokio_stream::wrappers::BroadcastStream;

use super::query::Query;

/// Room for the longest burst, so that no client lags.
const CAPACITY: usize = 1024;

/// A broadcast channel for each topic.
#[derive(Debug)]
pub(super) struct Channels<T>(Arc<Mutex<HashMap<String, Sender<T>>>>);

impl<T> Clone for Channels<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Clone + Send + 'static> Channels<T> {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    fn sender(&self, topic: &str) -> Sender<T> {
        let mut channels = self.0.lock();
        match channels.get(topic) {
            Some(sender) => sender.clone(),
            None => {
                let sender = Sender::new(CAPACITY);
                channels.insert(topic.to_owned(), sender.clone());
                sender
            }
        }
    }

    /// Sends a message to all subscribers, as often as the query says.
    pub(super) fn publish(&self, query: &Query, message: &T) {
        for topic in query.publications() {
            // It fails without subscribers.
            let _ = self.sender(topic).send(message.clone());
        }
    }

    /// The messages of some topics.
    pub(super) fn subscribe(&self, topics: &[String]) -> impl Stream<Item = T> + use<T> {
        let mut streams: Vec<_> = topics
            .iter()
            .map(|topic| BroadcastStream::new(self.sender(topic).subscribe()))
            .collect();
        // One topic is the usual case, and must not pay for several.
        let streams = match (streams.len(), streams.pop()) {
            (1, Some(stream)) => Either::Left(stream),
            (_, last) => Either::Right(stream::select_all(streams.into_iter().chain(last))),
        };
        streams.filter_map(|message| ready(message.ok()))
    }
}
