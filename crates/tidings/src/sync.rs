//! What the core shares memory with: `parking_lot`, the atomics and threads of `std`; or, with
//! `--cfg shuttle`, the same of [shuttle](https://docs.rs/shuttle), which chooses who runs when.
//! See `models.rs`.

#[cfg(not(shuttle))]
mod real {
    pub(crate) use std::collections::{HashMap, HashSet};
    pub(crate) use std::sync::atomic;
    pub(crate) use std::thread;

    pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
}

#[cfg(not(shuttle))]
pub(crate) use real::*;

#[cfg(shuttle)]
mod model;

#[cfg(shuttle)]
pub(crate) use model::*;
