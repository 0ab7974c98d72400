use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::{Client, Message, Subject, Subscriber};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, SelectAll};
use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;
use tidings::backend::{Append, Envelope, LogError, LogErrorKind, RecordError};
use tidings::error::{PublishError, PublishErrorKind};
use tidings::{Hub, Published, Topic};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::connect_options::ConnectOptions;
use crate::connection::{addresses, connection};
use crate::error::{asking, connecting, error, no_answer};

/// Publishes in a hub what services publish on subjects of core NATS.
///
/// At most once. Core NATS keeps nothing: a message that is published while this node is not connected, or faster
/// than the hub takes it, is lost, and so is one that the hub refuses. Services that need every event to arrive
/// should publish to the stream instead: see [`NatsLog`](crate::NatsLog).
///
/// The subject of a message is its topic. The subjects of a bridge may have the wildcards of NATS: `*` for one
/// token, `>` for all that follow.
///
/// The bridge ends when it is dropped, or at the first message after the hub was closed.
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
/// // A message to `events.orders.eu` becomes an event of the topic `orders.eu`.
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

/// Options of a [`CoreBridge`]; made by [`CoreBridge::builder`].
#[must_use = "a builder does nothing until `connect` is called"]
pub struct CoreBridgeBuilder {
    subjects: Vec<String>,
    queue_group: Option<String>,
    format: MessageFormat,
    options: ConnectOptions,
}

#[derive(Debug, Clone)]
struct MessageFormat {
    envelope: Envelope,
    prefix: String,
}

/// What happened to a bridge's messages since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct BridgeCounts {
    /// How many were published as events.
    pub published: u64,
    /// How many were malformed: their subject is not a topic, or they do not follow the envelope.
    pub rejected: u64,
    /// How many the hub refused, or did not acknowledge.
    pub failed: u64,
}

