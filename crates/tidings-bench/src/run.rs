//! A run: every figure of every server, one after the other.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::ValueEnum;

use crate::error::Error;
use crate::instrument::Instrument;
use crate::loads::Load;
use crate::machine::Machine;
use crate::results::{Figures, Results};
use crate::servers::Server;
use crate::{cores, cost, document, latency, memory, plots, report, storm, versions};

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Figure {
    /// Instructions per delivery
    Cost,
    /// Processor time per delivery
    Time,
    /// Memory of idle connections
    Memory,
    /// From publication to receipt
    Latency,
    /// Times around an event to 15,000 clients
    Crowd,
    /// Clients that reconnect at once
    Storm,
    /// Instructions per delivery, by number of clients
    Scaling,
    /// Memory over a million events
    Steadiness,
}

/// The plan of a run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) servers: Vec<Server>,
    pub(crate) figures: Vec<Figure>,
    pub(crate) loads: Vec<Load>,
    pub(crate) quick: bool,
    /// Whether that is everything.
    pub(crate) whole: bool,
    /// The folder of the document, if it is written.
    pub(crate) docs: Option<PathBuf>,
}

impl Run {
    /// Measures, and writes the results. Fails at once if nothing can be counted, and at the end if a measurement failed.
    pub(crate) fn run(&self) -> Result<(), Error> {
        let machine = Machine::here();
        let instrument = Instrument::find()?;
        let mut results = match &self.docs {
            Some(docs) if !self.whole => {
                Results::to_add_to(&results_in(docs), machine, instrument)?
            }
            _ => Results::new(machine, instrument),
        };
        cores::keep_off_server();
        let mut failures = 0;
        for server in &self.servers {
            let figures = results.servers.entry(*server).or_default();
            figures.versions = versions::of(*server);
            for figure in &self.figures {
                failures += self.measure(instrument, *server, *figure, figures);
            }
        }
        if let Some(docs) = &self.docs {
            write(docs, &results)?;
        }
        println!("\n{}", report::report(&results));
        match failures {
            0 => Ok(()),
            1 => Err(Error::new("a measurement failed")),
            _ => Err(Error::new(format!("{failures} measurements failed"))),
        }
    }

    /// Measures a figure of a server, and prints it. Returns how many measurements failed.
    fn measure(
        &self,
        instrument: Instrument,
        server: Server,
        figure: Figure,
        figures: &mut Figures,
    ) -> usize {
        let Self { quick, loads, .. } = self;
        let quick = *quick;
        let loads = loads.iter().copied();
        match figure {
            Figure::Cost if server.publishes() => loads
                .map(|load| {
                    let clients = load.clients();
                    measure(server, &load.name(), || {
                        let cost = cost::count(instrument, server, load, clients, quick)?;
                        figures.cost.insert(load, cost);
                        Ok(format!("{:.1} user instructions per delivery", cost.user_instructions))
                    })
                })
                .sum(),
            Figure::Time if server.publishes() => loads
                .filter(|load| matches!(load, Load::One | Load::Burst10 | Load::Burst100))
                .map(|load| {
                    measure(server, &format!("time, {}", load.name()), || {
                        let time = cost::time(server, load, quick)?;
                        figures.time.insert(load, time);
                        let (user, system) = (time.user_micros, time.system_micros);
                        Ok(format!("{user:.2} µs user and {system:.2} µs system per delivery"))
                    })
                })
                .sum(),
            Figure::Memory => {
                measure(server, "memory", || set(&mut figures.memory, memory::idle(server, quick)))
            }
            Figure::Latency if server.publishes() => measure(server, "latency", || {
                set(&mut figures.receipt, latency::receipt(server, quick))
            }),
            Figure::Crowd if server.publishes() => {
                measure(server, "crowd", || set(&mut figures.crowd, latency::crowd(server, quick)))
            }
            Figure::Storm if server.replays() => {
                measure(server, "storm", || set(&mut figures.storm, storm::storm(server, quick)))
            }
            Figure::Scaling if server.is_on_the_plots() => measure(server, "scaling", || {
                let sizes: &[usize] =
                    if quick { &[500, 1_000] } else { &[1_000, 2_000, 5_000, 10_000, 15_000] };
                let mut points = Vec::new();
                for clients in sizes {
                    let cost = cost::count(instrument, server, Load::One, *clients, quick)?;
                    points.push((*clients, cost.user_instructions));
                }
                figures.scaling = points;
                Ok(format!("{:.0?}", figures.scaling))
            }),
            Figure::Steadiness if server.is_ours() => measure(server, "steadiness", || {
                figures.steadiness = memory::over_events(server, quick)?;
                let kib = figures.steadiness.iter().map(|(_, kib)| *kib);
                let (least, most) = (kib.clone().fold(f64::MAX, f64::min), kib.fold(0.0, f64::max));
                Ok(format!("{least:.0} to {most:.0} KB"))
            }),
            _ => 0,
        }
    }
}

/// Writes the document and its pictures from the last results.
pub(crate) fn rewrite(docs: &Path) -> Result<(), Error> {
    write(docs, &Results::load(&results_in(docs))?)
}

fn results_in(docs: &Path) -> PathBuf {
    docs.join("benchmarks/results.json")
}

fn write(docs: &Path, results: &Results) -> Result<(), Error> {
    plots::write(&docs.join("benchmarks"), results)?;
    results.save(&results_in(docs))?;
    document::write(&docs.join("BENCHMARKS.md"), &report::report(results))
}

/// Keeps a figure, and describes it.
fn set<T: Copy + Debug>(figure: &mut Option<T>, taken: Result<T, Error>) -> Result<String, Error> {
    let taken = taken?;
    *figure = Some(taken);
    Ok(format!("{taken:.2?}"))
}

/// Measures, and prints the outcome. Returns 1 if that is an error.
fn measure(server: Server, what: &str, take: impl FnOnce() -> Result<String, Error>) -> usize {
    let began = Instant::now();
    let outcome = take();
    let seconds = began.elapsed().as_secs_f64();
    let name = server.name();
    match &outcome {
        Ok(figures) => println!("{name:20} {what:16} {figures}  ({seconds:.1} s)"),
        Err(error) => eprintln!("{name:20} {what:16} failed: {error}  ({seconds:.1} s)"),
    }
    usize::from(outcome.is_err())
}
