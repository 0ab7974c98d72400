use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::beginning::{Claim, Request};
use super::history::History;
use super::revalidation::Check;
use super::rights::RightsOptions;
use super::snapshot::{SharedSnapshot, Snapshot};
use super::topics::feed_of;
use super::{Subscription, SubscriptionOptions};
use crate::client::{Client, Identity};
use crate::client_id::ClientId;
use crate::clock::millis;
use crate::end_reason::{End, EndReason};
use crate::error::{FieldError, FilterError, SubscribeError, SubscribeErrorCause};
use crate::filter::Filter;
use crate::heartbeat::Heartbeat;
use crate::heartbeat::timer::HeartbeatTimer;
use crate::hub::shared::Shared;
use crate::into_topics::IntoTopics;
use crate::last_event_id::LastEventId;
use crate::registry::Entered;
use crate::response::ErrorFormat;
use crate::resume::Resume;
use crate::stream_limit::StreamLimit;
use crate::telling;
use crate::topic::{Topic, TopicPattern};

/// Builds a subscription: see [`Hub::subscribe`](crate::Hub::subscribe).
///
/// An adapter's `Sse` makes a response of it: a handler that returns `Sse` ends with `.into()`, others say
/// `Sse::from(request.subscribe(&hub, "news"))`. [`Subscribe::open`] gives the stream of bytes.
#[must_use = "a subscription begins when it is opened or turned into a response"]
pub struct Subscribe {
    shared: Arc<Shared>,
    names: Result<Vec<TopicPattern>, FieldError>,
    filter: Result<Option<Filter>, FilterError>,
    identity: Identity,
    last_event_id: Option<LastEventId>,
    history: History,
    snapshot: Option<SharedSnapshot>,
    rights: RightsOptions,
    options: SubscriptionOptions,
    error_format: ErrorFormat,
}

impl Subscribe {
    pub(crate) fn new(shared: Arc<Shared>, topics: Result<Vec<Topic>, FieldError>) -> Self {
        let names = topics.map(|topics| topics.into_iter().map(TopicPattern::from).collect());
        Self::named(shared, names)
    }

    pub(super) fn named(shared: Arc<Shared>, names: Result<Vec<TopicPattern>, FieldError>) -> Self {
        let options = SubscriptionOptions {
            sends_status: true,
            heartbeat: shared.defaults.heartbeat.clone(),
            retry: shared.defaults.retry,
            interval: None,
            is_listed: true,
        };
        Self {
            shared,
            names,
            filter: Ok(None),
            identity: Identity::default(),
            last_event_id: None,
            history: History::default(),
            snapshot: None,
            rights: RightsOptions::default(),
            options,
            error_format: ErrorFormat::default(),
        }
    }

    /// Adds patterns: see [`Hub::subscribe_matching`](crate::Hub::subscribe_matching).
    pub fn matching<K>(mut self, patterns: impl IntoTopics<K, TopicPattern>) -> Self {
        self.names = self.names.and_then(|mut names| {
            names.extend(patterns.into_topics()?);
            Ok(names)
        });
        self
    }

    /// Names the user on whose behalf the client connects: to [end its streams](crate::Clients::close_principal), for
    /// [limits](crate::HubBuilder::streams_per_principal), and for [presence](crate::presence), which tells others the name. It
    /// must come from the application's authentication, not from the client.
    pub fn principal(mut self, principal: impl fmt::Display) -> Self {
        self.identity.principal = Some(principal.to_string().into());
        self
    }

    /// Names what the client counts for besides its principal: a device, an API key, a network, the tab of a page. Only
    /// [`HubBuilder::streams_per_client_key`](crate::HubBuilder::streams_per_client_key) looks at it. As with the principal, a
    /// name that a client may choose limits nobody.
    pub fn client_key(mut self, key: impl fmt::Display) -> Self {
        self.identity.client_key = Some(key.to_string().into());
        self
    }

    /// As what whoever operates the hub looks on with, such as a console: the registry has it, with its principal; but nobody is
    /// present by it, and it takes no place of those that there are for users.
    #[doc(hidden)]
    pub fn observer(mut self) -> Self {
        self.identity.is_observer = true;
        self
    }

    /// Resumes where the request says that the client left off, and records its address.
    ///
    /// Takes an adapter's extractor, or a [`Resume`].
    pub fn resume(mut self, request: impl Into<Resume>) -> Self {
        let Resume { last_event_id, remote_addr, error_format } = request.into();
        self.error_format = error_format;
        self.last_event_id = last_event_id;
        self.identity.remote_addr = remote_addr.or(self.identity.remote_addr);
        self
    }

