//! The hub: where events come in.

pub(crate) mod builder;
mod census;
pub(crate) mod drain;
mod follower;
pub(crate) mod journal;
mod link;
pub(crate) mod pages;
pub(crate) mod publish;
pub(crate) mod published;
pub(crate) mod replication;
pub(crate) mod search;
pub(crate) mod shared;
pub(crate) mod sources;

use std::sync::Arc;
use std::time::Duration;

use crate::backend::IdempotencyKey;
use crate::client_handle::ClientHandle;
use crate::client_id::ClientId;
use crate::clients::Clients;
use crate::cluster::Cluster;
use crate::cluster::membership::Membership;
use crate::error::{FieldError, PublishError};
use crate::event::Event;
use crate::field::EventId;
use crate::health::Health;
use crate::into_topics::IntoTopics;
use crate::metrics::Metrics;
use crate::presence::{self, ReadPresence};
use crate::server_event::ServerEvent;
use crate::source::Source;
use crate::subscription::history::History;
use crate::subscription::read_history::ReadHistory;
use crate::subscription::subscribe::Subscribe;
use crate::sync::atomic::Ordering;
use crate::telling;
use crate::topic::{Topic, TopicPattern};
use crate::topic_info::TopicInfo;
use builder::HubBuilder;
use drain::Drain;
use publish::Publish;
use shared::Shared;

/// A hub of topics: events are published to it, and clients subscribe to it.
///
/// A cheap handle: clones are handles to the same hub. All methods take `&self`, and can be called from any thread, in
/// async code or outside it. When the last handle is dropped, the open streams end.
///
/// ```
/// use tidings::{Event, Hub};
///
/// let hub = Hub::new();
/// let published = hub.publish("orders", Event::named("created", "order 17")?).wait()?;
/// println!("event {} for {} clients", published.id(), published.subscribers());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Hub(Arc<Handles>);

/// Exists as long as there is a handle.
#[derive(Debug)]
struct Handles(Arc<Shared>);

impl Drop for Handles {
    fn drop(&mut self) {
        self.0.close();
        self.0.signal(Membership::leave);
        if let Some(replication) = &self.0.replication {
            replication.log.stop();
        }
    }
}

impl Hub {
    /// A hub in memory with the defaults of [`HubBuilder`].
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Settings for a hub.
    pub fn builder() -> HubBuilder {
        HubBuilder::new()
    }

    pub(crate) fn from_shared(shared: Arc<Shared>) -> Self {
        Self(Arc::new(Handles(shared)))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.0
    }

    /// Publishes an event to a topic: to all clients that are subscribed, and to those that resume while it is retained.
    ///
    /// The event is encoded once, gets the hub's next id and wakes the clients that wait for it. The call never waits for a
    /// client. It returns the outcome, which async code awaits and other code gets with [`Publish::wait`]; the event is
    /// published either way.
    ///
    /// # Errors
    ///
    /// The outcome is a [`PublishError`] when the topic's name is not valid, when the topic [is finished](Self::finish), when the
    /// hub is closed, and when the event has an
    /// id (the hub gives it one), has a reserved name (`tidings:…`), has neither name nor data (no client would see it), or
    /// is larger than [`HubBuilder::max_event_bytes`]. Nothing is published then. On a hub with a [log](crate::backend), also
    /// when the log refuses the event, or does not acknowledge it in time.
    ///
    /// ```
    /// use tidings::{Event, Hub};
    ///
    /// # async fn example(hub: Hub) -> Result<(), Box<dyn std::error::Error>> {
    /// let published = hub.publish("orders", Event::json("created", &17)?).await?;
    /// println!("{}", published.id());
    /// # Ok(()) }
    /// ```
    pub fn publish<T>(&self, topic: T, event: Event) -> Publish
    where
        T: TryInto<Topic>,
        T::Error: Into<FieldError>,
    {
        publish::publish(self.shared(), None, topic.try_into().map_err(Into::into), event)
    }

