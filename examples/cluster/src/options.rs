//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// Starts several hubs on one log, and load on all of them.
///
/// Everything ends when the load does, or at Ctrl-C.
#[derive(Debug, Clone, Parser)]
#[command(version, about)]
pub(crate) struct Options {
    /// The log: redis://HOST:PORT or nats://HOST:PORT; redis or nats for a server that is started for it;
    /// memory or redb:PATH for one node
    #[arg(long, default_value = "redis", value_name = "LOG")]
    pub(crate) log: String,

    /// How many hubs
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) nodes: u16,

    /// The framework of the hubs
    #[arg(long, default_value = "axum", value_name = "FRAMEWORK", value_parser = ["axum", "actix-web", "warp"])]
    pub(crate) framework: String,

    /// The folder of the programs of the hubs and of tidings-load. Default: Cargo builds them
    #[arg(long, value_name = "FOLDER")]
    pub(crate) programs: Option<PathBuf>,

    /// How many clients listen at each hub; 0 for no load, until Ctrl-C
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub(crate) clients: u32,

    /// How many events are published a second, in all
    #[arg(long, default_value_t = 30.0, value_name = "N", value_parser = positive)]
    pub(crate) rate: f64,

    /// At how many of the hubs they are published. Default: at each
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) publishers: Option<u16>,

    /// How long the load lasts: 10s, 2m
    #[arg(long = "for", default_value = "10s", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) run_for: Duration,

    /// Writes what was measured as JSON, and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "must be a number greater than 0".to_owned())
}

impl Options {
    /// The package, and the program, of the hubs.
    pub(crate) fn hub(&self) -> String {
        format!("hub-{}", self.framework)
    }

    /// At how many hubs events are published.
    pub(crate) fn publishers(&self) -> u16 {
        self.publishers.map_or(self.nodes, |publishers| publishers.min(self.nodes))
    }

    /// # Errors
    ///
    /// When several hubs are to share what only one can have.
    pub(crate) fn check(&self) -> Result<(), String> {
        let is_alone = self.log == "memory" || self.log.starts_with("redb:");
        match is_alone && self.nodes > 1 {
            true => Err(format!("log: {} is for one hub; try --nodes 1, or a server", self.log)),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_of_the_options_is_sound() {
        Options::command().debug_assert();
    }

    #[test]
    fn a_log_in_one_process_is_for_one_hub() {
        let parse = |arguments: &[&str]| {
            Options::try_parse_from(["cluster-example"].iter().chain(arguments)).unwrap()
        };
        assert!(parse(&["--log", "memory", "--nodes", "1"]).check().is_ok());
        assert!(parse(&["--log", "redis://a/"]).check().is_ok());
        let error = parse(&["--log", "redb:x"]).check().unwrap_err();
        assert_eq!(error, "log: redb:x is for one hub; try --nodes 1, or a server");
    }
}
