//! What the tests of Tidings stand on: the suites that every adapter and every log must pass, a client that sees
//! the wire as it is, and a fixture that runs the example servers.
//!
//! - [`adapter`]: one function for each promise to applications, whatever their framework, and
//!   the small trait that lets an adapter's tests run them all.
//! - [`log`]: the same for what a hub's log promises, whatever it stands on.
//! - [`shared_log`]: a log that several hubs of one process share, and that can be cut, held, trimmed and wiped.
//! - [`wire`]: an HTTP/1.1 client that sends any bytes, and tells of the response what an HTTP
//!   library would hide: how it was framed, and whether it ended or was cut; and one for HTTP/2.
//! - [`tls`]: a certificate, and both ends of TLS with it.
//! - [`checker`]: tells from what was published and what a client received whether anything was
//!   lost, doubled, out of order or somebody else's.
//! - [`requirements`]: what a test does when a program that it needs is not installed.
//! - [`redis`], [`nats`]: servers of Redis and NATS; [`guarded`] ends them with the test.
//! - [`proxy`]: a link that can be cut.
//! - [`program`]: builds the programs of the workspace.
//! - [`process`]: runs one of them, and ends it with the test.
//! - [`tasks`]: vanished clients leave none behind.
//! - [`watch`]: ends a process with the test also when that is killed.
//! - [`limit`]: no test waits for ever.
//!
//! Everything here panics where a test fails.

pub mod adapter;
pub mod checker;
mod family;
#[cfg(unix)]
pub mod guarded;
pub mod limit;
pub mod log;
#[cfg(unix)]
pub mod nats;
pub mod process;
pub mod program;
pub mod proxy;
#[cfg(unix)]
pub mod redis;
pub mod requirements;
pub mod shared_log;
pub mod tasks;
pub mod tls;
pub mod watch;
pub mod wire;
