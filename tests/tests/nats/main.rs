//! A hub's log on a server of NATS.
#![cfg(unix)]

mod access;
mod bridge;
mod cluster;
mod faults;
mod foreign;
mod suite;
