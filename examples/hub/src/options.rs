//! The flags of every example hub.

use std::net::SocketAddr;

use clap::Parser;
use tidings_net::Transport;

/// A hub of server-sent events with a live page.
#[derive(Debug, Clone, Parser)]
#[command(version, about)]
pub struct Options {
    /// The address to listen on; port 0 takes any that is free
    #[arg(long, default_value = "127.0.0.1:3000", value_name = "ADDRESS")]
    pub listen: SocketAddr,

    /// How streams are sent: `auto` (direct where it can be) or `body`. actix-web has `body` only
    #[arg(long, default_value_t, value_name = "auto|body")]
    pub transport: Transport,
}

impl Options {
    /// Reads the command line; ends the process with a message if it makes no sense.
    pub fn from_command_line() -> Self {
        Self::parse()
    }

    /// What to say when the address cannot be had.
    pub fn cannot_listen(&self, error: &std::io::Error) -> String {
        format!("cannot listen on {}: {error}; try another --listen", self.listen)
    }

    /// What to say when the hub is up.
    pub fn greeting(framework: &str, address: SocketAddr) -> String {
        format!("Tidings hub on {framework}: open http://{address}/ in a browser")
    }
}
