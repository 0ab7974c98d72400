//! Tests across crates; they are in `tests/tests`.
//!
//! Here is what they share: [`interop`] has the clients and proxies that other people wrote, [`random`] decides by
//! a seed, and [`document`] is for what tests write down. The servers that they run are in `tidings-testkit`.

pub mod document;
pub mod example;
pub mod fault_injector;
#[cfg(unix)]
pub mod interop;
pub mod random;

#[cfg(unix)]
pub use tidings_testkit::{nats, redis};
pub use tidings_testkit::{proxy, requirements};

/// The code in `docs/SERVING.md` compiles.
#[cfg(doctest)]
#[doc = include_str!("../../docs/SERVING.md")]
mod serving {}
