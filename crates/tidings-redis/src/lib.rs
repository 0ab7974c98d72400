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
//! // The clients of all nodes receive it.
//! hub.publish("orders", Event::named("created", "order 17")?).await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`RedisLog`] is the log, [`PubSubBridge`] the bridge. Both need Redis 6.2 or newer, or a server that is
//! compatible with it, such as Valkey.
//!
//! # How it works
//!
//! A hub is one stream, and each entry of it an event. The entry's id `ms-seq`, which Redis assigns, makes the
//! event's *position*: `ms << 22 | seq`. So `ms` is less than 2^42, and `seq` less than 2^22. An entry that
//! somebody adds with a larger id is rejected, and shown in the hub's health. If the server's clock is set
//! back, Redis stays in the last millisecond until the clock has caught up; there is room for four million
//! events in it.
//!
//! Each node follows the stream over its own connection, and serves its clients from what it has read. It reads
//! older events back from Redis, some 256 KiB with a command if they are of similar sizes. It appends in batches: the events that arrive during one round trip. After a
//! lost link it continues after the last entry that it has, with a random wait of up to 2 s between attempts.
//! A link on which no answer comes counts as dead after 1.4 s.
//!
//! # What is promised
//!
//! - An acknowledged event is in Redis, as safe as Redis is configured to be. With `appendfsync always` it is on
//!   disk. With `everysec`, the default once `appendonly yes` is set, a crash of the machine may take the last
//!   second; without an AOF, everything after the last snapshot.
//! - Replication is asynchronous. A failover, by Sentinel or in a cluster, loses acknowledged events that were not
//!   replicated yet. [`RedisLogBuilder::wait_replicas`] makes that rare, not impossible.
//! - Clients learn of such losses: the stream then is another history, and all clients are reset (`unknown`).
//!   A node notices it when the stream ends before the last entry that it has seen, has other entries in its
//!   place, or was deleted; it looks on each new connection, and every second. A loss of entries that no
//!   running node had seen may go unnoticed: a client that alone has seen them receives the events since.
//! - Clients also learn of entries that were trimmed before their node, or they, have read them (`trimmed`), and before
//!   they get what came after. Before Redis 7, which does not tell whether anything was trimmed, a client may be reset
//!   although it missed nothing: also a connected one, by the first event after all others have expired.
//! - An event with an idempotency key is appended once within
//!   [`idempotency_window`](RedisLogBuilder::idempotency_window), and tried again over lost connections until
//!   [`append_timeout`](RedisLogBuilder::append_timeout) has passed. An event without a key is tried once: if the
//!   link is lost before the answer, it has failed as
//!   [`Unacknowledged`](tidings::backend::LogErrorKind::Unacknowledged), and may be in the stream. So has one that is in
//!   the stream, and not on the replicas that are waited for, or whose key could not be noted.
//! - Events are appended in the order in which a hub published them. Those that the server refuses for a moment, because it
//!   loads its data or its cluster is down, are tried again, and may come after later ones.
//! - While Redis cannot be reached, streams stay open, and publications wait up to `append_timeout`.
//! - While a node does not hear the signals of the others, it is not [ready](tidings::Hub::health); events still flow.
//! - When Redis's memory or disk is full, publications are refused with
//!   [`Full`](tidings::backend::LogErrorKind::Full); clients still receive what is in the stream.
//!
//! # What is in Redis
//!
//! | key | |
//! |---|---|
//! | `{tidings}:log` | the stream |
//! | `{tidings}:once:…` | for each idempotency key, the id of its entry; with a time to live |
//! | `{tidings}:ends`, `{tidings}:ends-by-time` | the topics that are finished, with the ids of their last events: for as long as the stream has these |
//! | `{tidings}:signal` | a channel, not a key: ephemeral events, and what nodes ask each other; `{tidings}:signal:5` in database 5 |
//!
//! `tidings` is the log's [name](RedisLogBuilder::name). All keys share a hash tag, so one node of a Redis Cluster
//! has them all. The stream has a consumer group called `tidings:…` that nobody reads by: it names the history.
//! Destroying it begins another history. To empty a log, `DEL {tidings}:log`: all clients are reset.
//! Delete `{tidings}:once:*` with it, or do not use old idempotency keys again within their window: a publication with
//! one of them would be acknowledged as a duplicate of an event that is gone.
//!
//! An event takes its fields and about 50 bytes, up to a third more if it is large; 100,000 events of 200 bytes take
//! 26 MB. A remembered idempotency key takes about 200 bytes. The log keeps
//! [`max_events`](RedisLogBuilder::max_events), for no longer than
//! [`max_age`](RedisLogBuilder::max_age) if that is set. Each node trims the stream once a second, so
//! publishers in other languages need not.
//!
//! The server must not evict the stream. Connecting is refused if there is a `maxmemory` and its policy is neither
//! `noeviction` nor one for `volatile` keys. With a policy for volatile keys, idempotency keys may be forgotten
//! early.
//!
//! # Permissions
//!
//! A user needs these. `wait` is for replicas that are waited for, `select` for databases other than 0:
//!
//! ```text
//! ACL SETUSER hub on >secret resetchannels ~{tidings}:* &{tidings}:signal* -@all
//!   +info +ping +eval +evalsha +xadd +xread +xrange +xrevrange +xlen +xinfo +xgroup +xtrim
//!   +hget +hmget +hset +hdel +zadd +zrem +zrangebyscore +get +set +time +exists +publish +subscribe +wait +select
//! ```
//!
//! # Publishing from any language
//!
//! One `XADD` is a publication. The fields are `topic`, and `data` or `event` (the name) or both. Optional are `retry`
//! (milliseconds), `comment`, `attributes` (a JSON object), `event_key` (the event's key) and `removes_key` (`1`: the event takes
//! its key away). Other fields are ignored, but for two that are told below.
//!
//! ```text
//! XADD {tidings}:log MAXLEN ~ 100000 * topic orders event created data "order 17"
//! ```
//!
//! A field `is_last` with the value `1` makes it the [last event](tidings::Hub::finish) of its topic. Nodes that do not have it in
//! memory any more find it only if it was published by a hub. A plain `XADD` is not checked: after a last event, leave the
//! topic alone for as long as the stream has that. A field `seen` says up to where the publishing hub had the stream; other programs
//! leave it out.
//!
//! Nodes leave out entries that are not events, count them, and show them in
//! [`Hub::health`](tidings::Hub::health). `docs/REDIS.md` has examples in shell, Python and Node.js.
//!
//! # What it does not do
//!
//! It reads from primaries only, and every node reads every event. It does not create users or set limits of
//! memory.
//!
//! # Features
//!
//! - `tls`: addresses `rediss://…`, by rustls. If the process has no default provider of cryptography, that of
//!   `ring` is installed. Off by default.
//! - `sentinel`: addresses `redis+sentinel://…`. Off by default.

mod backoff;
mod batch_size;
mod bridge;
mod builder;
mod endpoint;
mod engine;
mod entry;
mod entry_id;
mod error;
mod follower;
mod history;
mod keys;
mod link;
mod log;
mod options;
mod reader;
mod script;
mod signals;
mod stream_state;
mod subscriber;
mod writer;

pub use bridge::{PubSubBridge, PubSubBridgeBuilder};
pub use builder::RedisLogBuilder;
pub use log::RedisLog;

/// All public types may go to other threads, and be shared by them.
const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<PubSubBridge>();
    is_send_and_sync::<PubSubBridgeBuilder>();
    is_send_and_sync::<RedisLog>();
    is_send_and_sync::<RedisLogBuilder>();
};
