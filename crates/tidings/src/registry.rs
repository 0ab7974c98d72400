use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::field::EventId;
use crate::hub::shared::Shared;
use crate::keep_alive::Pulse;
use crate::log::feed::Feed;
use crate::resume::Epoch;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::{HashMap, HashSet, Mutex};
use crate::timers::{Timed, TimerSlot};
use crate::topic::{Topic, TopicPattern};
use crate::waking::Waiter;

/// Identifies one open stream within its hub: 64 random bits, as 16 hexadecimal digits.
///
/// The client learns its own from the status event. Treat it as a name, not as a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(u64);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientId({self})")
    }
}

/// The text is not a client id: it takes 16 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseClientIdError(());

impl fmt::Display for ParseClientIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("client id: is not 16 hexadecimal digits")
    }
}

impl std::error::Error for ParseClientIdError {}

impl FromStr for ClientId {
    type Err = ParseClientIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(ParseClientIdError(()));
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| ParseClientIdError(()))
    }
}

impl Serialize for ClientId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One open stream, as the registry, the wait lists and the timers see it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: ClientId,
    pub(crate) feed: Arc<Feed>,
    principal: Option<Arc<str>>,
    remote_addr: RemoteAddr,
    /// Microseconds since the Unix epoch.
    connected_at: u64,
    pub(crate) pulse: Pulse,
    // Written by the stream alone, so plain stores will do.
    bytes: AtomicU64,
    events: AtomicU64,
    position: AtomicU64,
}

/// An address in half the room: most of them are of version 4.
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

/// What the application and its adapter say of a client.
#[derive(Debug, Default)]
pub(crate) struct Identity {
    pub(crate) principal: Option<Arc<str>>,
    pub(crate) remote_addr: Option<SocketAddr>,
}

impl Client {
    pub(crate) fn is_closed(&self) -> bool {
        self.pulse.is_stopped()
    }

    fn close(&self) {
        self.pulse.stop();
    }

    /// Notes what was handed to the transport.
    pub(crate) fn count(&self, bytes: usize, events: usize, position: Option<u64>) {
        let add = |counter: &AtomicU64, more: usize| {
            counter.store(counter.load(Ordering::Relaxed) + more as u64, Ordering::Relaxed);
        };
        add(&self.bytes, bytes);
        add(&self.events, events);
        if let Some(position) = position {
            self.position.store(position, Ordering::Relaxed);
        }
    }

    /// The position that it has reached.
    pub(crate) fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    fn families(&self) -> impl Iterator<Item = &TopicPattern> {
        self.feed.topics.iter().map(|log| &log.name).filter(|name| name.has_wildcard())
    }

    fn info(&self, epoch: &Epoch) -> ClientInfo {
        ClientInfo {
            id: self.id,
            topics: self.feed.topics.iter().filter_map(|log| log.name.topic()).collect(),
            families: self.families().cloned().collect(),
            principal: self.principal.clone(),
            remote_addr: self.remote_addr.get(),
            connected_at: UNIX_EPOCH + Duration::from_micros(self.connected_at),
            bytes_sent: self.bytes.load(Ordering::Relaxed),
            events_sent: self.events.load(Ordering::Relaxed),
            last_id: epoch.id(self.position.load(Ordering::Relaxed)),
        }
    }
}

impl Waiter for Client {
    fn wake(&self) {
        self.pulse.wake();
    }
}

impl Timed for Client {
    fn timer(&self) -> &TimerSlot {
        self.pulse.timer()
    }

    fn fire(&self, now: u64) -> Option<u64> {
        self.pulse.fire(now)
    }
}

/// What is known of one open stream, at the moment of asking.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientInfo {
    /// The stream's id.
    pub id: ClientId,
    /// The topics that it is subscribed to by name, sorted.
    pub topics: Vec<Topic>,
    /// The families of topics that it is subscribed to, sorted.
    pub families: Vec<TopicPattern>,
    /// The user that the application named with [`Subscribe::principal`](crate::Subscribe::principal).
    pub principal: Option<Arc<str>>,
    /// The other end of the connection, where the server tells. Behind a proxy, this is the proxy.
    pub remote_addr: Option<SocketAddr>,
    /// When the subscription was opened.
    pub connected_at: SystemTime,
    /// Bytes handed to the transport: headers are not counted, and what the kernel still holds
    /// for a slow client is.
    pub bytes_sent: u64,
    /// Events handed to the transport, the status event included; heartbeats are not counted.
    pub events_sent: u64,
    /// The position that the client has reached: what it would send as its Last-Event-ID.
    pub last_id: EventId,
}

/// The open streams of a hub.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    state: Mutex<State>,
    count: AtomicUsize,
}

/// A client under its id, without holding that twice: there are many of them.
#[derive(Debug)]
struct ById(Arc<Client>);

impl Borrow<ClientId> for ById {
    fn borrow(&self) -> &ClientId {
        &self.0.id
    }
}

