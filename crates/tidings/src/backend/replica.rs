use std::fmt;
use std::sync::{Arc, Weak};

use bytes::Bytes;

use super::error::LogError;
use super::log::Origin;
use super::record::{Record, RecordError, Refused};
use crate::topic::TopicPattern;

/// A hub, as its log sees it: where the log delivers events to.
///
/// A cheap handle that does not keep the hub alive. Everything but [`signalled`](Self::signalled) must be called from one thread or task at a
/// time. No method waits.
///
/// # Errors
///
/// When the hub is gone, every method returns [`Refused`], and the log may end its work.
#[derive(Debug, Clone)]
pub struct Replica(Weak<dyn Follower>);

/// What a hub does with what its log delivers and reports: see [`Replica`].
pub(crate) trait Follower: fmt::Debug + Send + Sync {
    fn deliver(&self, record: Record);
    fn reached(&self, position: u64);
    fn rejected(&self, position: u64, error: &RecordError);
    fn restart(&self, origin: Origin);
    fn followed(&self, names: &[(&TopicPattern, u64)], position: u64);
    fn position(&self) -> u64;
    fn caught_up(&self);
    fn link(&self, link: Result<(), &LogError>);
    fn signalled(&self, signal: &[u8]);
}

impl Replica {
    pub(crate) fn new<F: Follower + 'static>(hub: &Arc<F>) -> Self {
        let hub: Weak<F> = Arc::downgrade(hub);
        Self(hub)
    }

    fn hub(&self) -> Result<Arc<dyn Follower>, Refused> {
        self.0.upgrade().ok_or(Refused(()))
    }

    /// Delivers an event. One that is not after [`position`](Self::position) is known already, and left out: after
    /// a lost link, a log may begin a little too early.
    pub fn deliver(&self, record: Record) -> Result<(), Refused> {
        self.hub().map(|hub| hub.deliver(record))
    }

    /// Reports that up to a position, the log has nothing for this replica but what it has delivered.
    pub fn reached(&self, position: u64) -> Result<(), Refused> {
        self.hub().map(|hub| hub.reached(position))
    }

    /// Reports that an entry of the log is not an event, and is left out. It is counted, and shown in
    /// [`Hub::health`](crate::Hub::health).
    pub fn rejected(&self, position: u64, error: &RecordError) -> Result<(), Refused> {
        self.hub().map(|hub| hub.rejected(position, error))
    }

    /// Begins again, after the origin. With the same epoch, there is a gap up to there: events that the replica was
    /// not given, and will not be given. With another epoch, all that clients know is void, and they are reset.
    ///
    /// The replica of a selective log keeps its interests, and follows none of the topics until
    /// [`followed`](Self::followed) is called.
    pub fn restart(&self, origin: Origin) -> Result<(), Refused> {
        self.hub().map(|hub| hub.restart(origin))
    }

    /// Of a selective log: reports that it delivers all events of these topics and patterns after the position,
    /// which is that of the last delivery or later. With each comes the number of the
    /// [interest](super::Log::set_interest) that this answers; an interest that the hub no longer has is
    /// ignored.
    pub fn followed<'a>(
        &self,
        names: impl IntoIterator<Item = (&'a TopicPattern, u64)>,
        position: u64,
    ) -> Result<(), Refused> {
        // The backend's iterator runs before any lock is taken.
        let names: Vec<_> = names.into_iter().collect();
        self.hub().map(|hub| hub.followed(&names, position))
    }

    /// The position of the newest event that the replica has, or its origin. After a lost link, a log goes on after
    /// it.
    pub fn position(&self) -> Result<u64, Refused> {
        self.hub().map(|hub| hub.position())
    }

    /// Reports that the engine answers, and that the replica has everything that the engine holds. While that is so,
    /// a log calls this at least every second; otherwise the hub counts as lagging. See
    /// [`Hub::health`](crate::Hub::health).
    pub fn caught_up(&self) -> Result<(), Refused> {
        self.hub().map(|hub| hub.caught_up())
    }

    /// Reports whether the engine can be reached.
    pub fn link(&self, link: Result<(), &LogError>) -> Result<(), Refused> {
        self.hub().map(|hub| hub.link(link))
    }

    /// Delivers the bytes that another node has given to [`Log::signal`](super::Log::signal). A node's own signals
    /// may be among them, and are left out. May be called from any thread.
    pub fn signalled(&self, signal: &Bytes) -> Result<(), Refused> {
        self.hub().map(|hub| hub.signalled(signal))
    }

    /// Whether the hub is gone.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.0.strong_count() == 0
    }
}
