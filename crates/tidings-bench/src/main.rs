//! Measures Tidings and its peers side by side, under the same load.

mod check;
mod clients;
mod cores;
mod cost;
mod distribution;
mod document;
mod error;
mod instrument;
mod latency;
mod loads;
mod machine;
mod memory;
mod options;
mod paced;
mod past;
mod plots;
mod process;
mod profile;
mod publisher;
mod reader;
mod report;
mod results;
mod run;
mod servers;
mod stamp;
mod storm;
mod table;
mod targets;
mod values;
mod versions;

use std::process::ExitCode;

use clap::Parser;
use options::Options;

fn main() -> ExitCode {
    match Options::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tidings-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
