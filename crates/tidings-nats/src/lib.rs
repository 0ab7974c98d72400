//! NATS for a [Tidings](tidings) hub: a JetStream stream as the log that the nodes of a cluster share, and a bridge
//! from core NATS.
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
//! All nodes use the same stream, and show one order of events under the same ids. nats-server 2.9 or newer with
//! JetStream is needed.
//!
//! # The stream
//!
//! [`NatsLog`] keeps all events of a hub in one stream. An event's position is its sequence there, and its topic is
//! the subject: `orders.eu` is `tidings.orders.eu`. Characters that a subject cannot have (`>`, an empty token) or
//! that have a meaning here (`%`, a `$` at the beginning) are written as `%` and two digits, so
//! [`NatsLog::subject`] leads back to the same topic.
//!
//! The payload is the data. The other fields of an event are headers, percent-encoded unless they are plain ASCII
//! without spaces:
//!
//! | header | |
//! |---|---|
//! | `Tidings-Event` | the event's name |
//! | `Tidings-Retry` | milliseconds |
//! | `Tidings-Comment` | a comment |
//! | `Tidings-Attributes` | a JSON object of the event's attributes: text, whole numbers, truth values |
//! | `Tidings-Event-Key` | the event's key |
//! | `Tidings-Removes-Key` | `1` if the event takes its key away |
//! | `Tidings-Data` | `none` if there is no data, which is not the same as empty data |
//! | `Tidings-Is-Last` | `1` for the [last event](tidings::Hub::finish) of its topic |
//! | `Tidings-Seen` | up to where the publishing hub had the stream; other programs leave it out |
//! | `Tidings-Append` | tells a hub's publications with one idempotency key apart; other programs leave it out |
//! | `Nats-Msg-Id` | the idempotency key |
//!
//! So any client of NATS can publish: `nats pub tidings.orders.eu hello` is an event. Hubs leave out messages that are
//! not events (data that is not UTF-8, a subject that is escaped in another way), and count them in
//! [`Hub::health`](tidings::Hub::health).
//!
//! The stream republishes each message, once it is stored, on `tidings-live.` and the rest of its subject. A node
//! subscribes there, to everything, and sees by the sequence when something is missing. A
//! [`selective`](NatsLogBuilder::selective) node subscribes to the topics and patterns of its clients only. A
//! message names its predecessor in its topic, so it notices a gap as well. It waits about 20 ms for late
//! messages; if one is later still, all clients are reset. (If a cluster of servers loses a message between two of
//! them while both go on, a selective node notices it with the next message of the topic.) A node reads what it
//! has missed from the stream.
//!
//! # Patterns
//!
//! A selective node subscribes to a pattern by a wildcard, made of the complete tokens before the first `*`:
//!
//! | pattern | subscribed to, below `tidings-live.` |
//! |---|---|
//! | `sensors.kitchen.*` | `sensors.kitchen.>`, and `sensors.kitchen%2E`, which is the topic `sensors.kitchen.` |
//! | `sensors.kit*` | `sensors.>` |
//! | `sensors.*.temperature` | `sensors.>` |
//! | `sensors/kitchen/*`, `user:42:*`, `*` | `>` |
//!
//! The node leaves out what a wildcard covers and the pattern does not. So dots in the names of topics reduce what a
//! node receives; a pattern without a dot before its `*` brings everything, though no more than a node
//! receives that is not selective. Patterns with the same wildcard share a subscription. A message that belongs to two
//! wildcards is sent twice, and handed on once.
//!
//! Events of patterns are read back in the same way, by up to eight subjects and wildcards, or else by reading
//! everything; also by a node that is not selective. The newest events are looked for from the end of the stream backwards, with a
//! request for each message that the wildcards cover: what has few among very many makes its client wait for the first of them.
//! Clients that resume do not wait for such a search; fresh ones, and those that are reset on a selective node, wait while eight of
//! them are under way on their node, also those whose own search is short.
//!
//! # What acknowledged means
//!
//! The stream has the event: on a single server, in its file; with [`replicas(3)`](NatsLogBuilder::replicas), on two
//! of three servers. nats-server syncs files to disk some time later (`sync_interval`, two minutes by default). A
//! process that is killed loses nothing. A machine that loses power may lose events that it alone had acknowledged; with
//! three servers, two must lose power at a time. `sync_interval: always` syncs first, and is slower.
//!
//! A publication that is not acknowledged within [`append_timeout`](NatsLogBuilder::append_timeout) has failed as
//! *unacknowledged*: it may be in the stream. With an idempotency key it can be published again within
//! [`idempotency_window`](NatsLogBuilder::idempotency_window): [`Hub::publish_once`]. The log itself handles lost
//! connections until then: it sends again, without doubling, and in order.
//!
//! # Another history
//!
//! A second stream keeps the epoch of the ids, with the time at which the main stream was made. If the main stream
//! was made again, ends before what a node has seen, or has other messages in its place, one of the nodes sets a
//! new epoch, and all clients are reset. A stream that was restored from a copy while no node was running goes
//! unnoticed.
//!
//! Purging a subject or deleting single messages goes unnoticed, too: clients do not learn that events are gone. A
//! stream with a limit of messages for each subject is refused.
//!
//! # Subjects and permissions
//!
//! With the default names, a node needs to publish to `tidings.>`, `tidings-signal`, `tidings-epoch`,
//! `$JS.API.STREAM.INFO.TIDINGS`, `$JS.API.STREAM.MSG.GET.TIDINGS`, the same of `TIDINGS_EPOCH`, and, if it is to make
//! the streams, `$JS.API.STREAM.CREATE.` of both; and to subscribe to `tidings-live.>`, `tidings-signal` and
//! `_INBOX.>`. Nobody else should be allowed to publish to `tidings-live.>`: nodes would mistake it for what the
//! stream republishes. What lacks a permission gets no answer from the server; the error then says what the server has
//! complained about. A log that connects sends itself a signal, and is refused without the permissions for that.
//!
//! # Sizes
//!
//! An event with its headers must fit into the server's `max_payload`, 1 MiB by default. In the stream, a message
//! takes its subject, headers, payload and about 100 bytes. The log's own messages are a first one and a marker,
//! of which there is one at a time. Markers take up positions: at most about two a second while events are
//! published, and one whenever a node needs to know where the stream ends.
//!
//! # Core NATS
//!
//! [`CoreBridge`] publishes in any hub what services publish on plain subjects, at most once.
//!
//! # Features
//!
//! `unstable-async-nats`: `From<async_nats::ConnectOptions>` for [`ConnectOptions`]. A new version of async-nats, which
//! changes the types of that conversion, is not a breaking change of this crate.
//!
//! [`Hub::publish_once`]: tidings::Hub::publish_once

mod appender;
mod bridge;
mod builder;
mod complaint;
mod connect_options;
mod connection;
mod engine;
mod epoch;
mod error;
mod follower;
mod gaps;
mod limits;
mod log;
mod message;
mod options;
mod parts;
mod reader;
mod stream_state;
mod subject;

pub use bridge::{BridgeCounts, CoreBridge, CoreBridgeBuilder};
pub use builder::NatsLogBuilder;
pub use connect_options::ConnectOptions;
pub use log::NatsLog;

/// All public types may go to other threads, and be shared by them.
const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<BridgeCounts>();
    is_send_and_sync::<CoreBridge>();
    is_send_and_sync::<CoreBridgeBuilder>();
    is_send_and_sync::<ConnectOptions>();
    is_send_and_sync::<NatsLog>();
    is_send_and_sync::<NatsLogBuilder>();
};