    /// Sets the client's address, for the registry: for instance as a trusted proxy reports it.
    pub fn remote_addr(mut self, addr: SocketAddr) -> Self {
        self.identity.remote_addr = Some(addr);
        self
    }

    /// Leaves out the events of its topics that do not match. Several filters must all match.
    ///
    /// To the client, events that are left out are not in the topic: it is not sent them, live or as history; they are not
    /// counted in [`History::Last`] or, in memory, in [`Published::subscribers`](crate::Published::subscribers); and nothing tells
    /// what they were. A snapshot is the application's, and is sent as it is made. The last event of a topic that has ended comes to
    /// everybody.
    ///
    /// A filter is what a client may see only if the application makes it, again at every request. What a client asks for
    /// comes in addition:
    ///
    /// ```
    /// use tidings::{Event, Filter, Hub, Resume};
    ///
    /// # fn handler(hub: &Hub, request: &Resume) -> Result<(), Box<dyn std::error::Error>> {
    /// # let (role_of_the_session, level_of_the_query) = ("admin", 2);
    /// let subscription = request
    ///     .subscribe(hub, "alerts")
    ///     .filter(Filter::equal("role", role_of_the_session)?)
    ///     .filter(Filter::at_least("severity", level_of_the_query)?)
    ///     .open()?;
    ///
    /// let event = |severity| Event::new("disk is full").with_attribute("role", "admin")?.with_attribute("severity", severity);
    /// assert_eq!(hub.publish("alerts", event(1)?).wait()?.subscribers(), 0);
    /// assert_eq!(hub.publish("alerts", event(2)?).wait()?.subscribers(), 1);
    /// # Ok(()) }
    /// # handler(&Hub::new(), &Resume::new()).unwrap();
    /// ```
    ///
    /// Streams of the same topics with equal filters share what is read and written for them. While such a stream is
    /// idle, its heartbeats also bring the id of where it is (a block of an `id` and nothing else), so that it is not reset for
    /// what it would not have been sent. Browsers take it, but for Firefox, which goes on from its last event.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = self.filter.and_then(|before| match before {
            Some(before) => Filter::all([before, filter]).map(Some),
            None => Ok(Some(filter)),
        });
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
    /// state contains it, and may also contain some changes that follow as events. Only the last event of a snapshot
    /// gets an id, that position; a client that is cut off before it gets another snapshot.
    ///
    /// Each stream calls it for itself, so it may depend on the user; where it does not,
    /// [`shared_snapshot`](Self::shared_snapshot) saves calls. When the hook fails, or takes longer than [`HubBuilder::snapshot_timeout`](crate::HubBuilder::snapshot_timeout),
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
        self.snapshot = Some(SharedSnapshot::new(hook));
        self
    }

    /// The same with a hook whose calls the streams share that have it: for the state of something that many clients show.
    ///
    /// Streams that need a snapshot while a call runs wait for the next one, for up to twice the time limit in all.
    pub fn shared_snapshot(mut self, hook: &SharedSnapshot) -> Self {
        self.snapshot = Some(hook.clone());
        self
    }

    /// Ends the stream at a time, such as that at which the client's token expires: with an
    /// [`END_EVENT`](crate::END_EVENT) of the reason [`Expired`](crate::EndReason::Expired), and a `retry` with the jitter, so
    /// that the client comes back and is authenticated again. It resumes, and misses nothing. Default: never.
    ///
    /// No event is sent later than 50 ms after that time. A time that has passed ends the stream after its first bytes. The
    /// wall clock is read now; what happens to it afterwards changes nothing.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use tidings::Hub;
    ///
    /// # fn example(hub: Hub) -> Result<(), tidings::error::SubscribeError> {
    /// let token_expires_at = SystemTime::now() + Duration::from_secs(900);
    /// let subscription = hub.subscribe("orders").expires_at(token_expires_at).open()?;
    /// # Ok(()) }
    /// # example(Hub::new()).unwrap();
    /// ```
    pub fn expires_at(self, at: SystemTime) -> Self {
        self.expires_in(at.duration_since(SystemTime::now()).unwrap_or_default())
    }

    /// The same, after a time from now on.
    pub fn expires_in(mut self, after: Duration) -> Self {
        self.rights.expires_at = Some(self.shared.clock.now().saturating_add(millis(after)));
        self
    }

    /// Asks the application from time to time whether the client may stay: `every` so often, with a jitter of ±20 %, and for
    /// the first time at random within that time, so that the checks of many streams are spread. Default: never.
    ///
    /// - `Ok(true)`: the stream goes on.
    /// - `Ok(false)`: the stream ends, with an [`END_EVENT`](crate::END_EVENT) of the reason
    ///   [`Revoked`](crate::EndReason::Revoked). A browser's EventSource connects again, and the handler must refuse it then.
    /// - `Err`: it is not known, because the check itself has failed: a database does not answer. So does a check that panics,
    ///   or takes longer than `every` or 10 seconds. The stream goes on. After three such checks in a row it ends, with the
    ///   reason [`Expired`](crate::EndReason::Expired): the client comes back, and the handler decides.
    ///
    /// So a refusal takes effect within 1.2 times `every`, plus 50 ms and the time of the check, and a client whose right cannot
    /// be checked stays for no longer than three times that. A client that has not read for so long that the check could not be
    /// made is sent nothing before it is.
    ///
    /// The check runs where the stream is polled, or, with the direct transport, as a task of the server's runtime; events are
    /// sent meanwhile. An `every` below 50 ms is 50 ms.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidings::Hub;
    ///
    /// # async fn may_read(user: u64) -> Result<bool, std::io::Error> { Ok(true) }
    /// # fn example(hub: Hub, user: u64) -> Result<(), tidings::error::SubscribeError> {
    /// let subscription = hub
    ///     .subscribe("orders")
    ///     .revalidate(Duration::from_secs(60), move || async move { Ok(may_read(user).await?) })
    ///     .open()?;
    /// # Ok(()) }
    /// # example(Hub::new(), 42).unwrap();
    /// ```
    pub fn revalidate<F, Fut>(mut self, every: Duration, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<bool, Box<dyn std::error::Error + Send + Sync>>>
            + Send
            + 'static,
    {
        self.rights.check = Some(Check::new(every, check));
        self
    }

    /// Whether the status event is sent. Default: yes. Without it the client cannot resume before its first event, and
    /// cannot be told of a reset:
    ///
    /// - Where it would be reset in mid-stream, its stream ends [with an error](crate::error::StreamErrorKind::Reset)
    ///   instead. So there is no gap within a connection.
    /// - A connection that cannot be resumed begins as after a reset, with all that is retained or a snapshot. The client must
    ///   take each connection for a new beginning. The handler knows better: [`Subscription::status`].
    pub fn status(mut self, send: bool) -> Self {
        self.options.sends_status = send;
        self
    }

    /// The least interval between two writes of events to the stream: what is published meanwhile leaves as one write, or, of a
    /// topic that [keeps the newest event of each key](crate::Retention::latest_per_key), as the newest of each key. Zero for
    /// none. Default: the [hub's](crate::HubBuilder::at_most_every) for the topics that it has. In milliseconds, rounded up.
    ///
    /// The first event after a quiet time is sent at once. Streams of the same topics and interval are served at the same
    /// time, and what is published until then costs nothing for each. What a client has missed, snapshots, the status and
    /// heartbeats have no such interval.
    pub fn at_most_every(mut self, interval: Duration) -> Self {
        self.options.interval = Some(interval);
        self
    }

    /// What the stream sends when it is idle, and how long it is idle before; `None` for nothing, and a duration for an
    /// empty comment. Default: the hub's.
    pub fn heartbeat(mut self, heartbeat: impl Into<Heartbeat>) -> Self {
        self.options.heartbeat = heartbeat.into();
        self
    }

    /// How long the client is told to wait before it connects again, with a jitter of ±20 %; `None` to leave it to the
    /// client. Default: the hub's.
    ///
    /// The client is told so at the beginning of the stream, and again by an [`END_EVENT`](crate::END_EVENT) after which it is to
    /// come back: then ten times as long if a newer stream has [taken its place](crate::EndReason::Superseded).
    pub fn retry(mut self, delay: impl Into<Option<Duration>>) -> Self {
        self.options.retry = delay.into();
        self
    }

    /// As what reads history for the application: nothing but events and the status, and not a client.
    pub(super) fn unlisted(mut self) -> Self {
        self.options = SubscriptionOptions {
            sends_status: true,
            heartbeat: Heartbeat::off(),
            retry: None,
            interval: Some(Duration::ZERO),
            is_listed: false,
        };
        self
    }

    /// Reads a pattern for the hub itself, which is no client, and has no limits.
    pub(crate) fn open_observer(
        shared: Arc<Shared>,
        pattern: TopicPattern,
    ) -> Option<Subscription> {
        let observer = Self::named(shared, Ok(Vec::new())).history(History::All).unlisted();
        observer.open_checked(&[pattern], None).ok()
    }

    /// Opens the subscription: the client is in the registry from now on, until the returned stream is dropped, and
    /// no event that is published from now on is lost to it.
    ///
    /// # Errors
    ///
    /// When the name of a topic or pattern was refused, when there is none, and when there are more than the hub allows:
    /// [`HubBuilder::topics_per_subscription`](crate::HubBuilder::topics_per_subscription),
    /// [`HubBuilder::patterns_per_subscription`](crate::HubBuilder::patterns_per_subscription). When several filters are too
    /// large together. When all topics [are finished](crate::Hub::finish) and the client has their last events. Nothing is
    /// created then. Also when there is one stream too many, on a hub that [wants a status](crate::OverLimit::Status) for it.
    ///
    /// Otherwise a stream that is one too many, or comes to a hub that [drains](crate::Hub::drain), is open, and has nothing but
    /// its [end](crate::END_EVENT). It is not in the registry, and its [status](Subscription::status) stays
    /// [`Pending`](crate::Status::Pending).
    pub fn open(mut self) -> Result<Subscription, SubscribeError> {
        let names = std::mem::replace(&mut self.names, Ok(Vec::new()));
        let filter = std::mem::replace(&mut self.filter, Ok(None));
        let (shared, error_format) = (self.shared.clone(), self.error_format);
        let principal = self.identity.principal.clone();
        let opened = self.shared.defaults.check_names(names).and_then(|names| {
            self.open_checked(&names, filter.map_err(SubscribeErrorCause::Filter)?.as_ref())
        });
        opened.map_err(|cause| {
            if matches!(cause, SubscribeErrorCause::Finished) {
                shared.counters.subscriptions_finished.add();
                return cause.into();
            }
            let error = SubscribeError::from(cause).with_format(error_format);
            shared.counters.subscriptions_refused.add();
            tracing::debug!(
                target: telling::STREAM,
                principal = principal.as_deref(),
                reason = %error,
                "subscription refused"
            );
            error
        })
    }

    fn open_checked(
        self,
        names: &[TopicPattern],
        filter: Option<&Filter>,
    ) -> Result<Subscription, SubscribeErrorCause> {
        if self.last_event_id.as_ref().is_some_and(|id| self.shared.has_the_ends(names, id)) {
            return Err(SubscribeErrorCause::Finished);
        }
        let Self { shared, history, snapshot, rights, options, identity, .. } = self;
        if options.is_listed && shared.turns_away() {
            let end = End::new(EndReason::Drained);
            return Ok(Subscription::turned_away(shared, identity, end, options.retry));
        }
        let limits = shared.defaults.stream_limits;
        let (logs, head) = shared.subscribe(names, filter, options.is_listed);
        let is_counted = options.is_listed && !identity.is_observer;
        let is_crowded = || {
            logs.iter().any(|log| {
                let subscribers = log.whole().lock().all_subscribers();
                // These are looked up only where it matters, and after the others were counted.
                let observers = || shared.registry.observers_on(&log.name);
                subscribers > limits.of_topic
                    && subscribers.saturating_sub(observers()) > limits.of_topic
            })
        };
        if is_counted && limits.of_topic < usize::MAX && is_crowded() {
            shared.unsubscribe(&logs);
            let limit = StreamLimit::Topic;
            return Subscription::one_too_many(shared, identity, limit, options.retry);
        }
        let claim = self.last_event_id.map_or(Claim::None, |id| {
            id.position(&head.epoch).map_or(Claim::Unknown, Claim::Position)
        });
        let (has_snapshot, is_client) = (snapshot.is_some(), options.is_listed);
        let request = Request { claim, history, has_snapshot, is_client };
        let feed = feed_of(logs, options.interval, &shared);
        let heartbeat = HeartbeatTimer::new(shared.clock.clone(), options.heartbeat.interval);
        let client_key = identity.client_key.clone();
        let client = if options.is_listed {
            let registry = &shared.registry;
            match registry.enter(feed.clone(), identity.clone(), heartbeat, head.position, &limits)
            {
                Ok(Entered { client, superseded }) => {
                    superseded.iter().for_each(|older| older.end(EndReason::Superseded));
                    client
                }
                Err(limit) => {
                    shared.unsubscribe(&feed.topics);
                    return Subscription::one_too_many(shared, identity, limit, options.retry);
                }
            }
        } else {
            let id = ClientId::random();
            Arc::new(Client::new(id, feed, identity, heartbeat, head.position))
        };
        client.heartbeat.start(&client);
        let mut subscription =
            Subscription::new(shared, client, options, (snapshot, rights), (request, head));
        if subscription.is_listed {
            subscription.on_entered(client_key);
        }
        Ok(subscription)
    }
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
