//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use clap::error::{ContextKind, ErrorKind};
use tidings_load::{Fields, Load, LoadError, Plan, Publishing, Target};

/// Connections a second by default: a server's queue of them is a few thousand long.
const CONNECT_RATE: f64 = 5000.0;
/// Files that a process has open in addition to its clients' sockets.
const OTHER_FILES: usize = 16;

/// Puts an endpoint of server-sent events under load, and checks what it sends.
#[derive(Debug, Clone, Parser)]
#[command(version, after_help = AFTER_HELP, name = "tidings-load")]
pub(crate) struct Options {
    /// The stream, such as http://127.0.0.1:3000/events?topic=load; without TLS, and no redirect
    #[arg(value_name = "URL")]
    pub(crate) url: String,

    /// Number of clients
    #[arg(long, short = 'c', default_value_t = 100, value_name = "N")]
    pub(crate) clients: usize,

    /// Length of the run, including the ramp: 10s, 2m, 500ms
    #[arg(long = "for", default_value = "10s", value_name = "TIME", value_parser = duration)]
    pub(crate) run_for: Duration,

    /// Time over which the clients connect; default: 5,000 connect a second, for half of the run at most
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) ramp: Option<Duration>,

    /// Clients that connect a second, instead of --ramp
    #[arg(long, value_name = "N", conflicts_with = "ramp", value_parser = positive)]
    pub(crate) connect_rate: Option<f64>,

    /// Speak HTTP/2 from the first byte on, with many clients on a connection
    #[arg(long)]
    pub(crate) http2: bool,

    /// Clients on a connection of HTTP/2
    #[arg(long, default_value_t = 100, value_name = "N", requires = "http2")]
    pub(crate) streams_per_connection: usize,

    /// Header of every request, 'Name: value'; may be repeated
    #[arg(long = "header", short = 'H', value_name = "HEADER")]
    pub(crate) headers: Vec<String>,

    /// Publish: POST events with a time and a number to this URL
    #[arg(long, value_name = "URL", help_heading = "Publishing")]
    pub(crate) publish: Option<String>,

    /// Events published a second
    #[arg(long, default_value_t = 10.0, value_name = "N", requires = "publish", value_parser = positive, help_heading = "Publishing")]
    pub(crate) rate: f64,

    /// Bytes of data of an event: 200, 4KiB
    #[arg(long, default_value = "200", value_name = "BYTES", requires = "publish", value_parser = bytes, help_heading = "Publishing")]
    pub(crate) size: u64,

    /// Events published at a time; the rate stays the same
    #[arg(
        long,
        default_value_t = 1,
        value_name = "N",
        requires = "publish",
        help_heading = "Publishing"
    )]
    pub(crate) burst: u32,

    /// Time after which each client closes and resumes
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Reconnecting")]
    pub(crate) reconnect_every: Option<Duration>,

    /// Interval at which all clients close and resume at once
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Reconnecting")]
    pub(crate) storm: Option<Duration>,

    /// Pause after the server has ended a stream, unless the stream sets another
    #[arg(long, default_value = "3s", value_name = "TIME", value_parser = duration, help_heading = "Reconnecting")]
    pub(crate) retry: Duration,

    /// Part of the clients that read no more than the response's head: 5%
    #[arg(long, default_value = "0%", value_name = "PART", value_parser = part, help_heading = "Slow readers")]
    pub(crate) stalled: f64,

    /// Part of the clients that read slowly: 5%
    #[arg(long, default_value = "0%", value_name = "PART", value_parser = part, help_heading = "Slow readers")]
    pub(crate) slow: f64,

    /// Bytes that slow clients read a second: 1KiB
    #[arg(long, default_value = "1KiB", value_name = "BYTES", value_parser = bytes, help_heading = "Slow readers")]
    pub(crate) slow_rate: u64,

    /// Field of the data with the time of the event
    #[arg(long, default_value = "at", value_name = "NAME", help_heading = "Data")]
    pub(crate) timestamp_field: String,

    /// Field of the data with the number of the event in its stream
    #[arg(long, default_value = "n", value_name = "NAME", help_heading = "Data")]
    pub(crate) sequence_field: String,

    /// Field of the data that, with the event's name, names the numbered stream
    #[arg(long, default_value = "stream", value_name = "NAME", help_heading = "Data")]
    pub(crate) stream_field: String,

    /// Field of the data and its text, such as topic=load; other events are foreign
    #[arg(long, value_name = "NAME=TEXT", help_heading = "Data")]
    pub(crate) expect: Option<String>,

    /// Print the report as JSON
    #[arg(long, help_heading = "Results")]
    pub(crate) json: bool,

    /// Write the report with its plots as one HTML file
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub(crate) html: Option<PathBuf>,

    /// Exit with 0 in spite of faults
    #[arg(long, help_heading = "Results")]
    pub(crate) tolerate: bool,

    /// Files that one process may open; more clients need more processes
    #[arg(long, value_name = "N", hide = true)]
    pub(crate) files_per_process: Option<usize>,

    /// Number of source addresses, if the target is a loopback address
    #[arg(long, default_value_t = 0, value_name = "N", hide = true)]
    pub(crate) sources: usize,
}

const AFTER_HELP: &str = "\
Exits with 0 if no fault was found; with 1 if the run failed, events were missed, doubled, out of
order or foreign, clients got no stream, lost it or were behind at the end, attempts to publish
failed, or no client received what was published; with 2 if the arguments are invalid. Ctrl-C ends
early.";

/// What the command line asks for.
pub(crate) enum Call {
    Run(Box<Options>),
    /// Print the help or the version.
    Print(String),
    /// The arguments are invalid, for this reason.
    Refuse(String),
}

