use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::client_id::ClientId;
use crate::end_reason::{End, EndReason};
use crate::epoch::Epoch;
use crate::field::EventId;
use crate::filter::Filter;
use crate::heartbeat::timer::{Call, HeartbeatTimer};
use crate::log::TopicLog;
use crate::log::feed::Feed;
use crate::log::filtered::filter_of;
use crate::outlet::Outlet;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::timers::{Timed, TimerSlot};
use crate::topic::{Topic, TopicPattern};
use crate::topic_changes::TopicChanges;
use crate::waking::{Turn, Waiter, Waking};

/// One open stream, as the registry, the wait lists and the timers see it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: ClientId,
    /// What the stream was subscribed to when it was opened.
    pub(crate) feed: Arc<Feed>,
    pub(crate) principal: Option<Arc<str>>,
    remote_addr: RemoteAddr,
    /// Microseconds since the Unix epoch: in the registry, after all that have come before.
    pub(crate) connected_at: u64,
    pub(crate) heartbeat: HeartbeatTimer,
    pub(crate) outlet: Outlet,
    // Written by the stream alone, so plain stores will do.
    bytes: AtomicU64,
    events: AtomicU64,
    position: AtomicU64,
}

/// An address in half the space: most are of version 4.
#[derive(Debug)]
enum RemoteAddr {
    Unknown,
    V4(SocketAddrV4),
    V6(Box<SocketAddrV6>),
}

impl From<Option<SocketAddr>> for RemoteAddr {
    fn from(addr: Option<SocketAddr>) -> Self {
        match addr {
            None => Self::Unknown,
            Some(SocketAddr::V4(addr)) => Self::V4(addr),
            Some(SocketAddr::V6(addr)) => Self::V6(Box::new(addr)),
        }
    }
}

impl RemoteAddr {
    fn get(&self) -> Option<SocketAddr> {
        match self {
            Self::Unknown => None,
            Self::V4(addr) => Some((*addr).into()),
            Self::V6(addr) => Some((**addr).into()),
        }
    }
}

/// What the application and its adapter say about a client.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identity {
    pub(crate) principal: Option<Arc<str>>,
    pub(crate) client_key: Option<Arc<str>>,
    pub(crate) remote_addr: Option<SocketAddr>,
    /// Whether only the registry knows of the principal and the key.
    pub(crate) is_observer: bool,
}

