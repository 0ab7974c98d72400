//! The results in words and tables.

use crate::instrument::Instrument;
use crate::loads::Load;
use crate::results::{Figures, Results};
use crate::servers::Server;
use crate::storm;
use crate::table::{Table, figure, figure_or_dash, times};
use crate::targets;

/// The part of `docs/BENCHMARKS.md` that is made of the results.
pub(crate) fn report(results: &Results) -> String {
    let mut text = format!("## Measured\n\n{}\n\n", results.machine.sentence());
    text += instrument(results.instrument);
    let sections = [
        ("Fan-out", FAN_OUT, fan_out(results)),
        ("Ratios", RATIOS, ratios(results)),
        ("Sizes and topics", SIZES, sizes(results)),
        ("Processor time", TIME, time(results)),
        ("Kernel", KERNEL, kernel(results)),
        ("Memory of idle connections", MEMORY, memory(results)),
        ("Latency", LATENCY, latency(results)),
        ("15,000 clients at once", CROWD, crowd(results)),
        ("Reconnect storm", STORM, storm_table(results)),
        ("Targets", TARGETS, targets::table(results)),
        ("Versions", "", versions(results)),
    ];
    for (title, explanation, table) in sections {
        if table.is_empty() {
            continue;
        }
        text += &format!("\n### {title}\n\n");
        if !explanation.is_empty() {
            text += &format!("{explanation}\n\n");
        }
        text += &table.to_string();
        for (name, alternative) in plots(title) {
            text += &format!("\n![{alternative}](benchmarks/{name}.svg)\n");
        }
    }
    text
}

/// The plots that belong to a section.
fn plots(section: &str) -> &'static [(&'static str, &'static str)] {
    match section {
        "Ratios" => &[
            ("one-event", "User instructions per delivery of one event, by server"),
            ("burst", "User instructions per delivery of a burst of 100 events, by server"),
        ],
        "Processor time" => &[("clients", "User instructions per delivery by number of clients")],
        "Memory of idle connections" => {
            &[("memory", "Process memory over a million published events")]
        }
        _ => &[],
    }
}

fn instrument(instrument: Instrument) -> &'static str {
    match instrument {
        Instrument::Perf => {
            "Instructions were counted by the processor: `perf stat -e \
             instructions:u,instructions:k,cycles -p PID`.\n"
        }
        Instrument::Callgrind => {
            "Instructions were counted by callgrind, because the processor's own counters are not \
             available here (`perf stat` says `<not supported>`, as it does on most virtual \
             machines). callgrind executes the server's user-space instructions one by one and \
             counts them; the kernel's, and cycles, it cannot see, so those columns are absent. \
             Processor time of a run without callgrind stands in their place; it includes the \
             kernel, but it is noisy, and different from run to run.\n"
        }
    }
}

const FAN_OUT: &str = "Events of 200 bytes of JSON to 1,000 connections. ins:u is user \
    instructions per delivered event, the publication itself included; KB is process memory \
    per idle connection at 15,000; p99 is from publication to receipt at 50 events a second. A \
    burst is published by one request in the server, except in nchan, which takes a request for \
    each event.";
const RATIOS: &str = "User instructions: how many times those of the floor; and how many times as \
    many has what people usually write on the same framework: axum's and warp's own SSE over a \
    broadcast channel, actix-web-lab's with a channel for each client.";
const SIZES: &str = "User instructions per delivery. Data has 200 bytes unless it says otherwise. \
    With 10,000 topics of one client, 100 of them get an event in one request, so a delivery \
    bears a publication and a hundredth of a request; nchan takes a request for each.";
const TIME: &str = "Microseconds of processor time per delivery, user + system, of the server's \
    process without an instrument. Noisy.";
const KERNEL: &str = "Kernel instructions and cycles per delivery.";
const MEMORY: &str = "KB of process memory per idle connection, what the process has without \
    them subtracted; and the difference to a stream of the same framework on which nothing \
    happens.";
const LATENCY: &str = "Milliseconds from when an event is due to when a client has it: 50 events a \
    second to 1,000 clients, which one thread reads. Noisy.";
const CROWD: &str = "15,000 clients, one event at a time. *ping* is an unrelated endpoint while \
    events go out, in milliseconds; *publish* is how long the publication itself takes its caller \
    in the server, in microseconds; *all* is until the last client has it, in milliseconds. Noisy.";
const STORM: &str = "1,000 clients connect at the same time, each with an id 100 events old. \
    Milliseconds until the last one has caught up, and the server's processor time for each \
    client. The best of three. Servers without replay have nothing to send.";
const TARGETS: &str = "What Tidings is to reach, beside what it does.";

fn rows(results: &Results) -> impl Iterator<Item = (Server, &Figures)> {
    results.servers.iter().map(|(server, figures)| (*server, figures))
}

fn fan_out(results: &Results) -> Table {
    let mut table = Table::new([
        "server",
        "one event: ins:u",
        "burst of 10: ins:u",
        "burst of 100: ins:u",
        "KB/connection",
        "p99, ms",
    ]);
    for (server, figures) in rows(results).filter(|(server, _)| server.publishes()) {
        let cost = |load| figure_or_dash(results.instructions(server, load));
        table.row([
            server.description().to_owned(),
            cost(Load::One),
            cost(Load::Burst10),
            cost(Load::Burst100),
            figure_or_dash(figures.memory.and_then(|memory| memory.at_15_000)),
            figure_or_dash(figures.receipt.map(|receipt| receipt.p99 / 1e3)),
        ]);
    }
    table
}

