//! What the `main` of every example shares.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

/// How long open connections have after SIGTERM or Ctrl-C to receive what was sent. A stalled client must not keep the process
/// running.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(800);

/// Runs an example to its end, and prints its error.
pub async fn run(name: &str, example: impl Future<Output = Result<(), String>>) -> ExitCode {
    match example.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{name}: {message}");
            ExitCode::FAILURE
        }
    }
}

/// The message for an address that is unavailable.
pub fn cannot_listen(address: SocketAddr, error: &io::Error) -> String {
    format!("cannot listen on {address}: {error}; try another --listen")
}
