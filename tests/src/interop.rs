//! The clients that people use, and the proxies that stand between: what each of them makes of a
//! hub's streams. `tests/tests/interop.rs` runs them all.
//!
//! - [`script`]: what is published to a client, and how it is cut, in which order.
//! - [`client`]: the clients, their deviations from the standard, and their drivers as processes.
//! - [`judge`]: whether what a client received is what was published.
//! - [`run`]: the script, played to one client at one hub.
//! - [`hub`]: the interface of the example hubs.
//! - [`link`](mod@link): a network that breaks where the script wants it to.
//! - [`proxy`]: nginx, Caddy and HAProxy as processes, and what must pass through them.
//! - [`report`] writes docs/COMPARISON.md.

pub mod client;
pub mod hub;
pub mod judge;
pub mod link;
pub mod proxy;
pub mod report;
pub mod run;
pub mod script;