impl Client {
    pub(crate) fn new(
        id: ClientId,
        feed: Arc<Feed>,
        identity: Identity,
        heartbeat: HeartbeatTimer,
        position: u64,
    ) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let micros = now.map_or(0, |now| u64::try_from(now.as_micros()).unwrap_or(u64::MAX));
        Self {
            id,
            feed,
            principal: identity.principal,
            remote_addr: identity.remote_addr.into(),
            connected_at: micros,
            heartbeat,
            outlet: Outlet::default(),
            bytes: AtomicU64::new(0),
            events: AtomicU64::new(0),
            position: AtomicU64::new(position),
        }
    }

    /// Whether the stream is about to end.
    pub(crate) fn is_ending(&self) -> bool {
        let calls = self.heartbeat.calls();
        calls.has(Call::Close) || calls.has(Call::End)
    }

    /// By this, streams are in the order in which they connected.
    pub(crate) fn order(&self) -> (u64, ClientId) {
        (self.connected_at, self.id)
    }

    /// What it is sent of its topics, if that is not all.
    pub(crate) fn filter(&self) -> Option<&Filter> {
        filter_of(&self.feed.topics)
    }

    /// Makes the stream end at once.
    pub(crate) fn close(&self) {
        self.heartbeat.call(Call::Close);
    }

    /// Makes the stream end with an [`END_EVENT`](crate::END_EVENT), which tells the client the reason, and when to come back,
    /// with a jitter. The first reason counts, unless it leaves time and this one is that of rights. Nothing is lost: the client's id stays where it is.
    pub(crate) fn end(&self, reason: EndReason) {
        self.end_as(End::new(reason));
    }

    pub(crate) fn end_as(&self, end: End) {
        if let Some(call) = self.outlet.end(end) {
            self.heartbeat.call(call);
        }
    }

    /// The stream has ended.
    pub(crate) fn is_gone(&self) -> bool {
        self.heartbeat.calls().has(Call::Gone)
    }

    /// For changes of the stream's topics.
    pub(crate) fn topic_changes(&self) -> Arc<TopicChanges> {
        self.outlet.topic_changes_or_else(|| TopicChanges::new(self.feed.topics.to_vec()))
    }

    /// The topics and patterns of the stream when it has made all changes.
    fn topics(&self) -> Vec<Arc<TopicLog>> {
        self.outlet.topic_changes().map_or_else(|| self.feed.topics.to_vec(), |it| it.topics())
    }

    pub(crate) fn names(&self) -> Vec<TopicPattern> {
        self.topics().iter().map(|log| log.name.clone()).collect()
    }

    /// Counts what was handed to the transport, which leaves the client at a position.
    pub(crate) fn sent(&self, bytes: usize, events: usize, position: Option<u64>) {
        let add = |counter: &AtomicU64, more: usize| {
            counter.store(counter.load(Ordering::Relaxed) + more as u64, Ordering::Relaxed);
        };
        add(&self.bytes, bytes);
        add(&self.events, events);
        if let Some(position) = position {
            self.set_position(position);
        }
    }

    /// Whether an event was handed to the transport.
    pub(crate) fn has_events(&self) -> bool {
        self.events.load(Ordering::Relaxed) > 0
    }

    /// Bytes and events.
    pub(crate) fn sent_so_far(&self) -> (u64, u64) {
        (self.bytes.load(Ordering::Relaxed), self.events.load(Ordering::Relaxed))
    }

    pub(crate) fn set_position(&self, position: u64) {
        self.position.store(position, Ordering::Relaxed);
    }

    /// The position that the client has reached.
    pub(crate) fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    /// How many events its topics have that it was not sent.
    pub(crate) fn lag(&self) -> usize {
        let position = self.position();
        let topics = self.topics();
        topics.iter().map(|log| log.lock().durable.count_after_position(position)).sum()
    }

    pub(crate) fn info(&self, epoch: &Epoch) -> ClientInfo {
        let (bytes_sent, events_sent) = self.sent_so_far();
        let names = self.names();
        ClientInfo {
            id: self.id,
            topics: names.iter().filter_map(TopicPattern::topic).collect(),
            patterns: names.into_iter().filter(TopicPattern::has_wildcard).collect(),
            filter: self.filter().cloned(),
            principal: self.principal.clone(),
            remote_addr: self.remote_addr.get(),
            connected_at: UNIX_EPOCH + Duration::from_micros(self.connected_at),
            bytes_sent,
            events_sent,
            last_id: epoch.id(self.position()),
        }
    }
}

impl Waiter for Client {
    fn wake(&self) {
        self.heartbeat.wake();
    }

    fn turn(&self) -> Option<&Turn> {
        Some(&self.heartbeat.turn)
    }

    fn wake_in_turn(&self, waking: &Waking) {
        self.heartbeat.wake_in_turn(waking);
    }
}

impl Timed for Client {
    fn timer(&self) -> &TimerSlot {
        self.heartbeat.timer()
    }

    fn fire(&self, now: u64) -> Option<u64> {
        self.heartbeat.fire(now)
    }
}

/// One open stream, as it was when this was made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientInfo {
    /// The stream's id.
    pub id: ClientId,
    /// The topics that it is subscribed to by name, sorted.
    pub topics: Vec<Topic>,
    /// The patterns that it is subscribed to, sorted.
    pub patterns: Vec<TopicPattern>,
    /// What the stream is sent of them, if that is not all: see [`Subscribe::filter`](crate::Subscribe::filter).
    pub filter: Option<Filter>,
    /// The user that the application named with [`Subscribe::principal`](crate::Subscribe::principal).
    pub principal: Option<Arc<str>>,
    /// The client's address, if the server knows it. With a proxy in front of the server, it is the proxy's, unless the
    /// server believes what that proxy says: see `Limits::proxies` of the adapters.
    pub remote_addr: Option<SocketAddr>,
    /// When the subscription was opened, by the wall clock. After that of all streams that this node had before: when the
    /// clock is set back, those that come then continue from the newest, until it has come there again.
    pub connected_at: SystemTime,
    /// Bytes handed to the transport: headers are not counted, and bytes that the kernel still holds
    /// for a slow client are.
    pub bytes_sent: u64,
    /// Events handed to the transport, the status event included; heartbeats are not counted.
    pub events_sent: u64,
    /// The position that the client has reached, as the Last-Event-ID that it would send.
    pub last_id: EventId,
}
