//! From Redis's Pub/Sub into a hub.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::Msg;
use tidings::backend::{Envelope, LogError, LogErrorKind};
use tidings::{EventName, FieldError, Hub, PublishErrorKind, Topic};
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinSet};

use crate::backoff::Backoff;
use crate::endpoint::Endpoint;
use crate::error::{failed, refused};
use crate::subscriber::Subscriber;

/// Publishes in a hub what services publish on channels of Redis's Pub/Sub.
///
/// The hub may be any, also one in memory. The bridge ends when this is dropped, or the hub is closed.
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
/// Pub/Sub keeps nothing: what is published while the bridge is not connected, or the hub's log does not
/// take events, is lost, and nobody is told. Clients do not see a reset for it: for the hub it never
/// happened. Whoever needs every event appends to the log instead: see
/// [the crate's documentation](crate#publishing-from-any-language).
///
/// # Several nodes
///
/// Each message reaches every bridge. So with hubs that share a log, only *one* node should have one;
/// otherwise each message is published once for each bridge (envelopes with a `key` are not). With hubs in
/// memory, each node has its own; then each node has its own ids, and a client that reconnects to another
/// node is reset there.
pub struct PubSubBridge {
    state: Arc<State>,
    task: AbortHandle,
}

#[derive(Debug, Default)]
struct State {
    is_connected: AtomicBool,
    received: AtomicU64,
    rejected: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl PubSubBridge {
    /// A bridge from the server at this address, which has the forms that
    /// [`RedisLog::builder`](crate::RedisLog::builder) names. Any node of a cluster will do.
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

    /// Whether it is subscribed now: what is published now arrives.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.state.is_connected.load(Ordering::Acquire)
    }

    /// How many messages have come.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.state.received.load(Ordering::Relaxed)
    }

    /// How many of them became no event: they were not what they had to be, or the hub refused them.
    #[must_use]
    pub fn rejected(&self) -> u64 {
        self.state.rejected.load(Ordering::Relaxed)
    }

    /// What went wrong last: with the connection, or with a message.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.state.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for PubSubBridge {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for PubSubBridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubSubBridge").field("state", &self.state).finish_non_exhaustive()
    }
}

impl State {
    fn failed(&self, error: String) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    fn reject(&self, error: String) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
        self.failed(error);
    }
}

