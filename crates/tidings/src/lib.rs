//! Server-sent events: a hub of topics whose logs are both the live feed and the replay history.
//!
//! ```
//! use tidings::{Event, Hub, Resume};
//!
//! let hub = Hub::new();
//!
//! // A handler subscribes its request to topics. The adapter makes the request and the response.
//! let request = Resume::new();
//! let subscription = request.subscribe(&hub, ["news", "user:42"]).open()?;
//!
//! // Anywhere else:
//! let published = hub.publish("news", Event::named("headline", "Hello")?).wait()?;
//! assert_eq!(published.subscribers(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! This is the core. Applications use it through the crate of their web framework, such as `tidings-axum`, which
//! re-exports it.
//!
//! # Concepts
//!
//! An [`Event`] is published to a [`Topic`] of a [`Hub`]. The hub encodes it once, gives it an id and appends it to the
//! topic's log: a bounded ring, as large as its [`Retention`] says. A [`Subscription`] is a cursor into the logs of its
//! topics, and a stream of bytes. Reading new events and replaying missed ones is the same operation, so there is no
//! hand-over between the two in which an event could be lost or doubled.
//!
//! A client may also subscribe to a *pattern*, such as `sensors/*`: [`Hub::subscribe_matching`]. Events may have *attributes*,
//! and a subscription a [`Filter`] on them: for roles, tenants, severity.
//!
//! Ids are in one order over the whole hub. So the single Last-Event-ID that a client remembers says what it has seen of
//! all its topics, and [`Resume::subscribe`] goes on from there. The first event of a subscription, named
//! [`STATUS_EVENT`], says whether that worked: a client is fresh, resumed, or [reset](ResetReason) because something
//! that it missed is gone.
//!
//! [`Hub::position`] and [`Hub::history`] are for pages that show the state, and then open a stream with no gap between.
//! [`Hub::clients`] lists the connected clients, and [`Hub::cluster`] counts and ends them on all nodes of a log.
//! [`Hub::health`], [`Hub::metrics`] and [`Hub::topics`] are for operators. [`Hub::publish_ephemeral`] is for events that only
//! matter now. [`EventStream`] sends a stream of events to one client, without a hub. [`Decoder`] is the other end, for tests
//! and clients.
//!
//! # Guarantees
//!
//! - A connection gets every retained event of its topics after its cursor, in the hub's order, none twice. Across
//!   reconnects it gets the same, or a reset. There is never a silent gap.
//! - The Last-Event-ID that a client sends causes no panic, and no error but the one that is meant (204, when its topics [are
//!   finished](Hub::finish) and it has their ends). It shows the client no topic that the handler did not pass.
//! - Publishing never waits for a client. A slow client lags in the log, and is reset when its next event is gone. What slow
//!   clients hold besides is [bounded](HubBuilder::pinned_limit).
//! - Names, ids, comments and data cannot break the framing.
//! - Memory is bounded by topic and by hub. Nothing here panics on run-time data.
//!
//! # What it does not do
//!
//! It has no HTTP, no runtime and no sockets; adapters and servers have. It does not authenticate clients. It limits their
//! number by [principal](HubBuilder::streams_per_principal), [client key](HubBuilder::streams_per_client_key) and
//! [topic](HubBuilder::streams_per_topic), if that is set; servers limit connections. A hub that is [built](HubBuilder::build)
//! in memory ends with its process, so a restart resets its clients. One that is [built on a log](HubBuilder::build_on) goes
//! on, on one node or many: see [`backend`].
//!
//! # Modules
//!
//! The root has what an application uses every day. [`error`] has the errors, [`cluster`] the view on all nodes, [`presence`]
//! who is on a topic, [`backend`] what a log implements, [`response`] HTTP for adapters, and [`clock`] time for tests.
//!
//! # Telling operators
//!
//! Besides [`Hub::metrics`] and [`Hub::health`], operators are told through [`tracing`](https://docs.rs/tracing). Events have
//! the fields `client`, `principal`, `topics` (the first eight, when the stream was opened), `topic` and `reason`, as far as
//! they apply; `status` when a stream is opened, and `bytes` and `events` when it has ended. None is made for each event that is
//! published or sent.
//!
//! | target | level | message |
//! |---|---|---|
//! | `tidings::stream` | `WARN` | `stream failed` (a snapshot), `stream of events failed` (an [`EventStream`]), `stream cut` (for memory), `client's right could not be checked`, `hub's log cannot be read` (of one of the streams that wait for it; the same cause once a minute, and 16 causes at most) |
//! | | `INFO` | `client lagged too far, and is reset`; `stream failed`, if it cannot be told that |
//! | | `DEBUG` | `stream opened`, `stream begins with a reset`, `stream is ended`, `stream ended`, `subscription refused` |
//! | `tidings::publish` | `WARN` | `publication failed`: the hub's log does not take it, and the outcome was awaited |
//! | | `DEBUG` | `publication refused`: its caller's mistake |
//! | `tidings::connection` | `ERROR` | a writer thread failed, which is a defect |
//! | | `WARN` | `…: those without a request make room for others` and `no connection can be accepted`, by the server |
//! | | `DEBUG` | `connection ended`: refused, evicted, timed out or flooded; `stream stalled, and was reset`; `a connection ends` |
//!
//! Each stream of a hub has a span `stream` at `INFO`, from when it is opened until it is dropped, in which its events are, but for
//! `stream cut`, `client's right could not be checked` and `hub's log cannot be read`. It is a
//! root: it *follows from* the request's span, and is never entered, so it does not make requests look as if they took hours.
//! A layer that makes a histogram of the durations of all spans must leave it out by its target, for instance with
//! `Targets::new().with_default(LevelFilter::INFO).with_target("tidings::stream", LevelFilter::OFF)`.
//!
//! # More to read
//!
//! - [The guide](https://github.com/tidings-rs/tidings/blob/main/docs/guide/README.md): from a first stream to production, and recipes.
//! - [GUARANTEES](https://github.com/tidings-rs/tidings/blob/main/docs/GUARANTEES.md): what is promised about order, loss, resets and limits, and what is not.
//! - [SERVING](https://github.com/tidings-rs/tidings/blob/main/docs/SERVING.md), [DEPLOYING](https://github.com/tidings-rs/tidings/blob/main/docs/DEPLOYING.md) and [SECURITY](https://github.com/tidings-rs/tidings/blob/main/docs/SECURITY.md): servers and TLS, proxies and
//!   authentication, attacks.
//! - [SCALING](https://github.com/tidings-rs/tidings/blob/main/docs/SCALING.md): durable logs, and many nodes.
//! - [TROUBLESHOOTING](https://github.com/tidings-rs/tidings/blob/main/docs/TROUBLESHOOTING.md), by what you see.
//!
//! # Features
//!
//! - `http-body`: [`Subscription`] and [`EventStream`] are bodies of the `http-body` crate. Off by default; the adapters
//!   for frameworks on hyper turn it on.
//! - `openapi`: the module `openapi`: what a stream sends, in a document of OpenAPI 3.2. Off by default. It names types of utoipa
//!   6; that it will be another major version is a minor change of this crate.
//! - `test-util`: `clock::ManualClock`, time that stands still until a test moves it. Off by default.
//! - `ts`: the module `ts`: what topics send, as TypeScript. Off by default. What is said of utoipa is true of ts-rs 12.
//!
//! The format is that of the HTML standard, section 9.2 "Server-sent events".

