use std::net::SocketAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::Plan;
use crate::measures::Measures;

/// What the clients of a fleet use together.
#[derive(Debug)]
pub(crate) struct FleetContext {
    pub(crate) plan: Plan,
    pub(crate) server: SocketAddr,
    /// A slow client reads this many bytes, then pauses.
    pub(crate) slow_bytes: usize,
    pub(crate) slow_pause: Duration,
    pub(crate) measures: Mutex<Measures>,
    /// A client streams, has given up, or has received what somebody waits for.
    pub(crate) changed: Notify,
    /// Counts the storms.
    pub(crate) storm: watch::Sender<u64>,
    /// At the end of the run, stalled clients check their connections.
    pub(crate) thaw: watch::Sender<bool>,
}

impl FleetContext {
    pub(crate) fn new(plan: Plan, server: SocketAddr) -> Self {
        // Ten times a second, or whenever there is a byte to read.
        let slow_bytes = plan.slow_rate.div_ceil(10).max(1);
        Self {
            server,
            slow_bytes: usize::try_from(slow_bytes).unwrap_or(usize::MAX),
            slow_pause: Duration::from_secs_f64(slow_bytes as f64 / plan.slow_rate.max(1) as f64),
            measures: Mutex::new(Measures::new((0..plan.clients).map(|at| plan.kind(at)))),
            changed: Notify::new(),
            storm: watch::Sender::new(0),
            thaw: watch::Sender::new(false),
            plan,
        }
    }
}
