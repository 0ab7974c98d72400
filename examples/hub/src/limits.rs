//! The flags of how many streams there may be, how long they last, and how much may be published.

use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use tidings::{Hub, HubBuilder, OverLimit};
use tidings_net::{Serve, Server};

use crate::program::SHUTDOWN_TIMEOUT;

/// The limits of the hub.
#[derive(Debug, Clone, Args)]
pub struct HubLimits {
    /// Streams of a principal (`/events?principal=ada`), on all nodes of a log
    #[arg(long, value_name = "N")]
    streams_per_principal: Option<usize>,

    /// Streams of a client key (`/events?client_key=phone`), on all nodes of a log
    #[arg(long, value_name = "N")]
    streams_per_client_key: Option<usize>,

    /// Streams of a topic on this node
    #[arg(long, value_name = "N")]
    streams_per_topic: Option<usize>,

    /// What one stream too many gets: an end and when to come back (`retry`), the place of the oldest one of its principal or
    /// client key (`supersede`), or 429 (`status`)
    #[arg(long, default_value = "retry", value_name = "retry|supersede|status")]
    over_limit: Over,

    /// Events a second, and so many at once, of a source (`/publish?source=ada`), on all nodes of a log
    #[arg(long, value_name = "N")]
    publications_per_source: Option<u32>,

    /// How long a stream may be open, ±20 %
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    max_lifetime: Option<Duration>,

    /// Over how long SIGTERM ends the streams, evenly; 0 for at once. Default: 10 ms for each, at most 400 ms
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    drain_over: Option<Duration>,
}

impl HubLimits {
    /// A hub with these limits.
    pub fn builder(&self) -> HubBuilder {
        let hub = Hub::builder().over_limit(self.over_limit.0).max_lifetime(self.max_lifetime);
        let set = |hub, limit: Option<usize>, set: fn(HubBuilder, usize) -> HubBuilder| match limit
        {
            Some(limit) => set(hub, limit),
            None => hub,
        };
        let hub = set(hub, self.streams_per_principal, HubBuilder::streams_per_principal);
        let hub = set(hub, self.streams_per_client_key, HubBuilder::streams_per_client_key);
        let hub = set(hub, self.streams_per_topic, HubBuilder::streams_per_topic);
        match self.publications_per_source {
            Some(rate) => hub.publications_per_source(rate, rate),
            None => hub,
        }
    }

    /// Sets the times of a server's shutdown. Those whose turn comes last have as long as the others to go.
    pub fn shutdown<S: Server>(&self, serve: Serve<S>) -> Serve<S> {
        match self.drain_over {
            Some(time) => serve.drain_over(time).shutdown_timeout(time + SHUTDOWN_TIMEOUT),
            None => serve.shutdown_timeout(SHUTDOWN_TIMEOUT),
        }
    }
}

/// [`OverLimit`] as text.
#[derive(Debug, Clone, Copy)]
struct Over(OverLimit);

impl FromStr for Over {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "retry" => Ok(Self(OverLimit::Retry)),
            "supersede" => Ok(Self(OverLimit::Supersede)),
            "status" => Ok(Self(OverLimit::Status)),
            _ => Err("must be retry, supersede or status".to_owned()),
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|_| "must be a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