    /// Publishes an event unless one with the same key was published before: for a publisher that tries again after a timeout
    /// or a restart, and does not know whether the first attempt succeeded.
    ///
    /// A key is valid for the whole hub, and for every node on its log, for a window: two minutes unless it is set, by
    /// [`HubBuilder::idempotency_window`] or by the log. The outcome is that of the first attempt, and [`Published::is_duplicate`](published::Published::is_duplicate) says so; topic and event are not
    /// compared.
    ///
    /// # Errors
    ///
    /// As [`Hub::publish`], and when the key is not valid.
    ///
    /// ```
    /// use tidings::{Event, Hub};
    ///
    /// let hub = Hub::new();
    /// let publish = || hub.publish_once("order-17/created", "orders", Event::new("order 17")).wait();
    /// let (first, second) = (publish()?, publish()?);
    /// assert_eq!(first.id(), second.id());
    /// assert!(second.is_duplicate());
    /// # Ok::<(), tidings::error::PublishError>(())
    /// ```
    pub fn publish_once<K, T>(&self, key: K, topic: T, event: Event) -> Publish
    where
        K: TryInto<IdempotencyKey>,
        K::Error: Into<FieldError>,
        T: TryInto<Topic>,
        T::Error: Into<FieldError>,
    {
        let key = key.try_into().map_err(Into::into);
        publish::publish(self.shared(), Some(key), topic.try_into().map_err(Into::into), event)
    }

    /// Publishes the last event of a topic: of a job, an import, an answer. Nothing follows it.
    ///
    /// A stream ends when all its topics are finished and it has sent everything up to their last events, with an
    /// [`END_EVENT`](crate::END_EVENT) whose reason is [`Finished`](crate::EndReason::Finished). A client that comes back and has
    /// them is answered with 204, which stops an EventSource for good; one that comes for the first time, or has not got that
    /// far, is sent what it asks for, and then the end. Patterns are never finished. On a log, a node that does not have the last
    /// events asks for those of at most 64 topics of a stream; one with more stays open.
    ///
    /// The topic is finished as long as it retains its last event, or as long as the hub's [log](crate::backend) has it. After
    /// that it is as new.
    ///
    /// # Errors
    ///
    /// As [`Hub::publish`]. Publishing to a topic that is finished is [`Finished`](crate::error::PublishErrorKind::Finished).
    /// An event that another node publishes at the same moment, and that a log such as NATS puts after the last one, is
    /// [in doubt](crate::backend::LogErrorKind::Unacknowledged): no node shows it that still has the last event.
    ///
    /// ```
    /// use tidings::error::PublishErrorKind;
    /// use tidings::{Event, Hub};
    ///
    /// let hub = Hub::new();
    /// hub.publish("job:17", Event::named("progress", "50")?).wait()?;
    /// hub.finish("job:17", Event::named("done", "17 rows")?).wait()?;
    ///
    /// let error = hub.publish("job:17", Event::new("late")).wait().unwrap_err();
    /// assert_eq!(error.kind(), PublishErrorKind::Finished);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn finish<T>(&self, topic: T, mut last_event: Event) -> Publish
    where
        T: TryInto<Topic>,
        T::Error: Into<FieldError>,
    {
        last_event.tags_mut().is_last = true;
        self.publish(topic, last_event)
    }

    /// The same with a key, as [`Hub::publish_once`]: who tries again gets the id of the first attempt.
    ///
    /// # Errors
    ///
    /// As [`Hub::finish`], and when the key is not valid.
    pub fn finish_once<K, T>(&self, key: K, topic: T, mut last_event: Event) -> Publish
    where
        K: TryInto<IdempotencyKey>,
        K::Error: Into<FieldError>,
        T: TryInto<Topic>,
        T::Error: Into<FieldError>,
    {
        last_event.tags_mut().is_last = true;
        self.publish_once(key, topic, last_event)
    }

    /// Sends an event to the clients that are subscribed to a topic now, on this node and, on a shared log, on the others:
    /// "somebody is typing". The event has no id, is not retained, and does not move the clients' positions. Returns the
    /// number of these clients on this node.
    ///
    /// A client that reads too slowly may miss it, and does not learn of it.
    ///
    /// # Errors
    ///
    /// As [`Hub::publish`], except that an event may have neither name nor data, such as a comment, that a finished topic refuses
    /// it only if it has subscribers here, and that a log's failures are not told.
    ///
    /// ```
    /// use tidings::{Event, Hub};
    ///
    /// let hub = Hub::new();
    /// assert_eq!(hub.publish_ephemeral("chat", Event::named("typing", "ada")?)?, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn publish_ephemeral<T>(&self, topic: T, event: Event) -> Result<usize, PublishError>
    where
        T: TryInto<Topic>,
        T::Error: Into<FieldError>,
    {
        publish::publish_ephemeral(self.shared(), topic.try_into().map_err(Into::into), event)
    }

