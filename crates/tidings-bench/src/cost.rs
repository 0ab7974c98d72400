//! What the delivery of one event to one client costs the server.

use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clients::Fleet;
use crate::error::Error;
use crate::instrument::{Counts, Instrument};
use crate::loads::Load;
use crate::process::{CpuTime, Process};
use crate::publisher::Publisher;
use crate::servers::Server;
use crate::stamp::Clock;

/// Per delivery, each with its share of the publication.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) user_instructions: f64,
    pub(crate) kernel_instructions: Option<f64>,
    pub(crate) cycles: Option<f64>,
}

/// Processor time per delivery in microseconds, in a run without an instrument.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Time {
    pub(crate) user_micros: f64,
    pub(crate) system_micros: f64,
}

/// Connected clients, and a publisher.
#[derive(Debug)]
pub(crate) struct Bench {
    fleet: Fleet,
    publisher: Publisher,
    clock: Clock,
    load: Load,
    round: usize,
}

impl Bench {
    /// Connects the clients of a load to a server; their number may differ from the load's.
    pub(crate) fn connect(
        process: &Process,
        server: Server,
        load: Load,
        clients: usize,
    ) -> Result<Self, Error> {
        let clock = Clock::new();
        let mut fleet = Fleet::new(process.addr(), clock)?;
        fleet.connect(clients, |client| load.path(server, client))?;
        let publisher = Publisher::connect(process.addr(), server != Server::Nchan)?;
        Ok(Self { fleet, publisher, clock, load, round: 0 })
    }

    /// Publishes before anything is measured, so that buffers grow and code is loaded.
    pub(crate) fn warm_up(&mut self) -> Result<(), Error> {
        for _ in 0..if self.load.burst() < 100 { 2 } else { 1 } {
            self.round()?;
        }
        Ok(())
    }

    /// Publishes one burst, and waits until all clients have it. Returns the number of deliveries.
    pub(crate) fn round(&mut self) -> Result<u64, Error> {
        let Self { fleet, publisher, clock, load, .. } = self;
        let before = fleet.received();
        let (topics, burst) = (load.targets(self.round), load.burst());
        self.round += 1;
        let data = clock.now().data(load.bytes());
        let deliveries = match load {
            Load::Topics => load.deliveries(),
            _ => (fleet.len() * burst) as u64,
        };
        if *load != Load::Topics {
            fleet.expect(burst as u64);
        }
        // Clients must read while the server publishes, or both would wait.
        thread::scope(|scope| {
            let publishing = scope.spawn(|| publisher.publish(&topics, burst, &data));
            match load {
                Load::Topics => fleet.wait_for_total(before + deliveries)?,
                _ => fleet.wait_for_each()?,
            }
            let published = publishing.join();
            published.map_err(|_| Error::new("the publisher has panicked"))?.map(drop)
        })?;
        let received = fleet.received() - before;
        if received != deliveries {
            return Err(Error::new(format!("{received} events were received, not {deliveries}")));
        }
        Ok(received)
    }
}

/// Counts a server's instructions.
pub(crate) fn count(
    instrument: Instrument,
    server: Server,
    load: Load,
    clients: usize,
    quick: bool,
) -> Result<Cost, Error> {
    let instrumented = instrument.start(server)?;
    let mut bench = Bench::connect(&instrumented.process, server, load, clients)?;
    instrumented.prepare()?;
    bench.warm_up()?;
    let mut deliveries = 0;
    let counting = instrumented.begin()?;
    for _ in 0..load.rounds(quick) {
        deliveries += bench.round()?;
    }
    let counts = instrumented.end(counting)?;
    Ok(per_delivery(counts, deliveries))
}

fn per_delivery(counts: Counts, deliveries: u64) -> Cost {
    let deliveries = deliveries as f64;
    Cost {
        user_instructions: counts.user / deliveries,
        kernel_instructions: counts.kernel.map(|count| count / deliveries),
        cycles: counts.cycles.map(|count| count / deliveries),
    }
}

/// Measures a server's processor time.
pub(crate) fn time(server: Server, load: Load, quick: bool) -> Result<Time, Error> {
    let process = Process::start(server)?;
    let mut bench = Bench::connect(&process, server, load, load.clients())?;
    bench.warm_up()?;
    let before = process.cpu_time()?;
    let mut deliveries = 0;
    let enough = Duration::from_millis(if quick { 300 } else { 1_500 });
    // Long enough for a clock with ticks of 10 ms.
    let used = loop {
        deliveries += bench.round()?;
        let now = process.cpu_time()?;
        let used = CpuTime {
            user: now.user.saturating_sub(before.user),
            system: now.system.saturating_sub(before.system),
        };
        if used.user + used.system >= enough {
            break used;
        }
    };
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / deliveries as f64;
    Ok(Time { user_micros: micros(used.user), system_micros: micros(used.system) })
}
