//! What the `main` of every example shares.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use tokio::net::TcpListener;

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

/// Listens at an address. Returns also the address with the port that it has, where 0 asks for any.
///
/// # Errors
///
/// When it is not available. The message says what to do.
pub async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), String> {
    let cannot_listen =
        |error: io::Error| format!("cannot listen on {address}: {error}; try another --listen");
    let listener = TcpListener::bind(address).await.map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    Ok((listener, address))
}