    /// Publishes on behalf of a source: a user, an API key, whatever the application limits. What it may publish is set by
    /// [`HubBuilder::publications_per_source`]; without that, nothing is limited. The name must come from the
    /// application's authentication, not from the client.
    ///
    /// ```
    /// use tidings::{Event, Hub, error::PublishErrorKind};
    ///
    /// let hub = Hub::builder().publications_per_source(10, 2).build();
    /// let ada = hub.source("ada");
    /// ada.publish("chat", Event::new("one")).wait()?;
    /// ada.publish("chat", Event::new("two")).wait()?;
    /// let error = ada.publish("chat", Event::new("three")).wait().unwrap_err();
    /// assert_eq!(error.kind(), PublishErrorKind::TooManyPublications);
    /// # Ok::<(), tidings::error::PublishError>(())
    /// ```
    pub fn source(&self, name: impl std::fmt::Display) -> Source {
        Source::new(self.clone(), name)
    }

    /// Subscribes a client to one or many topics, for programs without HTTP. A handler calls
    /// [`subscribe` of its request](crate::Resume::subscribe), which also resumes where the client left off.
    ///
    /// The topics that the handler passes decide what the client may see, again at every reconnect. [`Subscribe::open`]
    /// returns an error for a bad topic name, or for none.
    ///
    /// ```
    /// use tidings::Hub;
    ///
    /// # fn example(hub: &Hub, user_id: u64) -> Result<(), tidings::error::SubscribeError> {
    /// let subscription = hub.subscribe(("orders", format!("user:{user_id}"))).principal(user_id).open()?;
    /// # Ok(()) }
    /// # example(&Hub::new(), 1).unwrap();
    /// ```
    pub fn subscribe<K>(&self, topics: impl IntoTopics<K>) -> Subscribe {
        Subscribe::new(self.shared().clone(), topics.into_topics())
    }

    /// Subscribes a client to patterns: `sensors/*` is every topic whose name begins with `sensors/`, also one that is created
    /// later.
    ///
    /// A client gets each event once, in the hub's order, however many of its patterns and topics match it, and resumes as
    /// with topics that are named one by one. Patterns decide what the client may see: they must come from the application,
    /// never from the client.
    ///
    /// ```
    /// use tidings::{Hub, Resume};
    ///
    /// # fn handler(hub: &Hub, building: u64, request: Resume) -> Result<(), tidings::error::SubscribeError> {
    /// let subscription =
    ///     request.subscribe_matching(hub, format!("building:{building}:*")).open()?;
    /// # Ok(()) }
    /// # handler(&Hub::new(), 1, Resume::new()).unwrap();
    /// ```
    pub fn subscribe_matching<K>(&self, patterns: impl IntoTopics<K, TopicPattern>) -> Subscribe {
        Subscribe::new(self.shared().clone(), Ok(Vec::new())).matching(patterns)
    }

