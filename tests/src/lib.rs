//! Tests across crates; they are in `tests/tests`.
//!
//! Here is what they share: [`requirements`] decides what becomes of a test whose tools are not
//! installed, [`examples`] builds the programs that are tested, [`interop`] has the clients and
//! proxies that other people wrote, [`proxy`] is a link that can be cut, and [`redis`] starts servers.

pub mod examples;
#[cfg(unix)]
pub mod interop;
pub mod proxy;
#[cfg(unix)]
pub mod redis;
pub mod requirements;
