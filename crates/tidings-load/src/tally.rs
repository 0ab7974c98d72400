use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Verdict;
use crate::latency::Latency;

/// What the clients of one process, or of all, have measured.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Tally {
    /// Clients that are connected now.
    pub(crate) connected: u64,
    /// Clients whose stream began at least once.
    pub(crate) streamed: u64,
    /// Clients that were given a final refusal, or never got a connection, by the reason.
    pub(crate) gave_up: BTreeMap<String, u64>,
    /// Connections whose stream began.
    pub(crate) opened: u64,
    /// Attempts that failed, by the reason.
    pub(crate) failures: BTreeMap<String, u64>,
    pub(crate) planned: u64,
    pub(crate) stormed: u64,
    pub(crate) ended_by_server: u64,
    pub(crate) broken: u64,
    pub(crate) stalled: u64,
    pub(crate) stalled_let_go: u64,
    pub(crate) slow: u64,
    pub(crate) slow_let_go: u64,
    pub(crate) deliveries: u64,
    pub(crate) bytes: u64,
    /// Deliveries of events that were sent before the client connected.
    pub(crate) replayed: u64,
    /// Deliveries without a timestamp.
    pub(crate) untimed: u64,
    /// Deliveries with a timestamp in the future.
    pub(crate) early: u64,
    /// Clients that had not the newest event when it ended.
    pub(crate) behind: u64,
    pub(crate) verdict: Verdict,
    pub(crate) connect: Latency,
    pub(crate) first_byte: Latency,
    pub(crate) latency: Latency,
    /// How late the load generator itself is.
    pub(crate) lag: Latency,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        let add_all = |to: &mut BTreeMap<String, u64>, from: &BTreeMap<String, u64>| {
            for (reason, times) in from {
                *to.entry(reason.clone()).or_default() += times;
            }
        };
        self.connected += other.connected;
        self.streamed += other.streamed;
        add_all(&mut self.gave_up, &other.gave_up);
        self.opened += other.opened;
        add_all(&mut self.failures, &other.failures);
        self.planned += other.planned;
        self.stormed += other.stormed;
        self.ended_by_server += other.ended_by_server;
        self.broken += other.broken;
        self.stalled += other.stalled;
        self.stalled_let_go += other.stalled_let_go;
        self.slow += other.slow;
        self.slow_let_go += other.slow_let_go;
        self.deliveries += other.deliveries;
        self.bytes += other.bytes;
        self.replayed += other.replayed;
        self.untimed += other.untimed;
        self.early += other.early;
        self.behind += other.behind;
        self.verdict.add(&other.verdict);
        self.connect.add(&other.connect);
        self.first_byte.add(&other.first_byte);
        self.latency.add(&other.latency);
        self.lag.add(&other.lag);
    }
}

/// What was measured since the sample before.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// The first is 0.
    pub(crate) number: usize,
    pub(crate) connected: u64,
    pub(crate) deliveries: u64,
    pub(crate) latency: Latency,
}

impl Sample {
    pub(crate) fn add(&mut self, other: &Self) {
        self.connected += other.connected;
        self.deliveries += other.deliveries;
        self.latency.add(&other.latency);
    }
}