impl Options {
    pub(crate) fn read() -> Call {
        match Self::try_parse() {
            Ok(options) if options.connects_for_too_long() => {
                let sentence = "connect-rate: all clients must connect before the end of the run";
                Call::Refuse(sentence.to_owned())
            }
            Ok(options) => Call::Run(Box::new(options)),
            Err(error) => match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                    Call::Print(error.to_string())
                }
                _ => Call::Refuse(sentence(&error)),
            },
        }
    }

    fn connects_for_too_long(&self) -> bool {
        let clients = self.clients as f64;
        self.connect_rate.is_some_and(|rate| clients / rate >= self.run_for.as_secs_f64())
    }

    pub(crate) fn load(&self) -> Result<Load, LoadError> {
        let target = self.target(&self.url)?;
        let connect_time = |rate: f64| Duration::try_from_secs_f64(self.clients as f64 / rate);
        let ramp = match (self.ramp, self.connect_rate) {
            (Some(ramp), _) => ramp,
            (None, Some(rate)) => connect_time(rate).unwrap_or(Duration::MAX),
            // The ramp must leave time for the rest of the run.
            (None, None) => {
                connect_time(CONNECT_RATE).unwrap_or(Duration::MAX).min(self.run_for / 2)
            }
        };
        let plan = Plan::new(target, self.clients)
            .ramp(ramp)
            .reconnect_every(self.reconnect_every)
            .storm(self.storm)
            .stalled(self.stalled)
            .slow(self.slow, self.slow_rate)
            .retry(self.retry)
            .http2(self.http2.then_some(self.streams_per_connection))
            .fields(self.fields()?)
            .sources(self.sources);
        let publishing = self.publish.as_deref().map(|url| {
            let size = usize::try_from(self.size).unwrap_or(usize::MAX);
            let publishing = Publishing::new(self.target(url)?);
            Ok(publishing.rate(self.rate).size(size).burst(self.burst))
        });
        let clients_per_process =
            self.files_per_process.map(|files| files.saturating_sub(OTHER_FILES));
        Ok(Load::new(plan)
            .run_for(self.run_for)
            .publish(publishing.transpose()?)
            .clients_per_process(clients_per_process))
    }

    fn target(&self, url: &str) -> Result<Target, LoadError> {
        let mut target = Target::parse(url)?;
        for header in &self.headers {
            target = target.header_line(header)?;
        }
        Ok(target)
    }

    fn fields(&self) -> Result<Fields, LoadError> {
        let mut fields = Fields::default();
        fields.timestamp.clone_from(&self.timestamp_field);
        fields.sequence.clone_from(&self.sequence_field);
        fields.stream.clone_from(&self.stream_field);
        fields.expected = self.expect.as_deref().map(Fields::parse_expected).transpose()?;
        Ok(fields)
    }
}

/// clap's message of several lines as one line.
fn sentence(error: &clap::Error) -> String {
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or(&text);
    let first = first.strip_prefix("error: ").unwrap_or(first);
    let mut sentence = first.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(suggested) = error.get(ContextKind::SuggestedArg) {
        sentence.push_str(&format!("; did you mean {suggested}?"));
    }
    format!("{sentence} (--help lists all options)")
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|_| "must be a time with its unit, such as 500ms, 10s or 2m".to_owned())?;
    // Sums of such times cannot overflow.
    match duration <= Duration::from_secs(366 * 24 * 3600) {
        true => Ok(duration),
        false => Err("must not be longer than a year".to_owned()),
    }
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "must be a number greater than 0".to_owned())
}

fn part(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').unwrap_or(text).trim().parse().ok();
    let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
    percent
        .map(|percent: f64| percent / 100.0)
        .ok_or_else(|| "must be between 0% and 100%".to_owned())
}

fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "k" | "kib" => Some(1024),
        "kb" => Some(1000),
        "m" | "mib" => Some(1024 * 1024),
        "mb" => Some(1_000_000),
        _ => None,
    };
    let bytes = number.parse::<u64>().ok().zip(factor);
    bytes
        .and_then(|(number, factor)| number.checked_mul(factor))
        .ok_or_else(|| "must be a number of bytes, such as 200 or 4KiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_are_consistent() {
        use clap::CommandFactory;

        Options::command().debug_assert();
    }

    #[test]
    fn amounts_have_units() {
        assert_eq!(bytes("200"), Ok(200));
        assert_eq!(bytes("4KiB"), Ok(4096));
        assert_eq!(bytes("1 kB"), Ok(1000));
        assert!(
            bytes("").is_err() && bytes("1x").is_err() && bytes("99999999999999999999").is_err()
        );
        assert_eq!(part("5%"), Ok(0.05));
        assert_eq!(part("100"), Ok(1.0));
        assert!(part("101%").is_err() && part("-1%").is_err() && part("NaN").is_err());
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert!(duration("10").is_err() && duration("9999999999d").is_err());
        assert!(positive("0").is_err() && positive("inf").is_err());
    }

    #[test]
    fn an_error_in_the_arguments_is_one_line() {
        let refusal = |arguments: &[&str]| {
            let arguments = ["tidings-load"].iter().chain(arguments);
            sentence(&Options::try_parse_from(arguments).unwrap_err())
        };
        for arguments in [&[][..], &["http://a/", "--for", "x"], &["a", "b"], &["a", "--clint"]] {
            let error = refusal(arguments);
            assert!(!error.contains('\n') && !error.starts_with("error"), "{error}");
        }
        let error = refusal(&["http://a/", "--stalled", "200%"]);
        assert!(error.contains("--stalled") && error.contains("between 0% and 100%"), "{error}");
    }
}
