//! Tidings on NATS: JetStream as the log that the nodes of a cluster share, and a bridge for what is
//! published on core NATS.
//!
//! ```no_run
//! use tidings::{Event, Hub};
//! use tidings_nats::NatsLog;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let log = NatsLog::connect("nats://127.0.0.1").await?;
//! let hub = Hub::builder().build_on(log);
//! let published = hub.publish("orders.eu", Event::named("created", "order 17")?).await?;
//! println!("stored as {}", published.id());
//! # Ok(())
//! # }
//! ```
//!
//! Every node does the same, with the same stream, and all of them show one order of events under the
//! same ids. Needed is nats-server 2.9 or newer with JetStream.
//!
//! # The stream
//!
//! [`NatsLog`] keeps all events of a hub in one stream. An event's position is its sequence there, its
//! topic is the subject: `orders.eu` is `tidings.orders.eu`. What a subject cannot have (`>`, an empty
//! token) or has a meaning here (`%`, a `$` in front) is written as `%` and two digits, so
//! [`NatsLog::subject`] and back is always the same topic.
//!
//! The payload is the data. What else an event has is in headers, percent-encoded where it is not plain
//! ASCII without spaces:
//!
//! | header | |
//! |---|---|
//! | `Tidings-Event` | the event's name |
//! | `Tidings-Retry` | milliseconds |
//! | `Tidings-Comment` | a comment |
//! | `Tidings-Data` | `none` where there is no data, which is not the same as empty data |
//! | `Nats-Msg-Id` | the idempotency key |
//!
//! So any client of NATS publishes: `nats pub tidings.orders.eu hello` is an event. What is not one
//! (data that is not UTF-8, a subject that is escaped in another way) is left out by the hubs and counted
//! in [`Hub::health`](tidings::Hub::health).
//!
//! The stream sends each message on, once it is stored, to `tidings-live.` and the rest of its subject; a
//! node subscribes there, to everything, and sees by the sequence when something is missing. With
//! [`selective`](NatsLogBuilder::selective) it subscribes to the topics and families that its clients want,
//! and to no others; a message names its predecessor in its topic, so a gap is noticed all the same, some 20 ms are spent on
//! waiting for what is late, and where that was not enough, all clients are reset. (On a cluster of servers a
//! message that is lost between two of them while both go on, is noticed by a selective node with the next
//! one of its topic.) What a node has missed it reads from the stream.
//!
//! # Families of topics
//!
//! A selective node subscribes to a family of topics by a wildcard: to what the complete tokens in front of the
//! first `*` of the pattern have behind them.
//!
//! | pattern | subscribed to, below `tidings-live.` |
//! |---|---|
//! | `sensors.kitchen.*` | `sensors.kitchen.>`, and `sensors.kitchen%2E`, which is the topic `sensors.kitchen.` |
//! | `sensors.kit*` | `sensors.>` |
//! | `sensors.*.temperature` | `sensors.>` |
//! | `sensors/kitchen/*`, `user:42:*`, `*` | `>` |
//!
//! What a wildcard brings besides is left out in the node. So it is dots in the names of topics that keep from a
//! node what it does not want; a family without one in front of its `*` brings all that is published, though no
//! more than to a node that is not selective. Families with the same wildcard share a subscription; what
//! belongs to two different ones is sent twice, and handed on once.
//!
//! Events of families are read back in the same way, by up to eight subjects and wildcards, or else by reading
//! everything; also by a node that is not selective.
//!
//! # What acknowledged means
//!
//! That the stream has it: on a single server, that its file has; with
//! [`replicas(3)`](NatsLogBuilder::replicas), that two of three servers have. nats-server writes files to
//! the disk some time later (`sync_interval`, two minutes by default): a process that is killed loses
//! nothing, a machine that loses its power may lose what one server alone had acknowledged. With three
//! servers it takes two at a time. `sync_interval: always` writes first, and is slower.
//!
//! A publication that is not acknowledged within [`append_timeout`](NatsLogBuilder::append_timeout) has
//! failed as *unacknowledged*: it may be there. With an idempotency key it can be published again,
//! within [`idempotency_window`](NatsLogBuilder::idempotency_window): [`Hub::publish_once`]. Lost
//! connections in between are the log's own business: it sends again, without doubling, and in order.
//!
//! # When the history is another
//!
//! The epoch of the ids is kept in a stream of its own, beside the time at which the main stream was made.
//! If that was made anew, or ends before what a node has seen, or has something else in its place, one
//! of the nodes sets a new epoch, and all clients are reset. What nobody can notice: a stream that was
//! restored from a copy while no node was running.
//!
//! Purging a subject, or deleting single messages, is done behind the hubs' backs: clients are not told
//! that something is gone. A stream that keeps only so many messages for each subject is refused.
//!
//! # Subjects and permissions
//!
//! With the default names, a node needs to publish to `tidings.>`, `tidings-signal`, `tidings-epoch`,
//! `$JS.API.STREAM.INFO.TIDINGS`, `$JS.API.STREAM.MSG.GET.TIDINGS`, the same of `TIDINGS_EPOCH`, and, where
//! it is to make them, `$JS.API.STREAM.CREATE.` of both; and to subscribe to `tidings-live.>`,
//! `tidings-signal` and `_INBOX.>`. Nobody else should be allowed to publish to `tidings-live.>`: the
//! nodes would take it for the stream's.
//!
//! # Sizes
//!
//! An event with its headers has to fit into the server's `max_payload`, 1 MiB by default. A message
//! takes its subject, headers and payload in the stream, some 100 bytes besides. The log's own messages
//! are a first one and a marker, of which there is one at a time; markers take up positions, at most some
//! two each second while something is published, and one whenever a node needs to know where the stream
//! ends.
//!
//! # Core NATS
//!
//! [`CoreBridge`] publishes what others publish to plain subjects to any hub, at most once.
//!
//! [`Hub::publish_once`]: tidings::Hub::publish_once

mod appender;
mod bridge;
mod engine;
mod epoch;
mod error;
mod follower;
mod log;
mod message;
mod reader;
mod settings;
mod subject;

pub use async_nats::ConnectOptions;
pub use bridge::{BridgeCounts, CoreBridge, CoreBridgeBuilder};
pub use log::NatsLog;
pub use settings::NatsLogBuilder;
