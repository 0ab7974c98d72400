use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Message, Subscriber, ToServerAddrs};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{FuturesUnordered, SelectAll};
use tidings::backend::{Append, Envelope, LogError, LogErrorKind, RecordError};
use tidings::{Hub, Publish, Topic};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::error::{asking, connecting, error, no_answer};
use crate::log::connection;

/// Publishes to a hub what others publish to subjects of core NATS: for services that do so already.
///
/// At most once. Core NATS keeps nothing: what is published while this node is not connected, or faster
/// than the hub takes it, is lost, and so is what the hub refuses. [`counts`](Self::counts) tells how
/// much was. Events that must not be lost are published to the stream: see [`NatsLog`](crate::NatsLog).
///
/// A message's subject is the name of its topic. Subjects may have the wildcards of NATS: `*` for a token,
/// `>` for all that follow. Which messages those of an [`Envelope`] are is the bridge's to say.
///
/// It ends when it is dropped.
///
/// ```no_run
/// use tidings::Hub;
/// use tidings::backend::Envelope;
/// use tidings_nats::CoreBridge;
///
/// # async fn run(hub: Hub) -> Result<(), Box<dyn std::error::Error>> {
/// let bridge = CoreBridge::builder()
///     .subject("events.>")
///     .strip_prefix("events.")
///     .envelope(Envelope::Json)
///     .connect("nats://127.0.0.1", hub)
///     .await?;
/// // `events.orders.eu` is the topic `orders.eu` from now on.
/// # drop(bridge);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a bridge ends when it is dropped"]
pub struct CoreBridge {
    counters: Arc<Counters>,
    task: JoinHandle<()>,
}

/// Settings of a [`CoreBridge`]; made by [`CoreBridge::builder`].
#[must_use = "a builder does nothing until `connect` is called"]
pub struct CoreBridgeBuilder {
    subjects: Vec<String>,
    queue_group: Option<String>,
    reading: Reading,
    options: ConnectOptions,
}

/// How a message is read.
#[derive(Debug, Clone)]
struct Reading {
    envelope: Envelope,
    stripped: String,
}

/// What has become of a bridge's messages, since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct BridgeCounts {
    /// Events that were published.
    pub published: u64,
    /// Messages that are no events: their subject is no topic, or they are not what the envelope says.
    pub rejected: u64,
    /// Events that the hub did not take, or of which it does not know.
    pub failed: u64,
}

/// How long the server may take to see a subscription.
const ROUND_TRIP: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
struct Counters {
    published: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
}

impl CoreBridge {
    /// Settings for a bridge. At least a [subject](CoreBridgeBuilder::subject) has to be given.
    pub fn builder() -> CoreBridgeBuilder {
        CoreBridgeBuilder {
            subjects: Vec::new(),
            queue_group: None,
            reading: Reading { envelope: Envelope::Raw, stripped: String::new() },
            options: ConnectOptions::new(),
        }
    }

    /// What has become of the messages so far.
    ///
    /// ```no_run
    /// # fn show(bridge: tidings_nats::CoreBridge) {
    /// let counts = bridge.counts();
    /// println!("{} events, {} lost", counts.published, counts.rejected + counts.failed);
    /// # }
    /// ```
    pub fn counts(&self) -> BridgeCounts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        BridgeCounts {
            published: count(&self.counters.published),
            rejected: count(&self.counters.rejected),
            failed: count(&self.counters.failed),
        }
    }
}

impl Drop for CoreBridge {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl CoreBridgeBuilder {
    /// Takes in what is published to a subject, which may have wildcards. Can be given several times. A
    /// message that matches several is published as often.
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subjects.push(subject.into());
        self
    }

    /// Of all bridges of one queue group, only one takes in each message: for several nodes on one
    /// shared log, of which each sees what any publishes. Default: none, each takes in everything, as
    /// hubs in memory need it.
    pub fn queue_group(mut self, name: impl Into<String>) -> Self {
        self.queue_group = Some(name.into());
        self
    }

    /// How the messages are written. Default: [`Envelope::Raw`].
    pub fn envelope(mut self, envelope: Envelope) -> Self {
        self.reading.envelope = envelope;
        self
    }