impl Hash for ById {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for ById {}

#[derive(Debug, Default)]
struct State {
    clients: HashSet<ById>,
    principals: HashMap<Arc<str>, HashSet<ClientId>>,
}

impl Registry {
    pub(crate) fn enter(
        &self,
        feed: Arc<Feed>,
        identity: Identity,
        pulse: Pulse,
        position: u64,
    ) -> Arc<Client> {
        let mut state = self.state.lock();
        let id = loop {
            let id = ClientId(fastrand::u64(..));
            if !state.clients.contains(&id) {
                break id;
            }
        };
        let client = Arc::new(Client {
            id,
            feed,
            principal: identity.principal,
            remote_addr: identity.remote_addr.into(),
            connected_at: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX)),
            pulse,
            bytes: AtomicU64::new(0),
            events: AtomicU64::new(0),
            position: AtomicU64::new(position),
        });
        if let Some(principal) = &client.principal {
            state.principals.entry(principal.clone()).or_default().insert(id);
        }
        state.clients.insert(ById(client.clone()));
        self.count.store(state.clients.len(), Ordering::Relaxed);
        client
    }

    pub(crate) fn leave(&self, client: &Client) {
        let mut state = self.state.lock();
        let removed = state.clients.take(&client.id);
        if let Some(principal) = &client.principal {
            if let Some(ids) = state.principals.get_mut(principal) {
                ids.remove(&client.id);
                if ids.is_empty() {
                    state.principals.remove(principal);
                }
            }
        }
        // After a wave of clients the table gives its memory back.
        if state.clients.len() < state.clients.capacity() / 8 {
            state.clients.shrink_to_fit();
            state.principals.shrink_to_fit();
        }
        self.count.store(state.clients.len(), Ordering::Relaxed);
        drop(state);
        drop(removed);
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(crate) fn principals(&self) -> usize {
        self.state.lock().principals.len()
    }

    /// Copies the clients out, so that nothing is done under the lock that could come back to it.
    fn select(&self, filter: impl Fn(&Client) -> bool) -> Vec<Arc<Client>> {
        let state = self.state.lock();
        let clients = state.clients.iter().map(|ById(client)| client);
        clients.filter(|client| filter(client)).cloned().collect()
    }

    fn of_principal(&self, principal: &str) -> Vec<Arc<Client>> {
        let state = self.state.lock();
        let ids = state.principals.get(principal).into_iter().flatten();
        ids.filter_map(|id| state.clients.get(id)).map(|ById(client)| client.clone()).collect()
    }

    fn get(&self, id: ClientId) -> Option<Arc<Client>> {
        self.state.lock().clients.get(&id).map(|ById(client)| client.clone())
    }

    /// Has every stream look at the hub's state.
    pub(crate) fn wake_all(&self) {
        for client in self.select(|_| true) {
            client.pulse.wake();
        }
    }
}

/// The clients of a hub: who is connected, and how to end their streams. See [`Hub::clients`](crate::Hub::clients).
///
/// A client is listed from [`Subscribe::open`](crate::Subscribe::open) on until its response is
/// dropped, which servers do when the connection ends, whether the response was ever polled or
/// not.
///
/// Closing ends the stream at once: what was published and not yet sent is left out, and comes when
/// the client resumes. A browser's EventSource will connect again by itself, so whoever must stay
/// out has to be refused at the next request. That refusal has to be in force *before* the streams
/// are closed; and a handler that authenticates first and subscribes later should look once more
/// in between ([`Subscribe::open`](crate::Subscribe::open), check, respond), or a request that was on
/// its way at that moment slips through.
#[derive(Debug)]
pub struct Clients<'a> {
    shared: &'a Shared,
}

impl<'a> Clients<'a> {
    pub(crate) fn new(shared: &'a Shared) -> Self {
        Self { shared }
    }

    fn registry(&self) -> &Registry {
        &self.shared.registry
    }

    fn infos(&self, clients: Vec<Arc<Client>>) -> Vec<ClientInfo> {
        let epoch = self.shared.epoch();
        clients.iter().map(|client| client.info(&epoch)).collect()
    }

    /// The number of open streams.
    pub fn count(&self) -> usize {
        self.registry().count()
    }

    /// The number of open streams that are subscribed to a topic: by its name, or by a family that it
    /// belongs to. A stream that is subscribed in several ways counts as often.
    pub fn count_of_topic(&self, topic: &Topic) -> usize {
        self.shared.topics.subscribers_of(topic)
    }

    /// The number of open streams of a principal.
    pub fn count_of_principal(&self, principal: &str) -> usize {
        let state = self.registry().state.lock();
        state.principals.get(principal).map_or(0, HashSet::len)
    }

    /// Every topic that has subscribers by its name or retained events, with its number of such
    /// subscribers, sorted by name.
    pub fn topics(&self) -> Vec<(Topic, usize)> {
        self.shared.topics.list()
    }

    /// Every family of topics that has subscribers, with their number, sorted.
    pub fn families(&self) -> Vec<(TopicPattern, usize)> {
        self.shared.topics.list_families()
    }

    /// All open streams, those that connected first at the front.
    pub fn list(&self) -> Vec<ClientInfo> {
        let mut clients = self.registry().select(|_| true);
        clients.sort_by_key(|client| (client.connected_at, client.id));
        self.infos(clients)
    }

    /// The open streams of a principal.
    pub fn of_principal(&self, principal: &str) -> Vec<ClientInfo> {
        self.infos(self.registry().of_principal(principal))
    }

    /// One open stream.
    pub fn get(&self, id: ClientId) -> Option<ClientInfo> {
        self.registry().get(id).map(|client| client.info(&self.shared.epoch()))
    }

    /// Ends one stream. Returns whether there was one.
    pub fn close(&self, id: ClientId) -> bool {
        let client = self.registry().get(id);
        client.inspect(|client| client.close()).is_some()
    }

    /// Ends all streams of a principal. Returns how many there were.
    pub fn close_principal(&self, principal: &str) -> usize {
        let clients = self.registry().of_principal(principal);
        clients.iter().for_each(|client| client.close());
        clients.len()
    }
}
