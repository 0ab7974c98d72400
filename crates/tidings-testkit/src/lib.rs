//! What the tests of Tidings share: the suites that every adapter and every log must pass, a client that shows
//! the wire as it is, and fixtures that run the example servers.
//!
//! - [`adapter`]: one function for each promise to applications, whatever their framework, and the small trait by
//!   which an adapter's tests run them all.
//! - [`serving`]: the same for what an adapter's `serve` does besides sending streams.
//! - [`log`]: the same for what a hub's log promises, whatever its engine.
//! - [`shared_log`]: a log that several hubs of one process share, and that can be cut, held, trimmed and wiped.
//! - [`wire`]: an HTTP/1.1 client that sends any bytes and shows what an HTTP library would hide: how a response
//!   is framed, and whether it ended or was cut; and a client for HTTP/2.
//! - [`tls`]: a certificate, and both ends of TLS with it.
//! - [`checker`]: compares what was published with what a client received, and finds lost, doubled, disordered
//!   and foreign events.
//! - [`requirements`]: what a test does when a program that it needs is not installed.
//! - [`redis`], [`nats`]: servers of Redis and NATS; [`guarded`] ends them with the test.
//! - [`proxy`]: a link that can be cut.
//! - [`program`]: builds the programs of the workspace.
//! - [`process`]: runs one of them, and ends it with the test.
//! - [`network`]: a network of a test's own, and clients whose network is gone.
//! - [`watch`]: ends a process with the test, even if the test is killed.
//! - [`limit`]: time limits.
//!
//! Everything here panics where a test fails.

pub mod adapter;
pub mod checker;
#[cfg(unix)]
pub mod guarded;
pub mod limit;
pub mod log;
#[cfg(unix)]
pub mod nats;
#[cfg(target_os = "linux")]
pub mod network;
mod pattern;
pub mod process;
pub mod program;
pub mod proxy;
#[cfg(unix)]
pub mod redis;
pub mod requirements;
pub mod serving;
pub mod shared_log;
mod suite;
pub mod tls;
pub mod watch;
pub mod wire;
