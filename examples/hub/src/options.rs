//! The flags of every example hub.

use std::ffi::OsStr;
use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Command, Parser};
use tidings::presence::Presence;
use tidings::{Hub, Retention, TopicPattern};
use tidings_console::Console;
use tidings_net::{Limits, Serve, Server, Transport};

use crate::access::{Access, Token};
use crate::limits::HubLimits;
use crate::log::Engine;

/// A hub of server-sent events with a live page.
#[derive(Debug, Clone, Parser)]
#[command(version, about)]
pub struct Options {
    /// The address to listen on; port 0 takes any free port
    #[arg(long, default_value = "127.0.0.1:3000", value_name = "ADDRESS")]
    pub listen: SocketAddr,

    /// How streams are sent: `auto` (direct where possible) or `body`. actix-web has only `body`
    #[arg(long, default_value_t, value_name = "auto|body")]
    pub transport: Transport,

    /// Where events are kept: `memory`, `redb:PATH`, or the URL of a Redis or NATS server, which several hubs
    /// may share. The variable keeps a password out of the list of processes
    #[arg(
        long,
        env = "TIDINGS_LOG",
        hide_env_values = true,
        default_value = "memory",
        value_name = "LOG",
        value_parser = Secret(PhantomData::<Engine>)
    )]
    pub log: Engine,

    /// If the file of `redb:PATH` is damaged, begins a new one with the events before the damage
    #[arg(long)]
    pub salvage: bool,

    /// Whoever has this token may publish, finish topics, list clients and nodes, change and end streams, and read metrics, with
    /// the header `Authorization: Bearer TOKEN`; the live page takes it from its address: `/#token=TOKEN`. There is a console at
    /// `/console` then, which asks for it. Needed to listen on an
    /// address that is not a loopback address; without one, everybody on the machine may, but no page of another site. The variable
    /// keeps it out of the list of processes
    #[arg(
        long,
        env = "TIDINGS_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN",
        value_parser = Secret(PhantomData::<Token>)
    )]
    token: Option<Token>,

    /// Whether to publish the events of the live page. Default: true in memory
    #[arg(long, action = ArgAction::Set, value_name = "true|false")]
    demo: Option<bool>,

    #[command(flatten)]
    limits: HubLimits,

    /// The topics that match keep the newest event of each key; may be given several times
    #[arg(long, value_name = "PATTERN")]
    latest_per_key: Vec<TopicPattern>,

    /// The hub knows who is on the topics that match, by the principals of their streams; may be given several times
    #[arg(long, value_name = "PATTERN")]
    presence: Vec<TopicPattern>,

    /// Limits of connections, in milliseconds, for tests: `head_timeout=1000,idle_timeout=1000`
    #[arg(long, hide = true, value_delimiter = ',', value_name = "NAME=MILLISECONDS")]
    limit: Vec<TimeLimit>,
}

impl Options {
    /// Parses the command line. Ends the process with a message if it is invalid.
    pub fn from_command_line() -> Self {
        Self::parse()
    }

    /// Who may do what everybody may on the machine itself.
    ///
    /// # Errors
    ///
    /// As those of [`Access::new`].
    pub fn access(&self) -> Result<Access, String> {
        Access::new(self.token.clone(), self.listen)
    }

    /// The console, if there is a token for it.
    pub fn console(&self, hub: &Hub) -> Option<Console> {
        let token = self.token.as_ref()?;
        // A token has at least one character.
        Console::new(hub, token.as_str()).ok()
    }

    /// Whether to publish the events of the live page. By default not on a shared log, where every hub would.
    pub fn demo(&self) -> bool {
        self.demo.unwrap_or(self.log == Engine::Memory)
    }

    /// Opens the log, and builds the hub on it.
    ///
    /// # Errors
    ///
    /// As those of [`Engine::hub`].
    pub async fn hub(&self) -> Result<Hub, String> {
        let hub = self.latest_per_key.iter().try_fold(self.limits.builder(), |hub, pattern| {
            hub.retain(pattern.clone(), Retention::latest_per_key())
        });
        let hub = hub.and_then(|hub| {
            let mut patterns = self.presence.iter();
            patterns.try_fold(hub, |hub, pattern| hub.presence(pattern, Presence::default()))
        });
        self.log.hub(hub.map_err(|error| error.to_string())?, self.salvage).await
    }

    /// Sets what these flags say about a server.
    pub fn set_up<S: Server>(&self, serve: Serve<S>) -> Serve<S> {
        let limits = Limits::default();
        let limits =
            self.limit.iter().fold(limits, |limits, limit| (limit.set)(limits, limit.time));
        self.limits.shutdown(serve.limits(limits))
    }

    /// The message when the hub listens.
    pub fn greeting(framework: &str, address: SocketAddr) -> String {
        format!("Tidings hub on {framework}: open http://{address}/ in a browser")
    }
}

/// Parses a value that clap's own errors would show.
#[derive(Debug, Clone)]
struct Secret<T>(PhantomData<T>);

impl<T> TypedValueParser for Secret<T>
where
    T: FromStr<Err: fmt::Display> + Clone + Send + Sync + 'static,
{
    type Value = T;

    fn parse_ref(
        &self,
        command: &Command,
        _: Option<&Arg>,
        value: &OsStr,
    ) -> Result<T, clap::Error> {
        // What is not UTF-8 is refused like an empty text.
        let parsed = value.to_str().unwrap_or_default().parse::<T>();
        parsed.map_err(|error| command.clone().error(ErrorKind::ValueValidation, error))
    }
}

/// One of the [`Limits`] in time.
#[derive(Debug, Clone, Copy)]
struct TimeLimit {
    set: fn(Limits, Duration) -> Limits,
    time: Duration,
}

impl FromStr for TimeLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, time) = text.split_once('=').ok_or("has no `=`")?;
        let set = match name {
            "handshake_timeout" => Limits::handshake_timeout,
            "head_timeout" => Limits::head_timeout,
            "body_timeout" => Limits::body_timeout,
            "idle_timeout" => Limits::idle_timeout,
            "write_timeout" => Limits::write_timeout,
            _ => return Err(format!("{name} is no limit in time")),
        };
        let time = time.parse().map_err(|_| "is not in milliseconds")?;
        Ok(Self { set, time: Duration::from_millis(time) })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_of_the_options_is_sound() {
        Options::command().debug_assert();
    }

    #[test]
    fn secrets_are_not_shown() {
        let parse = |flag, value| Options::try_parse_from(["hub", flag, value]);
        for (flag, value, reason) in [
            ("--token", "s3cret ", "token must be visible ASCII characters without spaces"),
            ("--token", "s3cret\n", "token must be visible ASCII characters without spaces"),
            (
                "--log",
                "redis:ada:s3cret@a",
                "log must be memory, redb:PATH, redis://HOST or nats://HOST",
            ),
        ] {
            let error = parse(flag, value).unwrap_err().to_string();
            assert!(error.starts_with(&format!("error: {reason}\n")), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
        for (flag, value) in [("--token", "s3cret"), ("--log", "redis://ada:s3cret@a/")] {
            let options = format!("{:?}", parse(flag, value).unwrap());
            assert!(!options.contains("s3cret"), "{options}");
        }
    }
}
