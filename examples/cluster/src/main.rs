//! A cluster on one machine: several hubs on one log, and load on all of them.
//!
//! ```sh
//! cargo run -p cluster-example
//! cargo run -p cluster-example -- --log nats://127.0.0.1:4222 --nodes 5 --clients 0
//! ```
//!
//! `server.rs` starts a Redis server unless another log is named, `program.rs` the hubs of `examples/hub-…`, and `load.rs`
//! `tidings-load` at each of them: every client receives what is published at every hub.

mod load;
mod options;
mod program;
mod server;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use load::{Line, Report};
use options::Options;
use program::Running;
use server::{Broker, Server};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = Options::parse();
    let mut cluster = Cluster::default();
    let outcome = tokio::select! {
        outcome = run(&options, &mut cluster) => outcome,
        () = stopped() => Ok(true),
    };
    cluster.end().await;
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("cluster-example: {message}");
            ExitCode::FAILURE
        }
    }
}

/// The processes that run until the end.
#[derive(Debug, Default)]
struct Cluster {
    server: Option<Server>,
    hubs: Vec<Hub>,
}

#[derive(Debug)]
struct Hub {
    running: Running,
    url: String,
}

impl Cluster {
    /// Ends the hubs, all at one time, and then their server.
    async fn end(self) {
        let end = |hub: Hub| tokio::spawn(hub.running.end());
        let ends: Vec<_> = self.hubs.into_iter().map(end).collect();
        for end in ends {
            // It does not panic.
            let _ = end.await;
        }
        if let Some(server) = self.server {
            server.end().await;
        }
    }

    /// The processor time of every hub, and of the server.
    fn cpu_times(&self) -> Vec<Option<Duration>> {
        let server = self.server.iter().map(Server::running);
        let all = self.hubs.iter().map(|hub| &hub.running).chain(server);
        all.map(Running::cpu_time).collect()
    }
}

/// Starts everything, and the load. Returns whether all clients received everything that they had to.
async fn run(options: &Options, cluster: &mut Cluster) -> Result<bool, String> {
    options.check()?;
    let hub = options.hub();
    let say = |text: String| {
        if !options.json {
            println!("{text}")
        }
    };
    let log = match Broker::named(&options.log) {
        None => options.log.clone(),
        Some(broker) => {
            let server = cluster.server.insert(Server::start(broker).await?);
            say(format!("server  {}", server.describe()));
            server.url().to_owned()
        }
    };
    let (hub, load) = match &options.programs {
        Some(folder) => {
            (program::in_folder(folder, &hub), program::in_folder(folder, "tidings-load"))
        }
        None => {
            say(format!("        building {hub} and tidings-load"));
            (program::build(&hub).await?, program::build("tidings-load").await?)
        }
    };
    for number in 1..=options.nodes {
        let (running, url) = Running::start_hub(&hub, &log).await?;
        say(format!("hub {number:<3} {url}/, process {}", running.id()));
        cluster.hubs.push(Hub { running, url });
    }
    if options.clients == 0 {
        say("        Ctrl-C ends them all".to_owned());
        return std::future::pending().await;
    }
    let Options { clients, rate, run_for, .. } = options;
    say(format!(
        "load    {clients} clients at each hub for {}, {rate} events a second in all",
        humantime::format_duration(*run_for)
    ));
    let lines = measure(options, cluster, &load).await?;
    match options.json {
        true => println!("{}", serde_json::json!(lines)),
        false => print!("\n{}", load::table(&lines)),
    }
    let mut hubs = lines.iter().map(|line| &line.report).take(cluster.hubs.len());
    let published: u64 = hubs.clone().map(Report::published_for_all).sum();
    Ok(hubs.all(|report| report.is_good(published)))
}

/// Runs the load at every hub. Returns a line for each, one for all together, and one for the server.
async fn measure(
    options: &Options,
    cluster: &Cluster,
    program: &std::path::Path,
) -> Result<Vec<Line>, String> {
    let (began, before) = (Instant::now(), cluster.cpu_times());
    let start = |(hub, number): (&Hub, _)| {
        load::start(program, &hub.url, options, number < options.publishers())
    };
    let loads: Result<Vec<_>, _> = cluster.hubs.iter().zip(0..).map(start).collect();
    let mut reports = Vec::new();
    for load in loads? {
        reports.push(load::report(load).await?);
    }
    let (time, after) = (began.elapsed(), cluster.cpu_times());
    let cpu = before.into_iter().zip(after).map(|(before, after)| load::cpu(before, after, time));
    let cpu: Vec<_> = cpu.collect();
    let all = Report::sum(&reports);
    let hubs = reports.into_iter().zip(1..).zip(&cpu).map(|((report, number), cpu)| Line {
        name: format!("hub {number}"),
        report,
        cpu: *cpu,
    });
    let of_all = cpu[..cluster.hubs.len()].iter().copied().sum();
    let mut lines: Vec<_> = hubs.collect();
    lines.push(Line { name: "all".to_owned(), report: all, cpu: of_all });
    if let Some(cpu) = cpu.get(cluster.hubs.len()) {
        lines.push(Line { name: "server".to_owned(), report: Report::default(), cpu: *cpu });
    }
    Ok(lines)
}

/// Resolves at Ctrl-C, and on Unix also at SIGTERM.
async fn stopped() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};

        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
