//! A console for a hub: what its clients, topics and logs are doing, live in the browser, for whoever has its token.
//!
//! ```
//! use tidings::Hub;
//! use tidings_console::Console;
//!
//! let hub = Hub::new();
//! let console = Console::new(&hub, "a long random token")?;
//! // With the feature of the framework, one line mounts it at `/console`:
//! # #[cfg(feature = "axum")]
//! let app: axum::Router = axum::Router::new().merge(tidings_console::axum::router(console));
//! # Ok::<(), tidings_console::ConsoleError>(())
//! ```
//!
//! Whoever has the token sees the hub's clients (and may end their streams), topics with their rates, lag, resets by their
//! reason, the nodes of the cluster, memory, charts of the last five minutes, and every [metric](tidings::Metrics); and reads along
//! with any topic.
//!
//! # Mounting
//!
//! | feature | in the application |
//! |---|---|
//! | `axum` | `Router::merge(tidings_console::axum::router(console))` |
//! | `actix-web` | `App::configure(tidings_console::actix_web::configure(console))` |
//! | `warp` | `.or(tidings_console::warp::filter(console))` |
//!
//! For any other server, [`Console::respond`] takes a [`Request`] and returns an [`Answer`].
//!
//! # How it stays private
//!
//! - Without a token there is no console: [`Console::new`] refuses an empty one. The token is sent once, in the body of a POST,
//!   and never in a URL. The session is a cookie with an expiry and an HMAC under the token: `HttpOnly`, `SameSite=Strict`,
//!   only for the console's paths, and `Secure` if the browser uses https. It, and its open streams, are good for eight
//!   hours, on every node that has the same token.
//! - Everything but the page, its files and the login needs the session.
//! - What changes something needs a header that pages of other origins cannot send.
//! - Ten attempts to log in are answered in a second, over all clients. Choose a token that cannot be guessed, of 128 random bits:
//!   `openssl rand -hex 16`.
//! - The page runs no inline script, and loads nothing from elsewhere. All that comes from clients is shown as text.
//! - The figures go over a hub of the console's own: no pattern that a client of yours subscribes to gets them. They are made
//!   only while a console is open.
//!
//! # What it does not do
//!
//! It publishes nothing to the application's hub, and has no users and roles: whoever has the token may do everything that it can.
//! It lists the clients of the node that answers; closing reaches all nodes. Nothing is recorded: charts begin when the page is
//! opened. For history there is Prometheus: see [DEPLOYING](https://github.com/tidings-rs/tidings/blob/main/docs/DEPLOYING.md#metrics).

mod answer;
mod assets;
mod clients;
mod console;
mod error;
mod figures;
mod request;
mod session;

#[cfg(feature = "actix-web")]
pub mod actix_web;
#[cfg(feature = "axum")]
pub mod axum;
#[cfg(feature = "warp")]
pub mod warp;

pub use answer::{Answer, Response};
pub use console::Console;
pub use error::ConsoleError;
pub use request::Request;
