//! Attacks on the example hubs from outside, each with what the hub must do: end it in time, need no more memory than
//! its bound, and let honest clients notice nothing. docs/SECURITY.md has a row for each.
//!
//! `siege` makes them at random, by a seed, while a thousand honest clients are served; and `number` compares how fast
//! 15,000 connect, in a release build, with a server that only accepts:
//!
//! ```sh
//! TIDINGS_ATTACKS_SECONDS=3600 cargo test --release -p tidings-tests --test attacks siege -- --nocapture
//! cargo test --release -p tidings-tests --test attacks a_crowd_connects -- --nocapture --test-threads 1
//! ```
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod attacker;
mod firehose;
mod http2;
mod junk;
mod memory;
mod number;
mod security;
mod siege;
mod slow;
mod target;
mod time;
mod topics;
