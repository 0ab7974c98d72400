//! The logs under test.

use std::fmt;

use tidings_tests::requirements::{self, Missing};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Engine {
    Redb,
    Redis,
    Nats,
}

impl Engine {
    pub(crate) const ALL: [Self; 3] = [Self::Redb, Self::Redis, Self::Nats];

    /// How many nodes can share it.
    pub(crate) fn nodes(self) -> usize {
        match self {
            Self::Redb => 1,
            Self::Redis | Self::Nats => 3,
        }
    }

    /// Whether everything is installed that its faults need. Reports what is skipped if not.
    pub(crate) fn is_installed(self) -> bool {
        requirements::met(&format!("faults of {self}"), || self.find()).is_some()
    }

    fn find(self) -> Result<(), Missing> {
        match self {
            Self::Redb => {}
            Self::Redis => drop(requirements::redis_server()?),
            Self::Nats => drop(requirements::nats_server()?),
        }
        requirements::faketime().map(drop)
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redb => "redb",
            Self::Redis => "Redis",
            Self::Nats => "NATS",
        })
    }
}
