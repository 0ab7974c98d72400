//! The contract of a hub's log: what an engine does that keeps events on disk, or shares them among
//! the nodes of a cluster.
//!
//! Applications need this module only for its errors. They open a log of one of the backend crates
//! (`tidings-redb`, `tidings-redis`, `tidings-nats`) and give it to
//! [`HubBuilder::build_on`](crate::HubBuilder::build_on). Without one, a hub is its own log, in memory.
//!
//! # How a hub and its log work together
//!
//! The log makes the order: it gives each event its *position*, a number that only rises. A hub is a
//! [`Replica`] of the recent part of that log. It gives an event that is published to
//! [`Log::append`], and does nothing more; the event becomes visible when the log hands it to the
//! replica, as it hands on the events that other nodes publish. So all nodes see one order, and an event
//! that was refused was never seen.
//!
//! A client that reconnects is served from the hub's memory where that reaches back far enough, and from
//! [`Log::read`] where it does not.
//!
//! ```text
//! Hub::publish ──append──▶ Log ──Replica::deliver──▶ the hub's topics ──▶ clients
//!                           ▲                              │
//!                           └────────────read──────────────┘ what is older than memory
//! ```
//!
//! # What a log promises
//!
//! 1. Positions rise, and an event once delivered or read keeps its position as long as the
//!    [epoch](Epoch) is the same. A history that is not a continuation of the one before (wiped,
//!    restored from a copy) has another epoch: [`Replica::restart`].
//! 2. [`Replica::deliver`] gets every event behind the [origin](Origin), in order. Where that cannot be
//!    (the events are gone), [`Replica::restart`] says so. Never a silent hole.
//! 3. An event is acknowledged when it is as safe as the backend says it is, and never before.
//! 4. An append with an [`IdempotencyKey`] that was used within the backend's window appends nothing and
//!    is answered with the first one's position.
//! 5. No method but [`Log::stop`] blocks, none panics, and none calls back into the replica: they put work into a queue.
//!    Appends to one topic that are called one after the other are appended in that order. A log on one
//!    engine keeps it over all topics; one that is spread over several may not, and says so.
//!
//! `tidings-testkit` has a suite that shows all this.

mod envelope;
mod error;
mod key;
mod read;
pub(crate) mod record;
mod replica;
mod reply;

use std::fmt;

use bytes::Bytes;

use crate::topic::TopicPattern;

pub use crate::pattern_map::PatternMap;
pub use crate::resume::Epoch;
pub use envelope::Envelope;
pub use error::{LogError, LogErrorKind};
pub use key::IdempotencyKey;
pub use read::{Page, Read, Start};
pub use record::{Append, Appended, Record, RecordError, Refused};
pub use replica::Replica;
pub use reply::{Receiver, Reply};

/// A log of events on some engine. See the [module](self) for what it promises.
///
/// Made by the backend, which has connected to its engine, or opened its file, and knows the epoch.
pub trait Log: fmt::Debug + Send + Sync + 'static {
    /// Begins to follow. Called once, before all else. Returns which history this is and from where
    /// the replica will be given all of it; events may be delivered from now on, also before this
    /// returns to the caller, but only from another thread or task.
    ///
    /// The origin should lie so far back that the replica has the recent events, those which clients
    /// that reconnect are likely to ask for: some ten thousand.
    fn start(&self, replica: Replica) -> Origin;

    /// Appends an event, and answers when it is safe.
    fn append(&self, append: Append, reply: Reply<Appended>);

    /// Reads events back.
    fn read(&self, read: Read, reply: Reply<Page>);

    /// Answers with the position of the newest event in the log: as the engine has it now, not as the
    /// replica does. The replica must reach it without further events: if nothing that it is
    /// delivered says so, through [`Replica::reached`].
    fn end(&self, reply: Reply<u64>);

    /// Ends its work: the last handle of the hub was dropped. What was appended before is finished and
    /// answered; what is asked from now on is answered with
    /// [`LogErrorKind::Closed`]. The log itself is dropped later, when nobody holds a
    /// stream of the hub any more; so what it holds exclusively, such as a file, should be free when this
    /// returns. It may block for that.
    fn stop(&self);

    /// Whether other processes may have replicas of this log. Default: no.
    fn is_shared(&self) -> bool {
        false
    }

    /// Hands some bytes to [`Replica::signalled`] on every *other* node: at most once, and to those
    /// that are connected now. For events that are not kept, and for what nodes ask each other.
    fn signal(&self, signal: Bytes) {
        drop(signal);
    }

    /// Whether the replica is delivered only events of topics that it [wants](Self::want). Default: no,
    /// it gets all.
    fn is_selective(&self) -> bool {
        false
    }

    /// For a selective log: the replica begins to want the events of a topic or of a family of topics, or
    /// ceases to (`None`). What belongs to several is delivered once, and as long as one is wanted. The number names
    /// this interest: a topic may be left and wanted again before the log has got round to it, and
    /// [`Replica::followed`] says which of the two it is about. Called with locks held.
    fn set_interest(&self, pattern: &TopicPattern, interest: Option<u64>) {
        let _ = (pattern, interest);
    }
}

/// Where a replica begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Names the history.
    pub epoch: Epoch,
    /// Events behind this position will be delivered; those up to it will not.
    pub position: u64,
    /// The position of the newest event there is, or of the origin if there is none behind that: what is up
    /// to here is history, and no news to a client that is fresh.
    pub end: u64,
}
