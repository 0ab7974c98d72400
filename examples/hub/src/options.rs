//! The flags of every example hub.

use std::net::SocketAddr;

use clap::{ArgAction, Parser};
use tidings_net::Transport;

use crate::log::Engine;

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

    /// Where events are kept: `memory`, `redb:PATH`, or the URL of a Redis or NATS server, which several
    /// hubs may share
    #[arg(long, default_value = "memory", value_name = "LOG")]
    pub log: Engine,

    /// Whether the events of the live page are published; else what others publish is all there is.
    /// Default: true in memory
    #[arg(long, action = ArgAction::Set, value_name = "true|false")]
    demo: Option<bool>,
}

impl Options {
    /// Reads the command line; ends the process with a message if it makes no sense.
    pub fn from_command_line() -> Self {
        Self::parse()
    }

    /// Whether to publish the events of the live page. Of several hubs on one log, each would.
    pub fn demo(&self) -> bool {
        self.demo.unwrap_or(self.log == Engine::Memory)
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
