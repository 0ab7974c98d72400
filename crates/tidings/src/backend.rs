//! The contract of a hub's log: an engine that keeps events on disk, or shares them among the nodes of a cluster.
//!
//! Applications need this module only for its errors. They open a log of one of the backend crates (`tidings-redb`,
//! `tidings-redis`, `tidings-nats`) and give it to [`HubBuilder::build_on`](crate::HubBuilder::build_on). A hub without
//! one is its own log, in memory.
//!
//! # How a hub and its log work together
//!
//! The log makes the order: it gives each event its *position*, a number that only rises. A hub is a replica of the
//! recent part of that log. It passes a published event to [`Log::append`] and does nothing more; the event becomes
//! visible when the log delivers it to the [`Replica`], like the events that other nodes publish. So all nodes see one
//! order, and nobody sees an event that was refused.
//!
//! A client that reconnects is served from the hub's memory if that reaches back far enough, and from [`Log::read`] if
//! not.
//!
//! ```text
//! Hub::publish ──append──▶ Log ──Replica::deliver──▶ the hub's topics ──▶ clients
//!                           ▲                              │
//!                           └────────────read──────────────┘ older than memory
//! ```
//!
//! # What a log promises
//!
//! 1. Positions rise, and an event keeps its position as long as the [epoch](Epoch) is the same. A history that does not
//!    continue the one before (wiped, restored from a copy) has another epoch: [`Replica::restart`].
//! 2. [`Replica::deliver`] gets every event after the [origin](Origin), in order. If that is impossible because events
//!    are gone, the log calls [`Replica::restart`]. There is never a silent gap.
//! 3. An event is acknowledged when it is as safe as the backend says it is, and never before.
//! 4. An append with an [`IdempotencyKey`] that was used within the backend's window appends nothing, and is answered
//!    with the first event's position.
//! 5. No method but [`Log::stop`] blocks, none panics, and none calls back into the replica: they put work into a queue.
//!    Successive appends are appended in the order of the calls.
//!
//! 6. An event of a topic that [is finished](crate::Hub::finish) is refused with [`LogErrorKind::Finished`], at least if the hub
//!    does not know better ([`Append::is_open`]): in the step that appends it, where the engine can, and before it otherwise.
//!    Where it does not look in the same step, it stores [`Append::seen`] as [`Record::seen`]: a hub passes over what it has
//!    put after a last event that was not seen.
//!
//! A hub calls none of a log's methods while it holds a lock.
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

pub use crate::epoch::Epoch;
pub use crate::pattern_map::PatternMap;
pub use envelope::Envelope;
pub use error::{LogError, LogErrorKind};
pub use key::IdempotencyKey;
pub use log::{Log, Origin};
pub use read::{Page, Reach, Read, Start};
pub use record::{Append, Appended, Record, RecordError, Refused};
pub(crate) use replica::Follower;
pub use replica::Replica;
pub use reply::{Receiver, Reply};
