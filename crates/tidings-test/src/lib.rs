//! Tests of server-sent events without a socket: an application's own router, service or filter is called, and the test says
//! what its stream must bring.
//!
//! ```
//! # #[cfg(feature = "axum")]
//! # mod example {
//! use axum::{Router, extract::State, routing::get};
//! use tidings_axum::{Event, Hub, Sse, SseRequest};
//! use tidings_test::{Status::Resumed, TestClient};
//!
//! async fn events(State(hub): State<Hub>, request: SseRequest) -> Sse {
//!     request.subscribe(&hub, "jobs").into()
//! }
//!
//! fn app(hub: &Hub) -> Router {
//!     Router::new().route("/events", get(events)).with_state(hub.clone())
//! }
//!
//! # pub
//! # /*
//! #[tokio::test]
//! # */
//! async fn a_client_gets_what_it_missed() {
//!     let hub = Hub::new();
//!     let app = app(&hub);
//!     let mut client = TestClient::get(&app, "/events").connect().await;
//!     hub.publish("jobs", Event::named("created", "7").unwrap()).await.unwrap();
//!     assert_eq!(client.expect("created").await.data(), "7");
//!
//!     client.disconnect();
//!     hub.publish("jobs", Event::named("done", "7").unwrap()).await.unwrap();
//!     client.reconnect().await;
//!     client.expect_status(Resumed).await;
//!     client.expect("done").await;
//! }
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! #     #[cfg(feature = "axum")]
//! #     example::a_client_gets_what_it_missed().await;
//! # }
//! ```
//!
//! A test that fails says what came instead:
//!
//! ```text
//! tests/jobs.rs:24:12: expected event "done", but next is event "failed", id 3fk2-2: {"job":7}
//! GET /events → 200 OK
//!    1. event "tidings:status", id 3fk2-1: {"status":"resumed","client":"9f2c…"}
//!    2. event "failed", id 3fk2-2: {"job":7}
//!       the stream is open
//! ```
//!
//! [`TestClient`] makes requests; [`TestStream`] is a stream, and can be made of any stream of bytes, from other frameworks or
//! from no framework. The streams need not come from Tidings.
//!
//! # Time
//!
//! There are three times. [`TestStream`] says how its methods use them.
//!
//! - The hub's: heartbeats, and the age of retained events. A hub with a [`ManualClock`] has its own, which the test
//!   advances.
//! - tokio's: timers of the application. `#[tokio::test(start_paused = true)]` pauses it, and then it jumps from timer to
//!   timer. [`TestStream::expect_silence`] is in tokio's time.
//! - The machine's: the limit of each wait, 5 seconds unless set.
//!
//! # Features
//!
//! All are off by default. [`TestClient`] needs one of them, [`TestStream`] none.
//!
//! - `axum`: for axum's `Router`, and any other `tower::Service`.
//! - `actix-web`: for its services.
//! - `warp`: for its filters.
//!
//! # What it does not do
//!
//! There is no socket and no server: nothing here tests TLS, HTTP/2, the limits of `serve`, or a proxy. A redirect is not
//! followed, as a browser would.

mod app;
mod client;
mod limit;
mod received;
mod stream;

pub use app::{App, IntoApp};
pub use client::{Connect, TestClient};
pub use stream::{DEFAULT_LIMIT, TestStream};
pub use tidings::clock::ManualClock;
pub use tidings::{Message, ResetReason, Status};
