//! Redis Streams as the log of a [Tidings](tidings) hub: any number of nodes on one order of events,
//! published from any language; and a bridge from Redis's Pub/Sub.
//!
//! ```no_run
//! use tidings::{Event, Hub};
//! use tidings_redis::RedisLog;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let log = RedisLog::connect("redis://127.0.0.1/").await?;
//! let hub = Hub::builder().build_on(log);
//! // Seen by the clients of all nodes.
//! hub.publish("orders", Event::named("created", "order 17")?).await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`RedisLog`] is the log, [`PubSubBridge`] the bridge. What is here needs Redis 6.2 or newer, or what
//! speaks as it does.
//!
//! # How it works
//!
//! A hub is one stream, and each entry of it an event. Its id `ms-seq`, which Redis gives, is the event's
//! *position*: `ms << 20 | seq << 6`. (So `ms` is less than 2^44, and `seq` less than 2^14. What somebody
//! adds with larger ids is rejected, and shown in the hub's health. When the server's clock was set back
//! and an id nears that bound, the nodes move the stream on to the next millisecond.)
//!
//! Each node follows the stream over a connection of its own, and serves its clients from what it has
//! read; older events it reads back. It appends in batches, of what has come in a round trip. After a lost
//! link it goes on behind the last entry that it has, with a wait of up to 2 s between attempts, drawn at
//! random. A link on which no answer comes is given up 1.4 s after the question.
//!
//! # What is promised
//!
//! - An event that was acknowledged is in Redis: as safe as Redis is told to be. With `appendfsync always`
//!   it is on the disk; with `everysec`, which is Redis's default once `appendonly yes` is set, a crash of
//!   the machine may take the last second; without an AOF, everything behind the last snapshot.
//! - Replication is asynchronous. In a failover, by Sentinel or in a cluster, events that were acknowledged
//!   and not yet replicated are lost. [`RedisLogBuilder::wait_replicas`] makes that rare, not impossible.
//! - What was lost in these ways is *said*: the history is another then, and all clients are
//!   reset (`unknown`). It is noticed when the stream ends before the last entry that a node has seen, or
//!   has others in its place, and when the stream was deleted; on each new connection, and every second.
//!   What no running node had seen can be lost unnoticed: a client that alone has seen it is served what
//!   came since.
//! - Entries that were trimmed before a node, or a client, has come to them are said, too (`trimmed`). On
//!   Redis before 7, where it cannot be known whether anything was trimmed, a client may be reset although
//!   nothing was.
//! - An event with an idempotency key is appended once, within
//!   [`idempotency_window`](RedisLogBuilder::idempotency_window), and tried again over lost connections
//!   until [`append_timeout`](RedisLogBuilder::append_timeout) is over. One without is tried once: if the
//!   link is lost before the answer,
//!   [`Unacknowledged`](tidings::backend::LogErrorKind::Unacknowledged) says that it may be there.
//! - While Redis cannot be reached, streams stay open, and publications wait up to `append_timeout`.
//! - When Redis's memory or disk is full, publications are refused with
//!   [`Full`](tidings::backend::LogErrorKind::Full); what is there is still served.
//!
//! # What is in Redis
//!
//! | key | |
//! |---|---|
//! | `{tidings}:log` | the stream |
//! | `{tidings}:once:…` | for each idempotency key, its entry's id; with a time to live |
//! | `{tidings}:signal` | no key but a channel: ephemeral events, and what nodes ask each other |
//!
//! `tidings` is the log's [name](RedisLogBuilder::name). The stream has a consumer group called
//! `tidings:1:…` that nobody reads by: it is the name of the history, and how many keys there are. Removing
//! it begins another history. `DEL {tidings}:log` is how to empty a log: all clients are reset.
//!
//! An event takes its fields and some 50 bytes, up to a third more if it is large; 100,000 events of 200
//! bytes take 26 MB. A remembered idempotency key takes some 200 bytes. The log keeps
//! [`max_events`](RedisLogBuilder::max_events), and where it is set,
//! [`max_age`](RedisLogBuilder::max_age); each node trims once a second, so events from elsewhere need not
//! come with a limit.
//!
//! The server must not evict the stream: `maxmemory-policy` has to be `noeviction` or one for `volatile`
//! keys, or there must be no `maxmemory`; else connecting is refused. Under a policy for volatile keys
//! idempotency keys may be forgotten early.
//!
//! # Permissions
//!
//! A user needs this much; `{tidings:*` is for several keys, `wait` for replicas that are waited for,
//! `select` for other databases than 0:
//!
//! ```text
//! ACL SETUSER hub on >secret resetchannels ~{tidings}:* ~{tidings:* &{tidings}:signal -@all
//!   +info +ping +eval +evalsha +xadd +xread +xrange +xrevrange +xlen +xinfo +xgroup +xtrim +xsetid
//!   +get +set +time +exists +publish +subscribe +wait +select
//! ```
//!
//! # Publishing from any language
//!
//! One `XADD` is a publication. The fields are `topic`, and `data` or `event` (the name) or both; `retry`
//! (milliseconds) and `comment` may be there. Others are left alone.
//!
//! ```text
//! XADD {tidings}:log MAXLEN ~ 100000 * topic orders event created data "order 17"
//! ```
//!
//! Entries that are no events are left out, counted, and shown in
//! [`Hub::health`](tidings::Hub::health). There are examples in shell, Python and Node.js in
//! `docs/REDIS.md`.
//!
//! # One hub on several keys
//!
//! A stream is on one core of one server. Where that is not enough, a log can be
//! [spread over 2 to 64 keys](RedisLogBuilder::keys), `{tidings}:log`, `{tidings:1}:log` and so on, which a
//! Redis Cluster has on different nodes. The lowest six bits of a position are the key's number. A node
//! still hands out one order, the same on all nodes: an event waits until no other key can have one in
//! front of it any more. Keys without newer events are asked for that, by raising the id that they will
//! give next (`XSETID`; nothing is added to the stream).
//!
//! - That costs each event one more round trip to the slowest of the servers, and each server some work for
//!   the traffic of the others: less than an event for each event, as it is done for many at once.
//! - If one key's server is down, everything waits: there are no holes.
//! - Each node reads all keys. So this spreads what Redis does, not what the nodes do.
//! - An event goes to the key that the CRC-32 (as in zlib) of its topic says, modulo the number of keys; with
//!   an idempotency key, to that of its CRC-32. For publishers in other languages any key is right; the
//!   same one for a topic keeps the topic's events in their order.
//! - Events of topics on different keys that are published without waiting for the first one's
//!   acknowledgement may come in another order than that of the calls.
//!
//! # What it does not do
//!
//! It reads from primaries only, and every node reads every event. It does not create users, set limits of
//! memory, or migrate a log from one number of keys to another.
//!
//! # Features
//!
//! - `tls`: addresses `rediss://…`, by rustls. If the process has no provider of cryptography by default,
//!   that of `ring` is set. Off by default.
//! - `sentinel`: addresses `redis+sentinel://…`. Off by default.

mod backoff;
mod batch;
mod bridge;
mod builder;
mod endpoint;
mod entry;
mod error;
mod follower;
mod keys;
mod lane;
mod link;
mod log;
mod merge;
mod position;
mod reader;
mod script;
mod settings;
mod signals;
mod state;
mod streams;
mod subscriber;
mod tag;
mod writer;

pub use bridge::{PubSubBridge, PubSubBridgeBuilder};
pub use builder::RedisLogBuilder;
pub use log::RedisLog;