    /// What is left out at the front of a subject to get the topic. Default: nothing.
    pub fn strip_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.reading.stripped = prefix.into();
        self
    }

    /// Credentials, certificates, and what else NATS wants to know of a client. Pings, reconnecting and
    /// the capacity of subscriptions are set by the bridge.
    pub fn connect_options(mut self, options: ConnectOptions) -> Self {
        self.options = options;
        self
    }

    /// Connects, and begins. Within a tokio runtime. What is published once this returns is taken in.
    ///
    /// # Errors
    ///
    /// [`LogErrorKind::Unavailable`] if no server answers; [`LogErrorKind::Refused`] if no subject was
    /// given, or the server does not accept the credentials.
    pub async fn connect(
        self,
        servers: impl ToServerAddrs,
        hub: Hub,
    ) -> Result<CoreBridge, LogError> {
        if self.subjects.is_empty() {
            return Err(error(LogErrorKind::Refused, "bridge there is no subject"));
        }
        let client = connection(self.options).connect(servers).await.map_err(connecting)?;
        let mut subscriptions = SelectAll::new();
        for subject in self.subjects {
            subscriptions.push(subscribe(&client, subject, self.queue_group.clone()).await?);
        }
        timeout(ROUND_TRIP, settle(&client)).await.map_err(|_| no_answer("subscribe"))??;
        let counters = Arc::new(Counters::default());
        let task = run(subscriptions, hub, self.reading, counters.clone());
        Ok(CoreBridge { counters, task: tokio::spawn(task) })
    }
}

impl fmt::Debug for CoreBridgeBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The options know the credentials.
        f.debug_struct("CoreBridgeBuilder")
            .field("subjects", &self.subjects)
            .field("queue_group", &self.queue_group)
            .field("reading", &self.reading)
            .finish_non_exhaustive()
    }
}

impl Reading {
    fn read(&self, message: &Message) -> Result<Append, RecordError> {
        let subject = message.subject.as_str();
        let topic = Topic::new(subject.strip_prefix(&*self.stripped).unwrap_or(subject))?;
        self.envelope.open(&topic, &message.payload)
    }
}

async fn subscribe(
    client: &Client,
    subject: String,
    queue_group: Option<String>,
) -> Result<Subscriber, LogError> {
    let subscribed = match queue_group {
        Some(group) => client.queue_subscribe(subject, group).await,
        None => client.subscribe(subject).await,
    };
    subscribed.map_err(|error| asking("subscribe", error))
}

/// Waits until the server has seen what this client has sent so far: a message to itself comes back
/// behind that.
async fn settle(client: &Client) -> Result<(), LogError> {
    let inbox = client.new_inbox();
    let mut messages = subscribe(client, inbox.clone(), None).await?;
    client.publish(inbox, Bytes::new()).await.map_err(|_| no_answer("subscribe"))?;
    messages.next().await.map(|_| ()).ok_or_else(|| no_answer("subscribe"))
}

async fn run(
    mut messages: SelectAll<Subscriber>,
    hub: Hub,
    reading: Reading,
    counters: Arc<Counters>,
) {
    // Beyond it, messages wait in their subscription.
    const UNANSWERED: usize = 1_024;

    let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
    let mut answers: FuturesUnordered<Publish> = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(answer) = answers.next() => match answer {
                Ok(_) => count(&counters.published),
                Err(_) => count(&counters.failed),
            },
            message = messages.next(), if answers.len() < UNANSWERED => {
                let Some(message) = message else { return };
                match reading.read(&message) {
                    Ok(Append { topic, event, key: None }) => {
                        answers.push(hub.publish(topic, event));
                        continue;
                    }
                    Ok(Append { topic, event, key: Some(key) }) => {
                        answers.push(hub.publish_once(key, topic, event));
                        continue;
                    }
                    Err(_) => count(&counters.rejected),
                }
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(subject: &str, payload: &str) -> Result<Append, String> {
        let reading = Reading { envelope: Envelope::Raw, stripped: "events.".to_owned() };
        let message = Message {
            subject: subject.into(),
            reply: None,
            payload: payload.to_owned().into(),
            headers: None,
            status: None,
            description: None,
            length: 0,
        };
        reading.read(&message).map_err(|error| error.to_string())
    }

    #[test]
    fn a_subject_is_a_topic_without_what_is_stripped() {
        for (subject, topic) in [("events.a.b", "a.b"), ("other.a", "other.a")] {
            let append = read(subject, "x").unwrap();
            assert_eq!((append.topic.as_str(), append.event.data()), (topic, Some("x")));
        }
    }

    #[test]
    fn a_subject_that_is_no_topic_is_rejected() {
        assert!(read("events.", "x").unwrap_err().starts_with("topic: "));
        assert!(read(&"x".repeat(300), "x").unwrap_err().starts_with("topic: "));
    }

    #[tokio::test]
    async fn a_bridge_without_a_subject_is_refused() {
        let bridge = CoreBridge::builder().connect("nats://127.0.0.1:1", Hub::new()).await;
        assert_eq!(bridge.unwrap_err().to_string(), "nats: bridge: there is no subject");
    }
}