fn ratios(results: &Results) -> Table {
    let mut table = Table::new([
        "server",
        "one event: this / floor",
        "usual / this",
        "burst of 100: this / floor",
        "usual / this",
    ]);
    for (server, _) in rows(results).filter(|(server, _)| server.publishes()) {
        let of = |server: Option<Server>, load| results.instructions(server?, load);
        let mut row = vec![server.description().to_owned()];
        for load in [Load::One, Load::Burst100] {
            let here = of(Some(server), load);
            row.push(times(here, of(Some(Server::RawEpoll), load)));
            row.push(times(of(server.own_peer(), load), here));
        }
        table.row(row);
    }
    table
}

fn sizes(results: &Results) -> Table {
    const LOADS: [Load; 6] = [
        Load::SmallOne,
        Load::SmallBurst100,
        Load::LargeOne,
        Load::LargeBurst100,
        Load::Topics,
        Load::ManyTopics,
    ];
    let mut table = Table::new(["server"].into_iter().chain(LOADS.map(Load::title)));
    for (server, _) in rows(results).filter(|(server, _)| server.publishes()) {
        let costs = LOADS.map(|load| figure_or_dash(results.instructions(server, load)));
        table.row([server.description().to_owned()].into_iter().chain(costs));
    }
    table
}

fn time(results: &Results) -> Table {
    let mut table = Table::new(["server", "one event", "burst of 10", "burst of 100"]);
    for (server, figures) in rows(results).filter(|(_, figures)| !figures.time.is_empty()) {
        let times = [Load::One, Load::Burst10, Load::Burst100].map(|load| {
            figures.time.get(&load).map_or_else(
                || "–".to_owned(),
                |time| format!("{} + {}", figure(time.user_micros), figure(time.system_micros)),
            )
        });
        table.row([server.description().to_owned()].into_iter().chain(times));
    }
    table
}

fn kernel(results: &Results) -> Table {
    let mut table =
        Table::new(["server", "one event: ins:k", "cycles", "burst of 100: ins:k", "cycles"]);
    for (server, figures) in rows(results) {
        let costs = [Load::One, Load::Burst100].map(|load| figures.cost.get(&load));
        let cells = costs.iter().flat_map(|cost| {
            [cost.and_then(|cost| cost.kernel_instructions), cost.and_then(|cost| cost.cycles)]
        });
        let cells: Vec<_> = cells.collect();
        if cells.iter().any(Option::is_some) {
            let cells = cells.into_iter().map(figure_or_dash);
            table.row([server.description().to_owned()].into_iter().chain(cells));
        }
    }
    table
}

fn memory(results: &Results) -> Table {
    let mut table =
        Table::new(["server", "at 1,000", "at 15,000", "over the framework's empty stream"]);
    for (server, figures) in rows(results) {
        let Some(memory) = figures.memory else { continue };
        let at_most = |server| results.memory(server)?.at_15_000;
        let empty = server.empty().and_then(at_most);
        let over = empty.and_then(|empty| Some(memory.at_15_000? - empty));
        table.row([
            server.description().to_owned(),
            figure(memory.at_1_000),
            figure_or_dash(memory.at_15_000),
            figure_or_dash(over),
        ]);
    }
    table
}

fn latency(results: &Results) -> Table {
    let mut table = Table::new(["server", "p50", "p99", "max"]);
    for (server, figures) in rows(results) {
        let Some(receipt) = figures.receipt else { continue };
        let millis = [receipt.p50, receipt.p99, receipt.max].map(|micros| figure(micros / 1e3));
        table.row([server.description().to_owned()].into_iter().chain(millis));
    }
    table
}

fn crowd(results: &Results) -> Table {
    let mut table =
        Table::new(["server", "ping p50", "ping p99", "publish p50", "publish p99", "all p50"]);
    for (server, figures) in rows(results) {
        let Some(crowd) = figures.crowd else { continue };
        table.row([
            server.description().to_owned(),
            figure_or_dash(crowd.ping.map(|ping| ping.p50 / 1e3)),
            figure_or_dash(crowd.ping.map(|ping| ping.p99 / 1e3)),
            figure_or_dash(crowd.publish.map(|publish| publish.p50)),
            figure_or_dash(crowd.publish.map(|publish| publish.p99)),
            figure_or_dash(crowd.fan_out.map(|fan_out| fan_out.p50 / 1e3)),
        ]);
    }
    table
}

fn storm_table(results: &Results) -> Table {
    let mut table = Table::new([
        "server",
        "until all have caught up, ms",
        "CPU per client, µs",
        "per event, µs",
    ]);
    for (server, figures) in rows(results) {
        let Some(storm) = figures.storm else { continue };
        table.row([
            server.description().to_owned(),
            figure(storm.millis),
            figure(storm.cpu_micros),
            figure(storm.cpu_micros / storm::MISSED as f64),
        ]);
    }
    table
}

fn versions(results: &Results) -> Table {
    let mut table = Table::new(["server", "versions"]);
    for (server, figures) in rows(results) {
        table.row([server.description().to_owned(), figures.versions.clone()]);
    }
    table
}
