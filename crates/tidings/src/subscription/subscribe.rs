use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::beginning::{Claim, Request};
use super::history::History;
use super::snapshot::{Snapshot, SnapshotHook};
use super::{Subscription, SubscriptionOptions};
use crate::client::Identity;
use crate::error::{FieldError, SubscribeError, SubscribeErrorCause};
use crate::heartbeat::Heartbeat;
use crate::hub::shared::{Defaults, Shared};
use crate::resume::{LastEventId, Resume};
use crate::topic::{Topic, TopicPattern};

/// Builds a subscription: see [`Hub::subscribe`](crate::Hub::subscribe).
///
/// A handler returns it as its response, through the adapter; [`Subscribe::open`] gives the stream of bytes.
#[must_use = "a subscription begins when it is opened or turned into a response"]
pub struct Subscribe {
    shared: Arc<Shared>,
    names: Result<Vec<TopicPattern>, FieldError>,
    identity: Identity,
    last_event_id: Option<LastEventId>,
    history: History,
    snapshot: Option<SnapshotHook>,
    options: SubscriptionOptions,
}

impl Subscribe {
    pub(crate) fn new(shared: Arc<Shared>, topics: Result<Vec<Topic>, FieldError>) -> Self {
        let options = SubscriptionOptions {
            sends_status: true,
            heartbeat: shared.defaults.heartbeat,
            retry: shared.defaults.retry,
        };
        let topics = topics.map(|topics| topics.into_iter().map(TopicPattern::from).collect());
        Self {
            shared,
            names: topics,
            identity: Identity::default(),
            last_event_id: None,
            history: History::default(),
            snapshot: None,
            options,
        }
    }

    /// Adds patterns: see [`Hub::subscribe_matching`](crate::Hub::subscribe_matching).
    pub fn matching<I>(mut self, patterns: I) -> Self
    where
        I: IntoIterator,
        I::Item: TryInto<TopicPattern>,
        <I::Item as TryInto<TopicPattern>>::Error: Into<FieldError>,
    {
        let patterns = patterns.into_iter().map(|pattern| pattern.try_into().map_err(Into::into));
        self.names = self.names.and_then(|topics| {
            topics.into_iter().map(Ok).chain(patterns).collect::<Result<Vec<_>, FieldError>>()
        });
        self
    }

    /// Names the user on whose behalf the client connects, for the registry. The name must come from the application's
    /// authentication, not from the client.
    pub fn principal(mut self, principal: impl fmt::Display) -> Self {
        self.identity.principal = Some(principal.to_string().into());
        self
    }

    /// Resumes where the request says that the client left off, and records its address.
    ///
    /// Takes an adapter's extractor, or a [`Resume`].
    pub fn resume(mut self, request: impl Into<Resume>) -> Self {
        let Resume { last_event_id, remote_addr } = request.into();
        self.last_event_id = last_event_id;
        self.identity.remote_addr = remote_addr.or(self.identity.remote_addr);
        self
    }

    /// Sets the client's address, for the registry: for instance as a trusted proxy reports it.
    pub fn remote_addr(mut self, addr: SocketAddr) -> Self {
        self.identity.remote_addr = Some(addr);
        self
    }

    /// Sets how much of what is retained a fresh client gets. Default: nothing, it starts live.
    pub fn history(mut self, history: History) -> Self {
        self.history = history;
        self
    }

