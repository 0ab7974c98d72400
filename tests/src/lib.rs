//! Tests across crates; they are in `tests/tests`.
//!
//! Here is what they share: [`requirements`] decides what becomes of a test whose tools are not
//! installed, [`redis`] starts servers of that name, [`examples`] builds the programs that are tested, and [`interop`] has the clients and
//! proxies that other people wrote.

pub mod examples;
#[cfg(unix)]
pub mod interop;
#[cfg(unix)]
pub mod redis;
pub mod requirements;
