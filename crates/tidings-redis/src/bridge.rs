//! Publishes in a hub what comes by Redis's Pub/Sub.

use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redis::Msg;
use tidings::backend::{Envelope, LogError, LogErrorKind};
use tidings::{
    EventName, Hub, Topic,
    error::{FieldError, PublishErrorKind},
};
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinSet};

use crate::backoff::Backoff;
use crate::endpoint::Endpoint;
use crate::error::{failed, refused};
use crate::subscriber::Subscriber;

/// Publishes in a hub what services publish on channels of Redis's Pub/Sub.
///
/// The hub may be any, also one in memory. The bridge ends when it is dropped, or at
/// the first message after the hub was closed.
///
/// ```no_run
/// use tidings::Hub;
/// use tidings_redis::PubSubBridge;
///
/// # async fn example() -> Result<(), tidings::backend::LogError> {
/// let hub = Hub::new();
/// // PUBLISH events:orders "order 17" becomes an event of the topic `orders`.
/// let bridge = PubSubBridge::builder("redis://127.0.0.1/")
///     .pattern("events:*")
///     .strip_prefix("events:")
///     .run(hub.clone())?;
/// assert_eq!(bridge.rejected(), 0);
/// # Ok(())
/// # }
/// ```
///
/// # At most once
///
/// Pub/Sub keeps nothing. A message that is published while the bridge is not connected, while the hub's log
/// refuses events, or while 10,000 wait for that, is lost. Clients see no reset for it: the hub never knew of it. Services that need
/// every event to arrive should append to the log instead: see
/// [the crate's documentation](crate#publishing-from-any-language).
///
/// # Several nodes
///
/// Each message reaches every bridge. So of hubs that share a log, only *one* should have a bridge; otherwise each
/// bridge publishes each message (except in envelopes with a `key`). With hubs in memory, each node needs its
/// own bridge; each node then has its own ids, and a client that reconnects to another node is reset.
pub struct PubSubBridge {
    status: Arc<BridgeStatus>,
    task: AbortHandle,
}

#[derive(Debug, Default)]
struct BridgeStatus {
    is_connected: AtomicBool,
    received: AtomicU64,
    rejected: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl PubSubBridge {
    /// A bridge from the server at this address. See [`RedisLog::builder`](crate::RedisLog::builder) for the forms of
    /// an address. Any node of a cluster will do.
    pub fn builder(url: impl Into<String>) -> PubSubBridgeBuilder {
        PubSubBridgeBuilder {
            url: url.into(),
            channels: Vec::new(),
            patterns: Vec::new(),
            envelope: Envelope::Raw,
            event: None,
            topic: Arc::new(|channel| Some(channel.to_owned())),
            connect_timeout: Duration::from_secs(2),
            #[cfg(feature = "tls")]
            authority: None,
        }
    }

    /// Whether the bridge is subscribed now, so that it receives what is published now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.status.is_connected.load(Ordering::Acquire)
    }

    /// How many messages it has received.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.status.received.load(Ordering::Relaxed)
    }

    /// How many of them it did not publish: they were malformed, or the hub refused them.
    #[must_use]
    pub fn rejected(&self) -> u64 {
        self.status.rejected.load(Ordering::Relaxed)
    }

    /// The last error of the connection or of a message.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.status.last_error.lock().clone()
    }
}

impl Drop for PubSubBridge {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for PubSubBridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubSubBridge").field("status", &self.status).finish_non_exhaustive()
    }
}

impl BridgeStatus {
    fn fail(&self, error: String) {
        *self.last_error.lock() = Some(error);
    }

    fn reject(&self, error: String) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
        self.fail(error);
    }
}

type TopicOf = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Options of a [`PubSubBridge`].
#[derive(Clone)]
#[must_use = "a builder does nothing until it runs"]
pub struct PubSubBridgeBuilder {
    url: String,
    channels: Vec<String>,
    patterns: Vec<String>,
    envelope: Envelope,
    event: Option<EventName>,
    topic: Arc<TopicOf>,
    connect_timeout: Duration,
    #[cfg(feature = "tls")]
    authority: Option<Vec<u8>>,
}

impl PubSubBridgeBuilder {
    /// Subscribes to a channel.
    pub fn channel(mut self, channel: impl Into<String>) -> Self {
        self.channels.push(channel.into());
        self
    }

    /// Subscribes to all channels that a pattern of Redis matches, such as `events:*`. A message whose channel matches
    /// twice is published twice.
    pub fn pattern(mut self, pattern: impl Into<String>) -> Self {
        self.patterns.push(pattern.into());
        self
    }

    /// The topic is the channel's name without this prefix. Messages on other channels are rejected. Default: the
    /// whole name.
    pub fn strip_prefix(self, prefix: impl Into<String>) -> Self {
        let prefix = prefix.into();
        self.topic(move |channel| channel.strip_prefix(&*prefix).map(str::to_owned))
    }

    /// The topic of a message is the result of this function for its channel. Messages are rejected if that is `None`,
    /// or not a valid [`Topic`], or if the function panics.
    pub fn topic<F>(mut self, topic: F) -> Self
    where
        F: Fn(&str) -> Option<String> + Send + Sync + 'static,
    {
        self.topic = Arc::new(topic);
        self
    }

    /// The format of the messages. Default: [`Envelope::Raw`], a message is an event's data.
    pub fn envelope(mut self, envelope: Envelope) -> Self {
        self.envelope = envelope;
        self
    }