    /// Sets what a client gets when it is reset, and when it is fresh: the current state, as the application has it, in
    /// place of old events.
    ///
    /// The hub first takes its position, then calls the hook, sends the events that it returns, and goes on with
    /// everything that was published after that position. So a change must be made *before* it is published: then the
    /// state contains it, and may also contain some changes that follow as events. The events of a snapshot get no
    /// ids; a client that is cut off in the middle of one gets another.
    ///
    /// When the hook fails, or takes longer than [`HubBuilder::snapshot_timeout`](crate::HubBuilder::snapshot_timeout),
    /// the stream ends with that error, and the client tries again. The hook runs where the stream is polled, or, with the
    /// direct transport, as a task of the server's runtime. A fresh client for which [`history`](Self::history) is set gets
    /// that instead of a snapshot.
    ///
    /// ```
    /// use tidings::{Event, Hub, Snapshot};
    ///
    /// # fn example(hub: Hub) -> Result<(), tidings::error::SubscribeError> {
    /// let subscription = hub
    ///     .subscribe(["stock"])
    ///     .snapshot(|| async {
    ///         let level = 17; // from the database
    ///         Ok(Snapshot::new([Event::json("level", &level)?]))
    ///     })
    ///     .open()?;
    /// # Ok(()) }
    /// # example(Hub::new()).unwrap();
    /// ```
    pub fn snapshot<F, Fut>(mut self, hook: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Snapshot, Box<dyn std::error::Error + Send + Sync>>>
            + Send
            + 'static,
    {
        self.snapshot = Some(SnapshotHook::new(hook));
        self
    }

    /// Whether the status event is sent. Default: yes. Without it the client does not learn of a reset, and cannot
    /// resume before its first event.
    pub fn status(mut self, send: bool) -> Self {
        self.options.sends_status = send;
        self
    }

    /// How long the stream may be idle before it sends a heartbeat; `None` for never. Default:
    /// the hub's.
    pub fn heartbeat(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.options.heartbeat = interval.into();
        self
    }

    /// How long the client is told to wait before it connects again, with a jitter of ±20 %; `None` to leave it to the
    /// client. Default: the hub's.
    pub fn retry(mut self, delay: impl Into<Option<Duration>>) -> Self {
        self.options.retry = delay.into();
        self
    }

    /// Opens the subscription: the client is in the registry from now on, until the returned stream is dropped, and
    /// no event that is published from now on is lost to it.
    ///
    /// # Errors
    ///
    /// When a topic's name was refused, when there is no topic, and when there are more than the hub allows:
    /// [`HubBuilder::topics_per_subscription`](crate::HubBuilder::topics_per_subscription). Nothing is created then.
    pub fn open(self) -> Result<Subscription, SubscribeError> {
        let mut names = self.names.map_err(SubscribeErrorCause::Topic)?;
        names.sort();
        names.dedup();
        check_number(&names, &self.shared.defaults)?;
        let Self { shared, history, snapshot, options, .. } = self;
        let (logs, head) = shared.subscribe(&names);
        let claim = self.last_event_id.map_or(Claim::None, |id| {
            id.position(&head.epoch).map_or(Claim::Unknown, Claim::Position)
        });
        let request = Request { claim, history, has_snapshot: snapshot.is_some() };
        let feed = shared.feeds.of(logs);
        let heartbeat = Heartbeat::new(shared.clock.clone(), options.heartbeat);
        let client = shared.registry.enter(feed, self.identity, heartbeat, head.position);
        client.heartbeat.start(&client);
        Ok(Subscription::new(shared, client, options, snapshot, (request, head)))
    }
}

/// The names are different ones.
fn check_number(names: &[TopicPattern], limits: &Defaults) -> Result<(), SubscribeErrorCause> {
    let patterns = names.iter().filter(|name| name.has_wildcard()).count();
    let topics = names.len() - patterns;
    let (count, limit) = (topics, limits.topics_per_subscription);
    if count > limit {
        return Err(SubscribeErrorCause::TooManyTopics { count, limit });
    }
    let (count, limit) = (patterns, limits.patterns_per_subscription);
    if count > limit {
        return Err(SubscribeErrorCause::TooManyPatterns { count, limit });
    }
    if names.is_empty() { Err(SubscribeErrorCause::NoTopics) } else { Ok(()) }
}

impl fmt::Debug for Subscribe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscribe")
            .field("topics", &self.names)
            .field("principal", &self.identity.principal)
            .field("last_event_id", &self.last_event_id)
            .field("history", &self.history)
            .finish_non_exhaustive()
    }
}
