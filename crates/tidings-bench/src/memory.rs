//! How much memory of the server an idle connection takes, and whether memory grows with the events.

use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clients::Fleet;
use crate::cost::Bench;
use crate::error::Error;
use crate::loads::{Load, subscription, topic};
use crate::process::Process;
use crate::publisher::Publisher;
use crate::servers::Server;
use crate::stamp::Clock;

/// KiB of process memory per idle connection.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Memory {
    pub(crate) at_1_000: f64,
    pub(crate) at_15_000: Option<f64>,
}

/// Measures the memory of idle connections.
pub(crate) fn idle(server: Server, quick: bool) -> Result<Memory, Error> {
    let process = Process::start(server)?;
    Publisher::connect(process.addr(), true)?.ping()?;
    let mut fleet = Fleet::new(process.addr(), Clock::new())?;
    let path = |_| subscription(server, &[topic(0)]);
    // What exists once, for the first connection, does not count.
    fleet.connect(1, path)?;
    let before = settled(&process)?;
    let mut each_of = |clients: usize| -> Result<f64, Error> {
        fleet.connect(clients + 1, path)?;
        Ok(settled(&process)?.saturating_sub(before) as f64 / clients as f64)
    };
    let at_1_000 = each_of(1_000)?;
    let at_15_000 = if quick { None } else { Some(each_of(15_000)?) };
    Ok(Memory { at_1_000, at_15_000 })
}

/// The memory of a process once it does not change any more.
fn settled(process: &Process) -> Result<u64, Error> {
    let mut last = process.memory()?;
    for _ in 0..25 {
        thread::sleep(Duration::from_millis(200));
        let now = process.memory()?;
        if now.abs_diff(last) <= last / 1_000 {
            return Ok(now);
        }
        last = now;
    }
    Ok(last)
}

/// KiB of process memory, by the number of published events.
pub(crate) fn over_events(server: Server, quick: bool) -> Result<Vec<(u64, f64)>, Error> {
    const LOAD: Load = Load::SmallBurst100;
    const SAMPLES: u64 = 50;

    let events = if quick { 100_000 } else { 1_000_000 };
    let process = Process::start(server)?;
    let mut bench = Bench::connect(&process, server, LOAD, 100)?;
    let mut samples = vec![(0, process.memory()? as f64)];
    let mut published = 0;
    while published < events {
        bench.round()?;
        published += LOAD.burst() as u64;
        if published % (events / SAMPLES) == 0 {
            samples.push((published, process.memory()? as f64));
        }
    }
    Ok(samples)
}