/// How long the server may take to register a subscription.
const ROUND_TRIP: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
struct Counters {
    published: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl Counters {
    fn published(&self) {
        self.published.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a message as malformed, or as one that the hub did not take.
    fn lost(&self, counter: &AtomicU64, error: String) {
        *self.last_error.lock() = Some(error);
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl CoreBridge {
    /// A bridge, which needs at least one [subject](CoreBridgeBuilder::subject).
    pub fn builder() -> CoreBridgeBuilder {
        CoreBridgeBuilder {
            subjects: Vec::new(),
            queue_group: None,
            format: MessageFormat { envelope: Envelope::Raw, prefix: String::new() },
            options: ConnectOptions::new(),
        }
    }

    /// What happened to the messages so far.
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

    /// What was wrong with the last message that was rejected or has failed, with its subject.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.counters.last_error.lock().clone()
    }
}

impl Drop for CoreBridge {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl CoreBridgeBuilder {
    /// Subscribes to a subject, which may have wildcards. A bridge may have several; a message that matches more than one
    /// is published once for each.
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subjects.push(subject.into());
        self
    }

    /// Of all bridges of one queue group, one receives each message. For several nodes on a shared log, which all see what
    /// one publishes. Default: none, each bridge receives everything, as hubs in memory need it.
    pub fn queue_group(mut self, name: impl Into<String>) -> Self {
        self.queue_group = Some(name.into());
        self
    }

    /// The format of the messages. Default: [`Envelope::Raw`], a message is an event's data.
    pub fn envelope(mut self, envelope: Envelope) -> Self {
        self.format.envelope = envelope;
        self
    }

    /// The topic is the subject without this prefix, or all of a subject that does not begin with it (the bridge of
    /// `tidings-redis` rejects such messages). Default: the whole subject.
    pub fn strip_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.format.prefix = prefix.into();
        self
    }

    /// Credentials, certificates, and other options of the connection.
    pub fn connect_options(mut self, options: ConnectOptions) -> Self {
        self.options = options;
        self
    }

    /// Connects, and starts the bridge: it receives what is published after this returns. Must be called within a tokio
    /// runtime; the bridge lives on it. `servers` is as in [`NatsLogBuilder::connect`](crate::NatsLogBuilder::connect).
    ///
    /// # Errors
    ///
    /// - [`LogErrorKind::Unavailable`] if no server answers;
    /// - [`LogErrorKind::Refused`] if no subject was given, or the server does not accept the credentials.
    pub async fn connect(self, servers: impl AsRef<str>, hub: Hub) -> Result<CoreBridge, LogError> {
        if self.subjects.is_empty() {
            return Err(error(LogErrorKind::Refused, "bridge has no subject"));
        }
        let (options, complaint) = connection(self.options).await?;
        let client = options.connect(&*addresses(servers.as_ref())).await.map_err(connecting)?;
        let mut subscriptions = SelectAll::new();
        for subject in self.subjects {
            subscriptions.push(subscribe(&client, subject, self.queue_group.clone()).await?);
        }
        let subscribed = timeout(ROUND_TRIP, round_trip(&client)).await;
        let subscribed = subscribed.unwrap_or_else(|_| Err(no_answer("subscribe")));
        subscribed.map_err(|error| complaint.explain(error))?;
        let counters = Arc::new(Counters::default());
        let task = run(subscriptions, hub, self.format, counters.clone());
        Ok(CoreBridge { counters, task: tokio::spawn(task) })
    }
}

impl fmt::Debug for CoreBridgeBuilder {
    /// Without the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoreBridgeBuilder")
            .field("subjects", &self.subjects)
            .field("queue_group", &self.queue_group)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

impl MessageFormat {
    fn read(&self, message: &Message) -> Result<Append, RecordError> {
        let subject = message.subject.as_str();
        let topic = Topic::new(subject.strip_prefix(&*self.prefix).unwrap_or(subject))?;
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

/// Waits until the server has processed everything that this client has sent so far: a message to itself comes back
/// after that.
async fn round_trip(client: &Client) -> Result<(), LogError> {
    let inbox = client.new_inbox();
    let mut messages = subscribe(client, inbox.clone(), None).await?;
    client.publish(inbox, Bytes::new()).await.map_err(|_| no_answer("subscribe"))?;
    messages.next().await.map(|_| ()).ok_or_else(|| no_answer("subscribe"))
}

/// What became of a message of a subject.
type Answer = (Subject, Result<Published, PublishError>);

async fn run(
    mut messages: SelectAll<Subscriber>,
    hub: Hub,
    format: MessageFormat,
    counters: Arc<Counters>,
) {
    // Further messages wait in their subscription.
    const UNANSWERED: usize = 1_024;

    let mut answers: FuturesUnordered<BoxFuture<'static, Answer>> = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some((subject, answer)) = answers.next() => match answer {
                Ok(_) => counters.published(),
                Err(error) if error.kind() == PublishErrorKind::Closed => return,
                Err(error) => {
                    let error = format!("subject {:?}: {error}", subject.as_str());
                    counters.lost(&counters.failed, error);
                }
            },
            message = messages.next(), if answers.len() < UNANSWERED => {
                let Some(message) = message else { return };
                match format.read(&message) {
                    Ok(Append { topic, event, key, .. }) => {
                        let publish = match key {
                            Some(key) => hub.publish_once(key, topic, event),
                            None => hub.publish(topic, event),
                        };
                        let subject = message.subject;
                        answers.push(async move { (subject, publish.await) }.boxed());
                    }
                    Err(error) => {
                        let error = format!("subject {:?}: {error}", message.subject.as_str());
                        counters.lost(&counters.rejected, error);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_bridge_without_a_subject_is_refused() {
        let bridge = CoreBridge::builder().connect("nats://127.0.0.1:1", Hub::new()).await;
        assert_eq!(bridge.unwrap_err().to_string(), "nats: bridge has no subject");
    }
}
