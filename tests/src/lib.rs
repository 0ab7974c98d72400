//! Tests across crates; they are in `tests/tests`.
//!
//! Here is what they share: [`requirements`] decides what becomes of a test whose tools are not
//! installed, [`interop`] has the clients and proxies that other people wrote,
//! [`proxy`] is a link that can be cut, [`guarded`] runs servers that end
//! with the test, and [`nats`] and [`redis`] those of NATS and Redis. [`random`] decides by a seed, and
//! [`document`] is for what tests write down.

pub mod document;
pub mod example;
pub mod fault_injector;
#[cfg(unix)]
pub mod guarded;
#[cfg(unix)]
pub mod interop;
#[cfg(unix)]
pub mod nats;
pub mod proxy;
pub mod random;
#[cfg(unix)]
pub mod redis;
pub mod requirements;
