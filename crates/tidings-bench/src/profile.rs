//! Where the instructions go.

use std::process::{Command, Stdio};

use crate::cost::Bench;
use crate::error::Error;
use crate::instrument::Instrument;
use crate::loads::Load;
use crate::servers::Server;

/// The functions that a server spends its instructions in under a load, most expensive first, as
/// callgrind_annotate tells, with the instructions per delivery.
///
/// # Errors
///
/// When valgrind is not there, or the measurement cannot be made.
pub(crate) fn profile(server: Server, load: Load, functions: usize) -> Result<String, Error> {
    let instrumented = Instrument::Callgrind.start(server)?;
    let mut bench = Bench::connect(&instrumented.process, server, load, load.clients())?;
    instrumented.prepare()?;
    bench.round()?;
    bench.round()?;
    let counting = instrumented.begin()?;
    let mut deliveries = 0;
    for _ in 0..load.rounds(false) {
        deliveries += bench.round()?;
    }
    drop(counting);
    let dump = instrumented.dump()?;
    let output = Command::new("callgrind_annotate")
        .args(["--threshold=100", "--auto=no"])
        .arg(&dump)
        .stdin(Stdio::null())
        .output()?;
    let annotated = String::from_utf8_lossy(&output.stdout);
    Ok(shorten(&annotated, deliveries, functions))
}

/// The first functions, each with its instructions per delivery and without its file.
fn shorten(annotated: &str, deliveries: u64, functions: usize) -> String {
    let mut text = String::new();
    let lines = annotated.lines().filter_map(|line| {
        let line = line.trim_start();
        let end = line.find(|char: char| !char.is_ascii_digit() && char != ',')?;
        let count: f64 = line[..end].replace(',', "").parse().ok()?;
        let what = line[end..].trim_start();
        // A share in brackets, which newer versions add.
        let what = match what.strip_prefix('(') {
            Some(rest) => rest.split_once(')')?.1.trim_start(),
            None => what,
        };
        let what = what.split_once(':').map_or(what, |(_, function)| function);
        let what = what.split(" [").next().unwrap_or(what);
        Some((count / deliveries as f64, what.to_owned()))
    });
    for (count, function) in lines.take(functions + 1) {
        text += &format!("{count:>10.1}  {function}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_tells_instructions_per_delivery() {
        let annotated = "----\nIr\n----\n20,000 (100.0%)  PROGRAM TOTALS\n\n----\nIr  file:function\n\
             ----\n12,000 (60.00%)  ./src/hub.rs:<tidings::Hub>::publish [/bin/x]\n\
             1,000 ( 5.00%)  ???:memcpy [/lib/libc.so.6]\n";
        let expected = "      20.0  PROGRAM TOTALS\n      12.0  <tidings::Hub>::publish\n";
        assert_eq!(shorten(annotated, 1000, 1), expected);
    }
}