type TopicOf = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Settings of a [`PubSubBridge`].
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
    /// Takes in a channel.
    pub fn channel(mut self, channel: impl Into<String>) -> Self {
        self.channels.push(channel.into());
        self
    }

    /// Takes in all channels that a pattern of Redis matches: `events:*`. A message whose channel is
    /// matched twice comes twice.
    pub fn pattern(mut self, pattern: impl Into<String>) -> Self {
        self.patterns.push(pattern.into());
        self
    }

    /// The topic is the channel's name without this in front of it; messages on other channels are
    /// rejected. Default: the whole name.
    pub fn strip_prefix(self, prefix: impl Into<String>) -> Self {
        let prefix = prefix.into();
        self.topic(move |channel| channel.strip_prefix(&*prefix).map(str::to_owned))
    }

    /// The topic of a channel's messages is what this makes of its name. Where it is `None`, or no
    /// [`Topic`], they are rejected.
    pub fn topic<F>(mut self, topic: F) -> Self
    where
        F: Fn(&str) -> Option<String> + Send + Sync + 'static,
    {
        self.topic = Arc::new(topic);
        self
    }

    /// How payloads are written. Default: [`Envelope::Raw`], they are the events' data.
    pub fn envelope(mut self, envelope: Envelope) -> Self {
        self.envelope = envelope;
        self
    }

    /// The name of events that have none of their own. Default: none.
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

    /// Begins. The bridge connects by itself, also later when the connection was lost:
    /// [`PubSubBridge::is_connected`] tells.
    ///
    /// Must be called within a tokio runtime; the bridge lives on it.
    ///
    /// # Errors
    ///
    /// - [`LogErrorKind::Refused`] for an address that is none, or when there is neither channel nor
    ///   pattern;
    /// - [`LogErrorKind::Closed`] outside of a tokio runtime.
    pub fn run(self, hub: Hub) -> Result<PubSubBridge, LogError> {
        let runtime = Handle::try_current().map_err(|error| {
            LogError::new(LogErrorKind::Closed, format!("redis: {error}")).with_source(error)
        })?;
        if self.channels.is_empty() && self.patterns.is_empty() {
            return Err(refused("bridge has neither channels nor patterns"));
        }
        #[cfg_attr(not(feature = "tls"), expect(unused_mut, reason = "only TLS has more to say"))]
        let mut endpoint = Endpoint::parse(&self.url, self.connect_timeout)?;
        #[cfg(feature = "tls")]
        if let Some(authority) = &self.authority {
            endpoint.trust(authority.clone());
        }
        let state = Arc::<State>::default();
        let bridging = Bridging {
            endpoint,
            settings: self,
            hub,
            state: state.clone(),
            publishing: JoinSet::new(),
        };
        let task = runtime.spawn(bridging.run()).abort_handle();
        Ok(PubSubBridge { state, task })
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

/// The task of a bridge.
struct Bridging {
    endpoint: Endpoint,
    settings: PubSubBridgeBuilder,
    hub: Hub,
    state: Arc<State>,
    /// What the hub's log has not answered yet.
    publishing: JoinSet<()>,
}

impl Bridging {
    /// No more messages are taken while so many are on their way to the hub's log.
    const MAX_PUBLISHING: usize = 1_000;

    async fn run(mut self) {
        let mut backoff = Backoff::default();
        while !self.hub.is_closed() {
            let (channels, patterns) = (&self.settings.channels, &self.settings.patterns);
            let result = match Subscriber::new(&self.endpoint, channels, patterns).await {
                Ok(subscriber) => {
                    backoff.reset();
                    self.state.is_connected.store(true, Ordering::Release);
                    self.hand_on(subscriber).await
                }
                Err(error) => Err(error),
            };
            self.state.is_connected.store(false, Ordering::Release);
            if let Err(error) = result {
                self.state.failed(failed("subscribe", &error).to_string());
            }
            backoff.wait().await;
        }
    }

    /// Until the link is lost, or the hub closed.
    async fn hand_on(&mut self, mut subscriber: Subscriber) -> redis::RedisResult<()> {
        while !self.hub.is_closed() {
            let message = subscriber.next().await?;
            self.state.received.fetch_add(1, Ordering::Relaxed);
            if let Err(error) = self.publish(&message) {
                self.state.reject(format!("channel {:?}: {error}", message.get_channel_name()));
            }
            while self.publishing.try_join_next().is_some() {}
            if self.publishing.len() >= Self::MAX_PUBLISHING {
                self.publishing.join_next().await;
            }
        }
        Ok(())
    }

    fn publish(&mut self, message: &Msg) -> Result<(), String> {
        let topic = (self.settings.topic)(message.get_channel_name());
        let topic = Topic::new(topic.ok_or_else(|| "is of no topic".to_owned())?);
        let topic = topic.map_err(|error| error.to_string())?;
        let append = self.settings.envelope.open(&topic, message.get_payload_bytes());
        let append = append.map_err(|error| error.to_string())?;
        let event = match &self.settings.event {
            Some(name) if append.event.name().is_none() => append.event.with_name(name.clone()),
            _ => append.event,
        };
        let publish = match append.key {
            Some(key) => self.hub.publish_once(key, append.topic, event),
            None => self.hub.publish(append.topic, event),
        };
        let state = self.state.clone();
        self.publishing.spawn(async move {
            match publish.await {
                Err(error) if error.kind() != PublishErrorKind::Closed => {
                    state.reject(error.to_string());
                }
                _ => {}
            }
        });
        Ok(())
    }
}
