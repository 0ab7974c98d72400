//! docs/COMPARISON.md: what the runs showed.

use std::fmt::Write;

use super::client::{CLIENTS, Client, Tools};
use super::proxy::{Program, SETUPS};
use crate::document;

/// The part of the document that is the report.
const PART: &str = "interop";

/// The beginning of the line that differs from machine to machine.
const MACHINE: &str = "Of the machine that wrote this: ";

/// The report of runs in which everything was right.
pub fn report(hubs: &[&str], tools: &Tools) -> String {
    let mut text = String::from(
        "## Clients and proxies\n\n\
         Written by the tests: `TIDINGS_WRITE_DOCS=1 cargo test -p tidings-tests --test interop`. \
         Each cell is a run.\n\n\
         ### Clients\n\n\
         Each client is connected while every kind of event is published: named and not, of several \
         lines with LF, CRLF and CR between them, empty, with white space at either end, with \
         astral and combining characters, Unicode's and ASCII's separators, byte order marks, a NUL, \
         and 90,000 bytes long. Then it is cut three times: its stream is closed by the hub, the \
         connection is reset in the middle of an event, and the response comes to an orderly end in \
         the middle of an event. Each time, events are published while it is away. Last, it is sent \
         a heartbeat. \"ok\" means that it received every event exactly once, in order, with its \
         name, data and id as published, and that each of its connections began with the right \
         status event. What a client does otherwise than the standard says, on any server, is in \
         the note with that number; everything else is checked, too.\n\n",
    );
    let mut notes = Vec::new();
    table(
        &mut text,
        "client",
        hubs,
        CLIENTS.iter().map(|client| {
            let cell = client.deviations.iter().fold("ok".to_owned(), |cell, deviation| {
                notes.push(format!("`{}`: {}", client.name, deviation.what));
                format!("{cell} ({})", notes.len())
            });
            (name_of(client, tools), cell)
        }),
    );
    numbered(&mut text, &notes);
    text.push_str(
        "`@microsoft/fetch-event-source` and `event-source-plus` are run in Node.js.\n\n\
         ### Proxies\n\n\
         \"ok\" means: the head of the response and the status event arrive at once, while nothing is \
         published; each event arrives before the next one is published, and most of them arrive at \
         most 0.1 s later than without the proxy; nothing is compressed, though the client would \
         take it; a stream that was closed is resumed with all that was published in between; a \
         client that leaves is gone from the hub's registry before the next heartbeat; a heartbeat \
         arrives, and where the configuration names idle time-outs (nginx and Apache as recommended, \
         and both of HAProxy), heartbeats keep a stream for longer than these, which are set to less \
         than two of them for this; the response of a hub that is killed (`kill -9`) is not ended as \
         if it were complete. The configurations, and what to do about the exceptions in the notes, \
         are in [DEPLOYING](DEPLOYING.md#proxies).\n\n",
    );
    let mut notes = Vec::new();
    table(
        &mut text,
        "proxy",
        hubs,
        SETUPS.iter().map(|setup| {
            let cell = setup.flaws.iter().fold("ok".to_owned(), |cell, flaw| {
                let known = notes.iter().position(|note| note == flaw.what());
                let number = known.unwrap_or_else(|| {
                    notes.push(flaw.what().to_owned());
                    notes.len() - 1
                });
                format!("{cell} ({})", number + 1)
            });
            (setup.name.to_owned(), cell)
        }),
    );
    numbered(&mut text, &notes);
    let mut programs: Vec<_> = Program::ALL
        .iter()
        .map(|program| format!("{} {}", program.name(), program.version().unwrap_or_default()))
        .collect();
    for client in CLIENTS.iter().filter(|client| client.source.registry().is_none()) {
        programs.push(format!("{} {}", client.name, tools.version(client).unwrap_or_default()));
    }
    writeln!(text, "{MACHINE}{}.", programs.join(", ")).expect("a string takes everything");
    text
}

fn name_of(client: &Client, tools: &Tools) -> String {
    match client.source.registry() {
        Some(registry) => {
            let version = tools.version(client).unwrap_or_default();
            format!("`{}` {version} ({registry})", client.name)
        }
        None => client.name.to_owned(),
    }
}

fn table(
    text: &mut String,
    what: &str,
    hubs: &[&str],
    rows: impl Iterator<Item = (String, String)>,
) {
    let mut line = |cells: Vec<&str>| {
        writeln!(text, "| {} |", cells.join(" | ")).expect("a string takes everything");
    };
    let frameworks = hubs.iter().map(|hub| hub.trim_start_matches("hub-"));
    line([what].into_iter().chain(frameworks).collect());
    line(vec!["---"; hubs.len() + 1]);
    for (name, cell) in rows {
        line([name.as_str()].into_iter().chain(hubs.iter().map(|_| cell.as_str())).collect());
    }
    text.push('\n');
}

fn numbered(text: &mut String, notes: &[String]) {
    for (number, note) in notes.iter().enumerate() {
        writeln!(text, "{}. {note}", number + 1).expect("a string takes everything");
    }
    if !notes.is_empty() {
        text.push('\n');
    }
}

/// Puts a report into the text of its document.
pub fn put(file: &str, report: &str) -> String {
    document::put(if file.is_empty() { "# Comparison\n\n" } else { file }, PART, report)
}

/// Whether a document has this report, apart from the versions of a machine's programs.
pub fn is_in(file: &str, report: &str) -> bool {
    let without_machine = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.starts_with(MACHINE)).map(str::to_owned).collect()
    };
    without_machine(&put(file, report)) == without_machine(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_versions_of_the_machine_may_differ() {
        let report = |text: &str, version| format!("{text}\n{MACHINE}curl {version}.\n");
        let file = put("", &report("ok", 1));
        assert!(is_in(&file, &report("ok", 1)));
        assert!(is_in(&file, &report("ok", 2)));
        assert!(!is_in(&file, &report("ok (1)", 1)));
        assert!(!is_in("", &report("ok", 1)));
    }
}
