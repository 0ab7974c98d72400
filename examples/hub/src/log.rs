//! The log of a hub: what `--log` says, and how to open it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tidings::{Hub, HubBuilder, Link};
use tidings_nats::NatsLog;
use tidings_redb::RedbLog;
use tidings_redis::RedisLog;
use tokio::time::{MissedTickBehavior, interval};

/// Where a hub keeps its events.
#[derive(Clone, PartialEq, Eq)]
pub enum Engine {
    /// In memory.
    Memory,
    /// In a file, with redb.
    Redb(PathBuf),
    /// In Redis, at this URL.
    Redis(String),
    /// In NATS JetStream, at this URL.
    Nats(String),
}

impl Engine {
    /// Opens the log, and has the hub built on it. A damaged file may be salvaged.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened or the server cannot be reached: a sentence that says why.
    pub async fn hub(&self, hub: HubBuilder, salvage: bool) -> Result<Hub, String> {
        let hub = match self {
            Self::Memory => return Ok(hub.build()),
            Self::Redb(path) => {
                RedbLog::builder().salvage(salvage).open(path).map(|log| hub.build_on(log))
            }
            // Boxed, because futures that nest deeper than this take the compiler to its limit.
            Self::Redis(url) => Box::pin(RedisLog::connect(url)).await.map(|log| hub.build_on(log)),
            Self::Nats(url) => Box::pin(NatsLog::connect(url)).await.map(|log| hub.build_on(log)),
        };
        let hub = hub.map_err(|error| format!("cannot open the log: {error}"))?;
        tokio::spawn(watch(hub.clone()));
        Ok(hub)
    }
}

/// Prints when the log fails and when it works again. The error is for the operator, because it may name files and addresses of
/// the server; clients are only told what [`publishing`](crate::publishing) and [`health`](crate::health) say.
async fn watch(hub: Hub) {
    let mut every = interval(Duration::from_millis(500));
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_down = false;
    while !hub.health().is_closed {
        match hub.health().link {
            Link::Down { error, .. } if !was_down => {
                eprintln!("log has failed: {error}");
                was_down = true;
            }
            Link::Up if was_down => {
                eprintln!("log works again");
                was_down = false;
            }
            _ => {}
        }
        every.tick().await;
    }
}

impl FromStr for Engine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
        match (text, text.strip_prefix("redb:"), scheme) {
            ("memory", ..) => Ok(Self::Memory),
            (_, Some(path), _) if !path.is_empty() => Ok(Self::Redb(path.into())),
            (_, _, "redis" | "rediss" | "redis+cluster") => Ok(Self::Redis(text.to_owned())),
            (_, _, "nats" | "tls") => Ok(Self::Nats(text.to_owned())),
            _ => Err("log must be memory, redb:PATH, redis://HOST or nats://HOST".to_owned()),
        }
    }
}

/// The name of the engine, without the URL, which may contain a password.
impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Redb(_) => "redb",
            Self::Redis(_) => "redis",
            Self::Nats(_) => "nats",
        })
    }
}

/// The same.
impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_is_parsed_from_the_flag() {
        for (text, engine) in [
            ("memory", Engine::Memory),
            ("redb:hub.redb", Engine::Redb("hub.redb".into())),
            ("redis://127.0.0.1:6379", Engine::Redis("redis://127.0.0.1:6379".to_owned())),
            ("redis+cluster://a,b", Engine::Redis("redis+cluster://a,b".to_owned())),
            ("rediss://u:p@a/", Engine::Redis("rediss://u:p@a/".to_owned())),
            ("nats://a:4222", Engine::Nats("nats://a:4222".to_owned())),
        ] {
            assert_eq!(text.parse(), Ok(engine));
        }
        for text in ["", "redb:", "redis", "http://a/", "disk"] {
            let error =
                Err("log must be memory, redb:PATH, redis://HOST or nats://HOST".to_owned());
            assert_eq!(text.parse::<Engine>(), error);
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let engine: Engine = "redis://user:secret@a/".parse().unwrap();
        assert_eq!([engine.to_string(), format!("{engine:?}")], ["redis", "redis"]);
    }
}