    /// The position of now, as the id from which a client goes on: for a page that is rendered from the application's own
    /// state, and opens its stream with `?lastEventId=`.
    ///
    /// Ask for it *before* the state is read. A client that [resumes](Subscribe::resume) here is then sent every event that
    /// the state may lack. If a change is made before its event is published, it may also be sent some that the state
    /// contains.
    ///
    /// This costs a lock. On a [log](crate::backend), it is the newest position that this node knows of: its own publications
    /// are before it, and those of other nodes may be after it. On any node, events that are published after this call
    /// are.
    ///
    /// ```
    /// use tidings::{Event, Hub, Resume};
    ///
    /// let hub = Hub::new();
    /// let position = hub.position();
    /// hub.publish("news", Event::new("hello")).wait()?;
    ///
    /// // Later, the page opens its stream.
    /// let request = Resume::new().with_last_event_id(position.as_str());
    /// let stream = request.subscribe(&hub, "news").open()?;
    /// assert_eq!(stream.status(), tidings::Status::Resumed);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn position(&self) -> EventId {
        self.shared().newest_known()
    }

    /// Reads what topics retain, as data: the events that a fresh client would be sent with this [`History`], and the
    /// position where it would go on. For a page or a JSON endpoint that shows them, and then opens its stream with
    /// `?lastEventId=`: there is no gap between the two, and no event twice.
    ///
    /// The rules are those of a subscription: what a hub's memory does not have is read from its [log](crate::backend), and a
    /// topic that the log does not deliver to this node yet is waited for. It is not a client, though: neither the registry nor
    /// the metrics of clients show it. Where the client's stream has a [filter](Subscribe::filter), give this the same one:
    /// [`ReadHistory::filter`]. Events come as a client receives them, without their topics.
    ///
    /// # Errors
    ///
    /// As [`Subscribe::open`]. Also [`Unavailable`](crate::error::SubscribeErrorKind::Unavailable), when nothing comes from the
    /// hub's log for about ten seconds, or when the topics lose events faster than they are read.
    ///
    /// ```
    /// use tidings::{Event, History, Hub};
    ///
    /// # async fn example(hub: Hub) -> Result<(), Box<dyn std::error::Error>> {
    /// let history = hub.history("news", History::Last(10)).await?;
    /// for event in &history.events {
    ///     println!("{}: {}", event.event(), event.data());
    /// }
    /// println!("new EventSource('/events?lastEventId={}')", history.position);
    /// # Ok(()) }
    /// # let hub = Hub::new();
    /// # hub.publish("news", Event::new("hello")).wait().unwrap();
    /// # futures_executor::block_on(example(hub)).unwrap();
    /// ```
    pub fn history<K>(&self, topics: impl IntoTopics<K>, history: History) -> ReadHistory {
        let topics = topics.into_topics();
        let names = topics.map(|topics| topics.into_iter().map(TopicPattern::from).collect());
        ReadHistory::new(self.shared().clone(), names, history)
    }

    /// The same for [patterns](Self::subscribe_matching).
    pub fn history_matching<K>(
        &self,
        patterns: impl IntoTopics<K, TopicPattern>,
        history: History,
    ) -> ReadHistory {
        ReadHistory::new(self.shared().clone(), patterns.into_topics(), history)
    }

    /// Who is on a topic, on all nodes, in the order in which they came: see [`presence`](crate::presence). Nobody, if the hub
    /// [does not know](HubBuilder::presence) who is on this topic.
    ///
    /// # Errors
    ///
    /// As [`Hub::history`], of which this is the reading of [one topic](crate::presence::topic_of).
    ///
    /// ```
    /// # async fn example(hub: tidings::Hub) -> Result<(), tidings::error::SubscribeError> {
    /// for present in hub.presence("room/1").await? {
    ///     println!("{} on {} nodes", present.principal, present.nodes.len());
    /// }
    /// # Ok(()) }
    /// ```
    pub fn presence<T>(&self, topic: T) -> ReadPresence
    where
        T: TryInto<Topic>,
        T::Error: Into<FieldError>,
    {
        let names = presence::topic_of(topic).map(|topic| vec![topic.into()]);
        ReadPresence::new(ReadHistory::new(self.shared().clone(), names, History::All))
    }

    /// The connected clients, and the means to disconnect them.
    ///
    /// ```
    /// # let hub = tidings::Hub::new();
    /// println!("{} clients", hub.clients().count());
    /// let ended = hub.clients().close_principal("42");
    /// # assert_eq!(ended, 0);
    /// ```
    pub fn clients(&self) -> Clients<'_> {
        Clients::new(self.shared())
    }

    /// One open stream, to change its topics.
    ///
    /// ```
    /// # let hub = tidings::Hub::new();
    /// # let stream = hub.subscribe("room:1").open()?;
    /// # let id = stream.client_id();
    /// let is_open = hub.client(id).subscribe("room:2")?;
    /// # assert!(is_open);
    /// # Ok::<(), tidings::error::SubscribeError>(())
    /// ```
    pub fn client(&self, id: ClientId) -> ClientHandle {
        ClientHandle::new(self.shared().clone(), id)
    }

    /// The state of the hub: whether it is ready for new clients, and if not, why. For readiness probes.
    ///
    /// ```
    /// let hub = tidings::Hub::new();
    /// let health = hub.health();
    /// assert!(health.is_ready());
    /// println!("{health}");
    /// ```
    pub fn health(&self) -> Health {
        self.shared().health()
    }

    /// The figures of this hub: as data, or in the text format of Prometheus.
    ///
    /// ```
    /// let hub = tidings::Hub::new();
    /// assert!(hub.metrics().to_prometheus().contains("\ntidings_clients 0\n"));
    /// ```
    pub fn metrics(&self) -> Metrics {
        self.shared().metrics()
    }

    /// Every topic that has retained events or subscribers by its name, sorted by name. This looks at each of them.
    ///
    /// ```
    /// use tidings::{Event, Hub};
    ///
    /// let hub = Hub::new();
    /// hub.publish("news", Event::new("hello")).wait()?;
    /// let topics = hub.topics();
    /// assert_eq!((topics[0].topic.as_str(), topics[0].events), ("news", 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn topics(&self) -> Vec<TopicInfo> {
        let mut topics = Vec::new();
        self.shared().for_each_topic("", |log| topics.extend(TopicInfo::of(log)));
        topics
    }

    /// Counts what a server of this hub's streams has done, for [`metrics`](Self::metrics). `serve` of the adapters does
    /// this.
    ///
    /// ```
    /// let hub = tidings::Hub::new();
    /// hub.report(tidings::ServerEvent::ConnectionRefused);
    /// assert_eq!(hub.metrics().connections_refused, 1);
    /// ```
    pub fn report(&self, event: ServerEvent) {
        self.shared().counters.reported(event);
        match event {
            ServerEvent::WriterRestarted => {
                tracing::error!(target: telling::CONNECTION, "a writer thread failed, and was restarted");
            }
            ServerEvent::StreamStalled => {
                tracing::debug!(target: telling::CONNECTION, "stream stalled, and was reset");
            }
            event => {
                tracing::debug!(target: telling::CONNECTION, reason = ?event, "connection ended")
            }
        }
    }

    /// All nodes on the hub's log, this one among them: to count clients, to end their streams and to change their topics, wherever
    /// they are. It does not list clients.
    ///
    /// ```
    /// # async fn example(hub: tidings::Hub) {
    /// println!("{} clients on {} nodes", hub.cluster().count(), hub.cluster().nodes().len());
    /// let answer = hub.cluster().close_principal("42").await;
    /// if !answer.silent.is_empty() {
    ///     println!("{} streams closed; {} nodes did not answer", answer.total, answer.silent.len());
    /// }
    /// # }
    /// ```
    pub fn cluster(&self) -> Cluster<'_> {
        Cluster::new(self.shared())
    }

    /// Ends all streams, each when it has sent what was published until now. For a clean shutdown: servers wait for open
    /// responses. Publishing fails from now on. A client that still connects is sent what it missed, and its stream ends. A
    /// stream that waits for a snapshot, or whose [log](crate::backend) gives nothing for two seconds, or an error, ends
    /// without: it resumes elsewhere.
    pub fn close(&self) {
        self.shared().close();
    }

    /// Ends all streams over a time, evenly, so that their clients come back one after the other: for a deploy, where the
    /// process is about to end and others take its clients. `serve` of the adapters does it at a shutdown.
    ///
    /// From now on the hub is not [ready](Self::health), so that load balancers send new clients elsewhere, and those that
    /// come all the same are turned away: a stream of nothing but `tidings:end` with the reason `drained`, and a `retry`
    /// with its own jitter. Each open stream is sent what was published until its turn comes, and the same end; one that
    /// waits for a snapshot or for the history of an added topic, or whose log gives nothing for two seconds, or an error, is
    /// sent the end alone. Their order is random. The hub goes on otherwise, until it is [closed](Self::close):
    /// publications are accepted, and reach the streams that are left.
    ///
    /// The future is ready when no stream is left, or when the time is over and all were told; the drain goes on without
    /// it. It cannot be taken back. When it is asked for again, the earlier end counts.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # async fn example(hub: tidings::Hub) {
    /// hub.drain(Duration::from_secs(30)).await;
    /// hub.close();
    /// # }
    /// ```
    pub fn drain(&self, over: Duration) -> Drain {
        self.shared().drain(over)
    }

    /// Whether streams end with an error in place of an orderly end, when the hub or a client is closed. Default: no.
    ///
    /// A server then cuts the response: there is no last chunk on HTTP/1, and the stream is reset on HTTP/2. For clients
    /// that take an orderly end for final and do not connect again, as a browser's `EventSource` does. `serve` of the
    /// adapters has a setting of the same name.
    pub fn end_streams_by_reset(&self, by_reset: bool) {
        self.shared().ends_by_reset.store(by_reset, Ordering::Relaxed);
    }

    /// Whether [`Hub::drain`] was called.
    pub fn is_draining(&self) -> bool {
        self.shared().is_draining.load(Ordering::Acquire)
    }

    /// Whether [`Hub::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.shared().is_closed()
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod filter_tests;
#[cfg(test)]
mod finish_tests;
#[cfg(test)]
mod history_tests;
#[cfg(test)]
mod interest_tests;
#[cfg(test)]
mod replica_tests;
#[cfg(test)]
pub(crate) mod scripted_log;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod topic_change_tests;
