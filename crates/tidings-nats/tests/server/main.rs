//! A hub's log on a server of NATS.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod access;
mod bridge;
mod cluster;
mod families;
mod faults;
mod foreign;
mod interests;
mod monitor;
mod reading;
mod suite;
