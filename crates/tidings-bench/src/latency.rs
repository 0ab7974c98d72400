//! How long events take, and what they delay.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::clients::Fleet;
use crate::distribution::Distribution;
use crate::error::Error;
use crate::loads::{subscription, topic};
use crate::process::Process;
use crate::publisher::Publisher;
use crate::servers::Server;
use crate::stamp::Clock;

const BYTES: usize = 200;

/// Times with 15,000 clients, while the server sends events to all of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Crowd {
    pub(crate) clients: usize,
    /// The unrelated endpoint.
    pub(crate) ping: Option<Distribution>,
    /// The publication itself, as its caller sees it, if the server reports it.
    pub(crate) publish: Option<Distribution>,
    /// From publication until the last client has the event.
    pub(crate) fan_out: Option<Distribution>,
}

/// From publication to receipt: 50 events a second to 1,000 clients, at fixed times.
pub(crate) fn receipt(server: Server, quick: bool) -> Result<Distribution, Error> {
    const INTERVAL: Duration = Duration::from_millis(20);

    let process = Process::start(server)?;
    let clock = Clock::new();
    let mut fleet = Fleet::new(process.addr(), clock)?;
    fleet.connect(1_000, |_| subscription(server, &[topic(0)]))?;
    let mut publisher = Publisher::connect(process.addr(), server != Server::Nchan)?;
    for (events, recorded) in [(25, false), (if quick { 50 } else { 500 }, true)] {
        if recorded {
            fleet.record();
        }
        fleet.expect(events);
        thread::scope(|scope| {
            let publishing = scope.spawn(|| {
                let begin = Instant::now();
                for number in 0..events {
                    // The time counts from here, even if the publisher is late.
                    let due = begin + INTERVAL * u32::try_from(number).unwrap_or(0);
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    publisher.publish(&[topic(0)], 1, &clock.at(due).data(BYTES))?;
                }
                Ok(())
            });
            fleet.wait_for_each()?;
            joined(publishing)
        })?;
    }
    let micros = fleet.recorded().into_iter().map(f64::from).collect();
    Distribution::of(micros).ok_or_else(|| Error::new("no event was received"))
}

/// Publishes to 15,000 clients, one event at a time, and at the same time pings the server.
pub(crate) fn crowd(server: Server, quick: bool) -> Result<Crowd, Error> {
    let (clients, rounds) = if quick { (3_000, 5) } else { (15_000, 30) };
    let process = Process::start(server)?;
    let clock = Clock::new();
    let mut fleet = Fleet::new(process.addr(), clock)?;
    fleet.connect(clients, |_| subscription(server, &[topic(0)]))?;
    let mut publisher = Publisher::connect(process.addr(), server != Server::Nchan)?;
    let mut pinger = Publisher::connect(process.addr(), true)?;
    let (mut pings, mut publications, mut fan_outs) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds + 2 {
        fleet.expect(1);
        let (fleet, publisher, pinger) = (&mut fleet, &mut publisher, &mut pinger);
        let going_out = &AtomicBool::new(true);
        let began = Instant::now();
        let (published, fan_out, pinged) = thread::scope(|scope| {
            let publishing =
                scope.spawn(|| publisher.publish(&[topic(0)], 1, &clock.now().data(BYTES)));
            let pinging = scope.spawn(|| {
                let mut pings = Vec::new();
                while going_out.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    pinger.ping()?;
                    pings.push(began.elapsed().as_secs_f64() * 1e6);
                    // Pings must not become a load.
                    thread::sleep(Duration::from_millis(2));
                }
                Ok(pings)
            });
            let received = fleet.wait_for_each();
            let fan_out = began.elapsed();
            going_out.store(false, Ordering::Relaxed);
            received?;
            Ok::<_, Error>((joined(publishing)?, fan_out, joined(pinging)?))
        })?;
        // The first rounds warm the server up.
        if round >= 2 {
            publications.extend(published.map(|time| time.as_secs_f64() * 1e6));
            fan_outs.push(fan_out.as_secs_f64() * 1e6);
            pings.extend(pinged);
        }
    }
    Ok(Crowd {
        clients,
        ping: Distribution::of(pings),
        publish: Distribution::of(publications),
        fan_out: Distribution::of(fan_outs),
    })
}

fn joined<T>(thread: ScopedJoinHandle<'_, Result<T, Error>>) -> Result<T, Error> {
    thread.join().map_err(|_| Error::new("a thread has panicked"))?
}
