//! Clients and proxies that people use, and what each of them makes of a hub's streams. `tests/tests/interop.rs` runs
//! them all.
//!
//! - [`script`]: what is published to a client, and how it is cut, in order.
//! - [`client`]: the clients, their deviations from the standard, and their drivers as processes.
//! - [`judge`] checks that a client received what was published.
//! - [`run`] plays the script to one client at one hub.
//! - [`hub`]: the interface of the example hubs.
//! - [`link`](mod@link): a network that breaks where the script says.
//! - [`proxy`]: proxies as processes, and what must pass through them.
//! - [`report`] writes docs/COMPARISON.md.

pub mod client;
pub mod finished;
pub mod hub;
pub mod judge;
pub mod link;
pub mod proxy;
pub mod report;
pub mod run;
pub mod script;
