use std::sync::Weak;

use bytes::Bytes;

use super::Origin;
use super::error::LogError;
use super::record::{Record, RecordError, Refused};
use crate::hub::shared::Shared;
use crate::topic::TopicPattern;

/// A hub, as its log sees it: where events are handed to.
///
/// A cheap handle that does not keep the hub alive; when the hub is gone, what should go in is
/// [`Refused`], and the log may end its work. Everything but [`signalled`](Self::signalled) is to be
/// called from one thread or task at a time. No method waits.
#[derive(Debug, Clone)]
pub struct Replica(Weak<Shared>);

impl Replica {
    pub(crate) fn new(shared: Weak<Shared>) -> Self {
        Self(shared)
    }

    /// Hands on an event. One whose position is not behind [`position`](Self::position) was there
    /// already, and is left out: after a lost link a log may well begin a little too early.
    ///
    /// # Errors
    ///
    /// When the hub is gone.
    pub fn deliver(&self, record: Record) -> Result<(), Refused> {
        let shared = self.0.upgrade().ok_or(Refused(()))?;
        shared.deliver(record);
        Ok(())
    }

    /// Says that there is nothing for this replica up to a position, but what it was given.
    ///
    /// # Errors
    ///
    /// When the hub is gone.
    pub fn reached(&self, position: u64) -> Result<(), Refused> {
        let shared = self.0.upgrade().ok_or(Refused(()))?;
        shared.reached(position);
        Ok(())
    }

    /// Says that something at a position is not an event, and is left out. It is counted, and shown in
    /// [`Hub::health`](crate::Hub::health).
    ///
    /// # Errors
    ///
    /// When the hub is gone.
    pub fn rejected(&self, position: u64, error: &RecordError) -> Result<(), Refused> {
        let shared = self.0.upgrade().ok_or(Refused(()))?;
        shared.rejected(position, error);
        Ok(())
    }

    /// Begins anew, behind the origin. With the same epoch there is a hole up to there: events that the
    /// replica was not given, and will not be. With another epoch, all that clients know is void, and they
    /// are reset.
    ///
    /// A selective log's replica wants the same topics as before, and follows none of them until
    /// [`followed`](Self::followed) says so.
    ///
    /// # Errors
    ///
    /// When the hub is gone.
    pub fn restart(&self, origin: Origin) -> Result<(), Refused> {
        let shared = self.0.upgrade().ok_or(Refused(()))?;
        shared.restart(origin);
        Ok(())
    }

    /// For a selective log: says that events of these topics and families are delivered from now on, all those behind
    /// the position, which is that of the last thing delivered, or behind it. With each topic comes the
    /// number of the [interest](super::Log::want) that this is the answer to; to one that is no more, it is none.
    ///
    /// # Errors
    ///
    /// When the hub is gone.
    pub fn followed<'a>(
        &self,
        topics: impl IntoIterator<Item = (&'a TopicPattern, u64)>,
        position: u64,
    ) -> Result<(), Refused> {
        let shared = self.0.upgrade().ok_or(Refused(()))?;
        shared.followed(topics, position);
        Ok(())
    }

    /// The position of the newest event that the replica has, or its origin. After a lost link, a log goes
    /// on behind it.
    ///
    /// # Errors
    ///
    /// When the hub is gone.
    pub fn position(&self) -> Result<u64, Refused> {
        let shared = self.0.upgrade().ok_or(Refused(()))?;
        Ok(shared.present().mark.position)
    }

    /// Says that the engine answers, and that the replica has all that it holds. To be called at least
    /// every second while that is so: else the hub is taken for lagging. See
    /// [`Hub::health`](crate::Hub::health).
    ///
    /// # Errors
    ///
    /// When the hub is gone.
    pub fn caught_up(&self) -> Result<(), Refused> {
        let shared = self.0.upgrade().ok_or(Refused(()))?;
        shared.link_caught_up();
        Ok(())
    }

    /// Says whether the engine can be reached.
    ///
    /// # Errors
    ///
    /// When the hub is gone.
    pub fn link(&self, link: Result<(), &LogError>) -> Result<(), Refused> {
        let shared = self.0.upgrade().ok_or(Refused(()))?;
        shared.link_changed(link);
        Ok(())
    }

    /// Hands on the bytes that another node has given to [`Log::signal`](super::Log::signal). A node's own
    /// signals may be among them, and are left out. From any thread.
    ///
    /// # Errors
    ///
    /// When the hub is gone.
    pub fn signalled(&self, signal: &Bytes) -> Result<(), Refused> {
        let shared = self.0.upgrade().ok_or(Refused(()))?;
        shared.signalled(signal);
        Ok(())
    }

    /// Whether the hub is gone.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.0.strong_count() == 0
    }
}
