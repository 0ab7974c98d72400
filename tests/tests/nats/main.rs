//! A hub's log on a server of NATS.
#![cfg(unix)]

mod suite;
