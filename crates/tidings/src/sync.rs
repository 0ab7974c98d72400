//! The locks, atomics and threads that the core uses: those of `parking_lot` and `std`, or, with `--cfg shuttle`, those of
//! [shuttle](https://docs.rs/shuttle), which chooses the order in which threads run. See `models.rs`.

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
