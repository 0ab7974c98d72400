//! The loads: what the clients subscribe to, and what is published.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::servers::Server;

/// A load under which the cost of a delivery is measured.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Load {
    /// One event of 200 bytes to 1,000 clients
    One,
    /// Bursts of 10 events of 200 bytes to 1,000 clients
    Burst10,
    /// Bursts of 100 events of 200 bytes to 1,000 clients
    Burst100,
    /// One event of 20 bytes to 1,000 clients
    SmallOne,
    /// Bursts of 100 events of 20 bytes to 1,000 clients
    SmallBurst100,
    /// One event of 4 KB to 1,000 clients
    LargeOne,
    /// Bursts of 100 events of 4 KB to 1,000 clients
    LargeBurst100,
    /// 10,000 topics of one client each; an event to each of 100 of them
    Topics,
    /// 1,000 clients of 100 topics each; one event to one of them
    ManyTopics,
}

impl Load {
    pub(crate) fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// Its name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// The heading of its column.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::One => "one event",
            Self::Burst10 => "burst of 10",
            Self::Burst100 => "burst of 100",
            Self::SmallOne => "20 B, one event",
            Self::SmallBurst100 => "20 B, burst of 100",
            Self::LargeOne => "4 KB, one event",
            Self::LargeBurst100 => "4 KB, burst of 100",
            Self::Topics => "10,000 topics of one client",
            Self::ManyTopics => "100 topics per client",
        }
    }

    pub(crate) fn clients(self) -> usize {
        match self {
            Self::Topics => 10_000,
            _ => 1_000,
        }
    }

    /// The size of an event's data.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::SmallOne | Self::SmallBurst100 => 20,
            Self::LargeOne | Self::LargeBurst100 => 4096,
            _ => 200,
        }
    }

    /// Events in a burst.
    pub(crate) fn burst(self) -> usize {
        match self {
            Self::Burst10 => 10,
            Self::Burst100 | Self::SmallBurst100 | Self::LargeBurst100 => 100,
            _ => 1,
        }
    }

    /// How many bursts are measured: about 10,000 deliveries, and more if a delivery costs little.
    pub(crate) fn rounds(self, quick: bool) -> usize {
        let rounds: usize = match self {
            Self::Burst10 => 4,
            Self::Burst100 | Self::SmallBurst100 => 2,
            Self::LargeBurst100 => 1,
            _ => 10,
        };
        if quick { rounds.div_ceil(4) } else { rounds }
    }

    /// The path of a client, by its number.
    pub(crate) fn path(self, server: Server, client: usize) -> String {
        let topics = match self {
            Self::Topics => vec![topic(client)],
            Self::ManyTopics => (0..100).map(topic).collect(),
            _ => vec![topic(0)],
        };
        subscription(server, &topics)
    }

    /// The topics that are published to in a round.
    pub(crate) fn targets(self, round: usize) -> Vec<String> {
        match self {
            Self::Topics => (0..100).map(|n| topic((round * 100 + n) % self.clients())).collect(),
            Self::ManyTopics => vec![topic(round % 100)],
            _ => vec![topic(0)],
        }
    }

    /// The number of deliveries in a round.
    pub(crate) fn deliveries(self) -> u64 {
        let deliveries = match self {
            Self::Topics => 100,
            _ => self.clients() * self.burst(),
        };
        deliveries as u64
    }
}

/// The topic of a number.
pub(crate) fn topic(number: usize) -> String {
    format!("t{number}")
}

/// The path of a client that subscribes to these topics.
pub(crate) fn subscription(server: Server, topics: &[String]) -> String {
    match server {
        Server::Nchan => format!("/events?topic={}", topics.join(",")),
        _ => format!("/events?topic={}", topics.join("&topic=")),
    }
}
