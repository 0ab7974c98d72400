//! `tidings-load`: see the documentation of the library, or `tidings-load --help`.

mod options;
mod progress;

use std::io::Write;
use std::process::ExitCode;

use tidings_load::{LoadError, LoadErrorKind, Report, WORKER_ARGUMENT, work};
use tokio::runtime;

use options::{Call, Options};
use progress::Bars;

/// The run failed, or found a fault.
const FAILED: u8 = 1;
/// The arguments are invalid.
const BAD_ARGUMENTS: u8 = 2;

fn main() -> ExitCode {
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&format!("cannot start: {error}"), FAILED),
    };
    let code = runtime.block_on(async {
        if std::env::args().skip(1).eq([WORKER_ARGUMENT]) {
            return match work().await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => failed(&error),
            };
        }
        match Options::read() {
            Call::Run(options) => run(*options).await,
            Call::Print(text) => {
                write(&text);
                ExitCode::SUCCESS
            }
            Call::Refuse(sentence) => complain(&sentence, BAD_ARGUMENTS),
        }
    });
    // A thread may wait for a worker's standard input, which nothing can end.
    runtime.shutdown_background();
    code
}

async fn run(options: Options) -> ExitCode {
    let load = match options.load() {
        Ok(load) => load,
        Err(error) => return failed(&error),
    };
    let bars = Bars::new();
    let ended = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    };
    let result = load.run_until(ended, |progress| bars.show(&progress)).await;
    bars.clear();
    match result {
        Ok(report) => write_report(&options, &report),
        Err(error) => failed(&error),
    }
}

/// Writes the report in the chosen forms.
fn write_report(options: &Options, report: &Report) -> ExitCode {
    write(&if options.json { report.json() + "\n" } else { report.table() });
    for complaint in report.complaints() {
        eprintln!("tidings-load: {complaint}");
    }
    if let Some(path) = &options.html
        && let Err(error) = std::fs::write(path, report.html())
    {
        let sentence = format!("html: cannot write {}: {error}", path.display());
        return complain(&sentence, FAILED);
    }
    match report.is_good() || options.tolerate {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(FAILED),
    }
}

fn write(text: &str) {
    // The reader may have closed its end, as `head` does.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn failed(error: &LoadError) -> ExitCode {
    let code = match error.kind() {
        LoadErrorKind::Settings => BAD_ARGUMENTS,
        _ => FAILED,
    };
    complain(&error.to_string(), code)
}

fn complain(sentence: &str, code: u8) -> ExitCode {
    eprintln!("tidings-load: {sentence}");
    ExitCode::from(code)
}
