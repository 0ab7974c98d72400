//! The log on Redis, and the bridge from its Pub/Sub, with real servers.

#![cfg(unix)]

mod suite;
