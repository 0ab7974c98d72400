//! Which functions take the instructions.

use std::collections::HashMap;
use std::fs;
use std::process::{Command, Stdio};

use crate::cost::Bench;
use crate::error::Error;
use crate::instrument::Instrument;
use crate::loads::Load;
use crate::servers::Server;

/// The functions that take most of a server's instructions under a load, by callgrind_annotate, with
/// the instructions per delivery.
pub(crate) fn profile(server: Server, load: Load, functions: usize) -> Result<String, Error> {
    let instrumented = Instrument::Callgrind.start(server)?;
    let mut bench = Bench::connect(&instrumented.process, server, load, load.clients())?;
    instrumented.prepare()?;
    bench.warm_up()?;
    let counting = instrumented.begin()?;
    let mut deliveries = 0;
    for _ in 0..load.rounds(false) {
        deliveries += bench.round()?;
    }
    drop(counting);
    let dump = instrumented.dump()?;
    fs::write(&dump, without_unfinished_calls(&fs::read_to_string(&dump)?))?;
    let output = Command::new("callgrind_annotate")
        .args(["--threshold=100", "--auto=no"])
        .arg(&dump)
        .stdin(Stdio::null())
        .output()?;
    let annotated = String::from_utf8_lossy(&output.stdout);
    Ok(shorten(&annotated, deliveries, functions))
}

/// The dump without calls that began before the count and never ended: callgrind_annotate would add
/// their cost to the callers. Each is two lines, the second with its cost.
fn without_unfinished_calls(dump: &str) -> String {
    let mut lines = dump.lines();
    let mut text = String::new();
    while let Some(line) = lines.next() {
        if line.starts_with("calls=0 ") {
            lines.next();
        } else {
            text += line;
            text.push('\n');
        }
    }
    text
}

/// The most expensive functions, each with its instructions per delivery and what was inlined into
/// it. callgrind_annotate lists a function once for each file that its code comes from.
fn shorten(annotated: &str, deliveries: u64, functions: usize) -> String {
    let mut costs = HashMap::<&str, f64>::new();
    for (count, function) in annotated.lines().filter_map(cost_of_function) {
        *costs.entry(function).or_default() += count / deliveries as f64;
    }
    let mut costs: Vec<_> = costs.into_iter().collect();
    costs.sort_by(|(one, one_cost), (other, other_cost)| {
        other_cost.total_cmp(one_cost).then(one.cmp(other))
    });
    let lines = costs.iter().take(functions + 1);
    lines.map(|(function, cost)| format!("{cost:>10.1}  {function}\n")).collect()
}

/// Parses `12,000 (60.00%)  ./src/hub.rs:publish [/bin/server]`.
fn cost_of_function(line: &str) -> Option<(f64, &str)> {
    let line = line.trim_start();
    let end = line.find(|char: char| !char.is_ascii_digit() && char != ',')?;
    let count = line[..end].replace(',', "").parse().ok()?;
    let what = line[end..].trim_start();
    // Not every version prints the percentage.
    let what = what.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or(what, |it| it.1);
    let what = what.trim_start();
    let function = what.split_once(':').map_or(what, |(_, function)| function);
    Some((count, function.split(" [").next().unwrap_or(function)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_never_ended_does_not_count() {
        let dump = "fn=(1) start\ncfn=(2) run\ncalls=0 108 \n442 1984900\n\nfn=(2) run\n28 10010\n";
        let expected = "fn=(1) start\ncfn=(2) run\n\nfn=(2) run\n28 10010\n";
        assert_eq!(without_unfinished_calls(dump), expected);
    }

    #[test]
    fn a_profile_has_instructions_per_delivery() {
        let annotated = "----\nIr\n----\n20,000 (100.0%)  PROGRAM TOTALS\n\n----\nIr  file:function\n\
             ----\n12,000 (60.00%)  ./src/hub.rs:<tidings::Hub>::publish [/bin/x]\n\
             1,000 ( 5.00%)  ???:memcpy [/lib/libc.so.6]\n\
             500 ( 2.50%)  ./src/log.rs:<tidings::Hub>::publish [/bin/x]\n";
        let expected = "      20.0  PROGRAM TOTALS\n      12.5  <tidings::Hub>::publish\n";
        assert_eq!(shorten(annotated, 1000, 1), expected);
    }
}
