//! Measures Tidings and its peers side by side, under the same load.

mod clients;
mod cores;
mod cost;
mod error;
mod instrument;
mod loads;
mod open_files;
mod options;
mod process;
mod profile;
mod publisher;
mod reader;
mod servers;
mod stamp;

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
