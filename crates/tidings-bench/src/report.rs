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
        ("Versions", "", by_server(results, &["versions"], |_, it| Some([it.versions.clone()]))),
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

/// The plots of a section.
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
            "The processor counted the instructions: `perf stat -e \
             instructions:u,instructions:k,cycles -p PID`.\n"
        }
        Instrument::Callgrind => {
            "callgrind counted the instructions, because the processor's counters are unavailable \
             on this machine (`perf stat` prints `<not supported>`, as on most virtual machines). \
             It executes and counts the server's user-space instructions one by one. It cannot see \
             the kernel's instructions or cycles, so those columns are missing. Instead, there is \
             the processor time of a run without callgrind. That includes the kernel, but differs \
             from run to run.\n"
        }
    }
}

const FAN_OUT: &str = "Events of 200 bytes of JSON to 1,000 connections. ins:u is user \
    instructions per delivered event, including its share of the publication. KB is process memory \
    per idle connection at 15,000. p99 is from publication to receipt at 50 events a second. One \
    request publishes a burst, except in nchan, which takes a request for each event.";
const RATIOS: &str = "User instructions, as a multiple of the floor's; and the user instructions of \
    the usual code on the same framework as a multiple of these. The usual code is axum's and \
    warp's own SSE over a broadcast channel, and actix-web-lab's with a channel for each client.";
const SIZES: &str = "User instructions per delivery. Data has 200 bytes unless the column says \
    otherwise. With 10,000 topics of one client, one request publishes to 100 of them, so a \
    delivery includes a publication and a hundredth of a request; nchan takes a request for each.";
const TIME: &str = "Microseconds of processor time per delivery, user + system, of the server's \
    process without an instrument. Noisy.";
const KERNEL: &str = "Kernel instructions and cycles per delivery.";
const MEMORY: &str = "KB of process memory per idle connection, without the memory of the process \
    itself; and the difference to an idle stream of the same framework.";
const LATENCY: &str = "Milliseconds from the time at which an event is due until a client has it: \
    50 events a second to 1,000 clients, which one thread reads. Noisy.";
const CROWD: &str = "15,000 clients, one event at a time. *ping* is the time of an unrelated \
    request while the server sends events, in milliseconds; *publish* is the time of the \
    publication itself in the server, in microseconds; *all* is the time until the last client has \
    the event, in milliseconds. Noisy.";
const STORM: &str = "1,000 clients connect at the same time, each with an id 100 events old. \
    Milliseconds until the last one has caught up, and the server's processor time for each \
    client. The best of three storms. Servers without replay have nothing to send.";
const TARGETS: &str = "The targets of Tidings, and what was measured.";

/// A table with a row for each server that has cells.
fn by_server<Cells: IntoIterator<Item = String>>(
    results: &Results,
    columns: &[&str],
    cells: impl Fn(Server, &Figures) -> Option<Cells>,
) -> Table {
    let mut table = Table::new(["server"].iter().chain(columns).copied());
    for (server, figures) in &results.servers {
        if let Some(cells) = cells(*server, figures) {
            let name = server.description().to_owned();
            table.row([name].into_iter().chain(cells));
        }
    }
    table
}

fn fan_out(results: &Results) -> Table {
    let columns = [
        "one event: ins:u",
        "burst of 10: ins:u",
        "burst of 100: ins:u",
        "KB/connection",
        "p99, ms",
    ];
    by_server(results, &columns, |server, figures| {
        let cost = |load| results.instructions(server, load);
        let cells = [
            cost(Load::One),
            cost(Load::Burst10),
            cost(Load::Burst100),
            figures.memory.and_then(|memory| memory.at_15_000),
            figures.receipt.map(|receipt| receipt.p99 / 1e3),
        ];
        server.publishes().then_some(cells.map(figure_or_dash))
    })
}

fn ratios(results: &Results) -> Table {
    let columns =
        ["one event: this / floor", "usual / this", "burst of 100: this / floor", "usual / this"];
    by_server(results, &columns, |server, _| {
        let cells = [Load::One, Load::Burst100].into_iter().flat_map(|load| {
            let of = |server: Option<Server>| results.instructions(server?, load);
            let this = of(Some(server));
            [times(this, of(Some(Server::RawEpoll))), times(of(server.own_peer()), this)]
        });
        server.publishes().then(|| cells.collect::<Vec<_>>())
    })
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
    by_server(results, &LOADS.map(Load::title), |server, _| {
        let cells = LOADS.map(|load| figure_or_dash(results.instructions(server, load)));
        server.publishes().then_some(cells)
    })
}

fn time(results: &Results) -> Table {
    by_server(results, &["one event", "burst of 10", "burst of 100"], |_, figures| {
        let cells = [Load::One, Load::Burst10, Load::Burst100].map(|load| {
            figures.time.get(&load).map_or_else(
                || "–".to_owned(),
                |time| format!("{} + {}", figure(time.user_micros), figure(time.system_micros)),
            )
        });
        (!figures.time.is_empty()).then_some(cells)
    })
}

fn kernel(results: &Results) -> Table {
    let columns = ["one event: ins:k", "cycles", "burst of 100: ins:k", "cycles"];
    by_server(results, &columns, |_, figures| {
        let costs = [Load::One, Load::Burst100].map(|load| figures.cost.get(&load));
        let cells = costs.map(|cost| {
            [cost.and_then(|cost| cost.kernel_instructions), cost.and_then(|cost| cost.cycles)]
        });
        let cells = cells.concat();
        let has_any = cells.iter().any(Option::is_some);
        has_any.then(|| cells.into_iter().map(figure_or_dash).collect::<Vec<_>>())
    })
}

fn memory(results: &Results) -> Table {
    let columns = ["at 1,000", "at 15,000", "over the framework's empty stream"];
    by_server(results, &columns, |server, figures| {
        let memory = figures.memory?;
        let empty = server.empty().and_then(|empty| results.memory(empty)?.at_15_000);
        let over = empty.and_then(|empty| Some(memory.at_15_000? - empty));
        Some([Some(memory.at_1_000), memory.at_15_000, over].map(figure_or_dash))
    })
}

fn latency(results: &Results) -> Table {
    by_server(results, &["p50", "p99", "max"], |_, figures| {
        let receipt = figures.receipt?;
        Some([receipt.p50, receipt.p99, receipt.max].map(|micros| figure(micros / 1e3)))
    })
}

fn crowd(results: &Results) -> Table {
    let columns = ["ping p50", "ping p99", "publish p50", "publish p99", "all p50"];
    by_server(results, &columns, |_, figures| {
        let crowd = figures.crowd?;
        let cells = [
            crowd.ping.map(|ping| ping.p50 / 1e3),
            crowd.ping.map(|ping| ping.p99 / 1e3),
            crowd.publish.map(|publish| publish.p50),
            crowd.publish.map(|publish| publish.p99),
            crowd.fan_out.map(|fan_out| fan_out.p50 / 1e3),
        ];
        Some(cells.map(figure_or_dash))
    })
}

fn storm_table(results: &Results) -> Table {
    let columns = ["until all have caught up, ms", "CPU per client, µs", "per event, µs"];
    by_server(results, &columns, |_, figures| {
        let storm = figures.storm?;
        let per_event = storm.cpu_micros / storm::MISSED as f64;
        Some([storm.millis, storm.cpu_micros, per_event].map(figure))
    })
}
