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
mod log;
mod read;
pub(crate) mod record;
mod replica;
mod reply;

pub use crate::pattern_map::PatternMap;
pub use crate::resume::Epoch;
pub use envelope::Envelope;
pub use error::{LogError, LogErrorKind};
pub use key::IdempotencyKey;
pub use log::{Log, Origin};
pub use read::{Page, Read, Start};
pub use record::{Append, Appended, Record, RecordError, Refused};
pub(crate) use replica::Follower;
pub use replica::Replica;
pub use reply::{Receiver, Reply};
