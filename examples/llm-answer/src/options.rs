//! The flags.

use std::net::SocketAddr;
use std::num::ParseIntError;
use std::time::Duration;

use clap::Parser;

/// The answers of a language model, as event streams.
#[derive(Debug, Clone, Parser)]
#[command(version, about)]
pub(crate) struct Options {
    /// The address to listen on; port 0 takes any free port
    #[arg(long, default_value = "127.0.0.1:3000", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,

    /// How long the model takes for a token
    #[arg(long, default_value = "60", value_name = "MILLISECONDS", value_parser = millis)]
    pub(crate) token_every: Duration,

    /// How long a stream may be idle before it sends a comment
    #[arg(long, default_value = "15000", value_name = "MILLISECONDS", value_parser = millis)]
    pub(crate) heartbeat: Duration,
}

impl Options {
    /// Parses the command line. Ends the process with a message if it is invalid.
    pub(crate) fn from_command_line() -> Self {
        Self::parse()
    }
}

fn millis(text: &str) -> Result<Duration, ParseIntError> {
    text.parse().map(Duration::from_millis)
}