pub mod backend;
mod background;
mod client;
mod client_handle;
mod client_id;
mod clients;
pub mod clock;
pub mod cluster;
mod cohort;
mod counters;
mod decode;
mod encode;
mod end_reason;
mod epoch;
pub mod error;
mod event;
mod event_stream;
mod field;
mod filter;
mod health;
mod heartbeat;
mod hub;
mod into_topics;
mod last_event_id;
mod log;
mod metrics;
mod number_map;
mod outlet;
mod pace;
mod pattern_map;
mod pinned;
pub mod presence;
mod registry;
pub mod response;
mod resume;
mod retry;
mod server_event;
mod source;
mod status;
mod stream_limit;
mod subscription;
mod sync;
mod telling;
mod timers;
mod topic;
mod topic_changes;
mod topic_info;
#[doc(hidden)]
pub mod transport;
mod waking;

#[cfg(feature = "http-body")]
mod body;
#[cfg(feature = "openapi")]
pub mod openapi;
#[cfg(feature = "ts")]
pub mod ts;

#[cfg(all(test, shuttle))]
mod models;

pub use backend::IdempotencyKey;
pub use client::ClientInfo;
pub use client_handle::ClientHandle;
pub use client_id::{ClientId, ParseClientIdError};
pub use clients::Clients;
pub use decode::{Decoder, Message};
pub use end_reason::{END_EVENT, EndReason};
pub use event::{AttributeName, AttributeValue, Event, EventKey};
pub use event_stream::{EventStream, StreamItem};
pub use field::{Comment, EventId, EventName};
pub use filter::Filter;
pub use health::{Health, Link};
pub use heartbeat::{DEFAULT_HEARTBEAT, Heartbeat};
pub use hub::Hub;
pub use hub::builder::HubBuilder;
pub use hub::drain::Drain;
pub use hub::publish::Publish;
pub use hub::published::Published;
pub use into_topics::IntoTopics;
pub use last_event_id::LastEventId;
pub use log::reset_reason::ResetReason;
pub use log::retention::Retention;
pub use metrics::Metrics;
pub use resume::Resume;
pub use retry::DEFAULT_RETRY;
pub use server_event::ServerEvent;
pub use source::Source;
pub use status::{STATUS_EVENT, Status};
pub use stream_limit::{OverLimit, StreamLimit};
pub use subscription::Subscription;
pub use subscription::event_history::EventHistory;
pub use subscription::history::History;
pub use subscription::messages::Messages;
pub use subscription::read_history::ReadHistory;
pub use subscription::snapshot::{SharedSnapshot, Snapshot};
pub use subscription::subscribe::Subscribe;
pub use topic::{Topic, TopicPattern};
pub use topic_info::TopicInfo;