    /// The name of events whose messages give none. Default: none.
    ///
    /// # Errors
    ///
    /// When it contains a line break.
    pub fn event<N>(mut self, name: N) -> Result<Self, FieldError>
    where
        N: TryInto<EventName>,
        N::Error: Into<FieldError>,
    {
        self.event = Some(name.try_into().map_err(Into::into)?);
        Ok(self)
    }

    /// How long making a connection may take. Default: 2 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Trusts servers whose certificates this authority has signed, and no others: PEM. Default: the
    /// authorities that the system trusts.
    #[cfg(feature = "tls")]
    pub fn authority(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authority = Some(pem.into());
        self
    }

    /// Starts the bridge. It connects by itself, and again after the connection was lost: see
    /// [`PubSubBridge::is_connected`].
    ///
    /// Must be called within a tokio runtime; the bridge lives on it.
    ///
    /// # Errors
    ///
    /// - [`LogErrorKind::Refused`] for a malformed address, or without any channel or pattern;
    /// - [`LogErrorKind::Closed`] outside of a tokio runtime.
    pub fn run(self, hub: Hub) -> Result<PubSubBridge, LogError> {
        let runtime = Handle::try_current().map_err(|error| {
            LogError::new(LogErrorKind::Closed, format!("redis: {error}")).with_source(error)
        })?;
        if self.channels.is_empty() && self.patterns.is_empty() {
            return Err(refused("bridge has neither channels nor patterns"));
        }
        #[cfg_attr(not(feature = "tls"), expect(unused_mut, reason = "only TLS changes it"))]
        let mut endpoint = Endpoint::parse(&self.url, self.connect_timeout)?;
        #[cfg(feature = "tls")]
        if let Some(authority) = &self.authority {
            endpoint.trust(authority.clone());
        }
        let status = Arc::<BridgeStatus>::default();
        let bridge = BridgeTask {
            endpoint,
            options: self,
            hub,
            status: status.clone(),
            publishing: JoinSet::new(),
        };
        let task = runtime.spawn(bridge.run()).abort_handle();
        Ok(PubSubBridge { status, task })
    }
}

impl fmt::Debug for PubSubBridgeBuilder {
    /// Without the address, which may have a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubSubBridgeBuilder")
            .field("channels", &self.channels)
            .field("patterns", &self.patterns)
            .field("envelope", &self.envelope)
            .finish_non_exhaustive()
    }
}

struct BridgeTask {
    endpoint: Endpoint,
    options: PubSubBridgeBuilder,
    hub: Hub,
    status: Arc<BridgeStatus>,
    /// What the hub's log has not answered yet.
    publishing: JoinSet<()>,
}

impl BridgeTask {
    /// While this many messages are on their way to the hub's log, further ones are rejected. Not left for later: what
    /// the server has sent would take memory here.
    const MAX_PUBLISHING: usize = 10_000;

    async fn run(mut self) {
        let mut backoff = Backoff::default();
        while !self.hub.is_closed() {
            let (channels, patterns) = (&self.options.channels, &self.options.patterns);
            let result = match Subscriber::new(&self.endpoint, channels, patterns).await {
                Ok(subscriber) => {
                    backoff.reset();
                    self.status.is_connected.store(true, Ordering::Release);
                    self.hand_on(subscriber).await
                }
                Err(error) => Err(error),
            };
            self.status.is_connected.store(false, Ordering::Release);
            if let Err(error) = result {
                self.status.fail(failed("subscribe", &error).to_string());
            }
            backoff.wait().await;
        }
    }

    /// Until the link is lost, or the hub closed.
    async fn hand_on(&mut self, mut subscriber: Subscriber) -> redis::RedisResult<()> {
        while !self.hub.is_closed() {
            let message = subscriber.next().await?;
            self.status.received.fetch_add(1, Ordering::Relaxed);
            while self.publishing.try_join_next().is_some() {}
            let channel = message.get_channel_name();
            if let Err(error) = self.publish(channel, &message) {
                self.status.reject(format!("channel {channel:?}: {error}"));
            }
        }
        Ok(())
    }

    fn publish(&mut self, channel: &str, message: &Msg) -> Result<(), String> {
        if self.publishing.len() >= Self::MAX_PUBLISHING {
            return Err("too many messages are waiting for the hub's log".to_owned());
        }
        // It has nothing of the bridge's, so a panic leaves nothing inconsistent there.
        let topic = panic::catch_unwind(AssertUnwindSafe(|| (self.options.topic)(channel)));
        let topic = topic.map_err(|_| "the function for its topic has panicked".to_owned())?;
        let topic = Topic::new(topic.ok_or_else(|| "has no topic".to_owned())?);
        let topic = topic.map_err(|error| error.to_string())?;
        let append = self.options.envelope.open(&topic, message.get_payload_bytes());
        let append = append.map_err(|error| error.to_string())?;
        let event = match &self.options.event {
            Some(name) if append.event.name().is_none() => append.event.with_name(name.clone()),
            _ => append.event,
        };
        let publish = match append.key {
            Some(key) => self.hub.publish_once(key, append.topic, event),
            None => self.hub.publish(append.topic, event),
        };
        let (status, channel) = (self.status.clone(), channel.to_owned());
        self.publishing.spawn(async move {
            match publish.await {
                Err(error) if error.kind() != PublishErrorKind::Closed => {
                    status.reject(format!("channel {channel:?}: {error}"));
                }
                _ => {}
            }
        });
        Ok(())
    }
}
