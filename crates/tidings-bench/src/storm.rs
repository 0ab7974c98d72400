//! Many clients that reconnect at once. Each has missed the same events.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::clients::Fleet;
use crate::error::Error;
use crate::loads::{subscription, topic};
use crate::process::Process;
use crate::publisher::Publisher;
use crate::servers::Server;
use crate::stamp::Clock;

/// Events that each client has missed.
pub(crate) const MISSED: usize = 100;

/// Clients that reconnect.
pub(crate) const CLIENTS: usize = 1_000;

const BYTES: usize = 200;

/// The cost until each client has received every event.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Storm {
    /// From the first connection to the last event, in milliseconds.
    pub(crate) millis: f64,
    /// The server's processor time for each client, including its connection and request.
    pub(crate) cpu_micros: f64,
}

/// Lets clients resume from a server that replays. The result is the fastest of a few storms, because
/// the machine may have other work. Fails if a client does not get exactly what it has missed.
pub(crate) fn storm(server: Server, quick: bool) -> Result<Storm, Error> {
    let mut fastest = once(server)?;
    for _ in 1..if quick { 1 } else { 3 } {
        let storm = once(server)?;
        if storm.millis < fastest.millis {
            fastest = storm;
        }
    }
    Ok(fastest)
}

fn once(server: Server) -> Result<Storm, Error> {
    let process = Process::start(server)?;
    let clock = Clock::new();
    let path = subscription(server, &[topic(0)]);
    let mut publisher = Publisher::connect(process.addr(), server != Server::Nchan)?;
    let mut publish = |count| publisher.publish(&[topic(0)], count, &clock.now().data(BYTES));

    // One client learns the id from which the others resume.
    let mut witness = Fleet::with_ids(process.addr(), clock)?;
    witness.connect(1, |_| path.clone())?;
    publish(1)?;
    witness.wait_for_total(1)?;
    let last_id = witness.last_id().ok_or_else(|| Error::new("the event has no id"))?.to_owned();
    publish(MISSED)?;
    witness.wait_for_total(1 + MISSED as u64)?;

    let mut fleet = Fleet::new(process.addr(), clock)?;
    let before = process.time_on_cpu()?;
    let began = Instant::now();
    fleet.storm(CLIENTS, &path, &last_id)?;
    fleet.expect(MISSED as u64);
    fleet.wait_for_each()?;
    let took = began.elapsed();
    let after = process.time_on_cpu()?;
    if !fleet.each_has_exactly(MISSED as u64) {
        return Err(Error::new("a client got more than it had missed"));
    }
    let used = after.saturating_sub(before);
    Ok(Storm {
        millis: took.as_secs_f64() * 1e3,
        cpu_micros: used.as_secs_f64() * 1e6 / CLIENTS as f64,
    })
}
