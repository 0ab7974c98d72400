//! What the clients have counted: of one process, or of all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::latency::Latency;

/// Adds these fields of one to those of the other.
macro_rules! add {
    ($to:ident += $from:ident: $($field:ident),+) => { $($to.$field += $from.$field;)+ };
}

fn add_all(to: &mut BTreeMap<String, u64>, from: &BTreeMap<String, u64>) {
    for (reason, times) in from {
        *to.entry(reason.clone()).or_default() += times;
    }
}

/// The clients of a load, by what became of them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Clients {
    /// All clients of the plan.
    pub wanted: u64,
    /// Clients whose stream began at least once.
    pub streamed: u64,
    /// Clients that stream now, or at the end of the run.
    pub connected_at_end: u64,
    /// Clients that were refused, or never got a connection, by the reason.
    pub gave_up: BTreeMap<String, u64>,
    /// Clients that have had no stream yet, and try in vain, or for more than half a second.
    pub waiting: u64,
    /// Clients that come back, and have had no answer for half a second to 5 seconds: no fault yet.
    pub unanswered: u64,
    /// Clients that have lost their stream: they gave up, came back in vain, or were turned away
    /// because there are too many. Slow and stalled clients that were evicted do not count.
    pub lost: u64,
    /// Clients that came back and were answered with 204, because their stream is finished.
    pub finished: u64,
    /// Clients that do not read.
    pub stalled: u64,
    /// Stalled clients whose connection the server has ended.
    pub stalled_evicted: u64,
    /// Clients that read slowly.
    pub slow: u64,
    /// Slow clients whose connection the server has ended.
    pub slow_evicted: u64,
}

impl Clients {
    fn add(&mut self, other: &Self) {
        add!(self += other: wanted, streamed, connected_at_end, waiting, unanswered, lost);
        add!(self += other: finished, stalled, stalled_evicted, slow, slow_evicted);
        add_all(&mut self.gave_up, &other.gave_up);
    }
}

/// Connections, by what became of them. A stream of HTTP/2 counts as one.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Connections {
    /// Connections whose stream began.
    pub opened: u64,
    /// Closed by their clients, each at its time.
    pub closed_as_planned: u64,
    /// Closed by their clients, all at the same time.
    pub closed_by_storm: u64,
    /// Ended by the server as a response should end.
    pub ended_by_server: u64,
    /// Ends that a hub has announced with `tidings:end`, by the reason.
    pub announced_ends: BTreeMap<String, u64>,
    /// Cut in the middle of a stream.
    pub broken: u64,
    /// Attempts that failed and streams that were cut, by the reason.
    pub failures: BTreeMap<String, u64>,
}

impl Connections {
    fn add(&mut self, other: &Self) {
        add!(self += other: opened, closed_as_planned, closed_by_storm, ended_by_server, broken);
        add_all(&mut self.announced_ends, &other.announced_ends);
        add_all(&mut self.failures, &other.failures);
    }
}

/// What was received.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Deliveries {
    /// Events, over all clients. A hub's own events do not count.
    pub total: u64,
    /// The average until the end of the run.
    pub per_second: f64,
    /// The best sample.
    pub peak_per_second: f64,
    /// With heads and framing; over HTTP/2 only the bodies.
    pub bytes: u64,
    /// Events that were sent before the client had connected: they have no latency.
    pub replayed: u64,
    /// Events without a timestamp.
    pub without_timestamp: u64,
    /// Events with a timestamp in the future; their latency is 0. The clocks differ.
    pub from_the_future: u64,
}

impl Deliveries {
    fn add(&mut self, other: &Self) {
        add!(self += other: total, bytes, replayed, without_timestamp, from_the_future);
    }
}

/// What was wrong with the events that clients received, over all clients. See
/// [what judges what](crate#what-judges-what).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Verdict {
    /// Events that a client did not receive although later ones came.
    pub missed: u64,
    /// Events that a client received again.
    pub duplicates: u64,
    /// Events that came after a later one.
    pub disordered: u64,
    /// Events without the expected field: see [`Fields::expected`](crate::Fields::expected).
    pub foreign: u64,
    /// Resets that servers announced.
    pub resets: u64,
    /// Events that came again after a reset: no fault.
    pub repeated_after_reset: u64,
    /// Events that clients did not receive because of a reset, or because they had no id to resume
    /// from: no fault, as it was announced.
    pub missed_after_reset: u64,
    /// Events that came with an id whose position could be judged.
    pub judged_by_id: u64,
    /// Times that a client received an id with an epoch that was new to it, except the first one, or
    /// an id again for an event that is new by its number. With as many as there are events, the ids
    /// have no epoch, and only numbers are judged.
    pub histories: u64,
    /// Events that came with a number in their data.
    pub judged_by_number: u64,
    /// Events without a number whose position was compared with the other clients'.
    pub compared: u64,
    /// Events with neither position nor number, or with a number of a stream beyond the first
    /// thousand of a client.
    pub unjudged: u64,
}

impl Verdict {
    /// No event was missed, doubled, out of order or foreign.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.missed == 0 && self.duplicates == 0 && self.disordered == 0 && self.foreign == 0
    }

    fn add(&mut self, other: &Self) {
        add!(self += other: missed, duplicates, disordered, foreign, resets);
        add!(self += other: repeated_after_reset, missed_after_reset);
        add!(self += other: judged_by_id, histories, judged_by_number, compared, unjudged);
    }
}

/// All that the clients of one process, or of all, have counted and timed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) clients: Clients,
    pub(crate) connections: Connections,
    pub(crate) deliveries: Deliveries,
    pub(crate) verdict: Verdict,
    /// Reading clients without the last event that was published.
    pub(crate) behind: u64,
    /// Clients with any event that was published.
    pub(crate) received_published: u64,
    /// Reading clients that had a stream before the last event was published.
    pub(crate) published_to: u64,
    /// Deliveries until the end of the run; later ones do not count for the rate.
    pub(crate) in_time: u64,
    pub(crate) connect: Latency,
    pub(crate) first_byte: Latency,
    pub(crate) latency: Latency,
    /// How late the load generator itself is.
    pub(crate) lag: Latency,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.clients.add(&other.clients);
        self.connections.add(&other.connections);
        self.deliveries.add(&other.deliveries);
        self.verdict.add(&other.verdict);
        add!(self += other: behind, received_published, published_to, in_time);
        self.connect.add(&other.connect);
        self.first_byte.add(&other.first_byte);
        self.latency.add(&other.latency);
        self.lag.add(&other.lag);
    }
}

/// What was measured since the previous sample.
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
        add!(self += other: connected, deliveries);
        self.latency.add(&other.latency);
    }
}
