//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use clap::error::{ContextKind, ErrorKind};
use tidings_load::{Fields, Load, LoadError, Plan, Publishing, Target};

/// Connections a second, if nothing else is said: a server's queue of them is some thousands long.
const CONNECT_RATE: f64 = 5000.0;
/// What a process has open besides its clients' sockets.
const OTHER_FILES: usize = 16;

/// Makes load for an endpoint of server-sent events, and judges what comes.
#[derive(Debug, Clone, Parser)]
#[command(version, after_help = AFTER_HELP, name = "tidings-load")]
pub(crate) struct Options {
    /// The stream, such as http://127.0.0.1:3000/events?topic=load
    #[arg(value_name = "URL")]
    pub(crate) url: String,

    /// How many clients listen
    #[arg(long, short = 'c', default_value_t = 100, value_name = "N")]
    pub(crate) clients: usize,

    /// How long the run lasts, with the ramp: 10s, 2m, 500ms
    #[arg(long = "for", default_value = "10s", value_name = "TIME", value_parser = duration)]
    pub(crate) run_for: Duration,

    /// Over which time the clients connect; without it, 5,000 connect a second
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) ramp: Option<Duration>,

    /// How many clients connect a second, instead of --ramp
    #[arg(long, value_name = "N", conflicts_with = "ramp", value_parser = positive)]
    pub(crate) connect_rate: Option<f64>,

    /// Speaks HTTP/2 from the first byte on, with many clients on a connection
    #[arg(long)]
    pub(crate) http2: bool,

    /// How many clients share a connection of HTTP/2
    #[arg(long, default_value_t = 100, value_name = "N", requires = "http2")]
    pub(crate) streams_per_connection: usize,

    /// A header of every request, 'Name: value'; may be repeated
    #[arg(long = "header", short = 'H', value_name = "HEADER")]
    pub(crate) headers: Vec<String>,

    /// Publishes: POSTs events that hold a time and a number to this URL
    #[arg(long, value_name = "URL", help_heading = "Publishing")]
    pub(crate) publish: Option<String>,

    /// How many events are published a second
    #[arg(long, default_value_t = 10.0, value_name = "N", requires = "publish", value_parser = positive, help_heading = "Publishing")]
    pub(crate) rate: f64,

    /// How many bytes of data an event has: 200, 4KiB
    #[arg(long, default_value = "200", value_name = "BYTES", requires = "publish", value_parser = bytes, help_heading = "Publishing")]
    pub(crate) size: u64,

    /// How many events are published at a time; the rate stays
    #[arg(
        long,
        default_value_t = 1,
        value_name = "N",
        requires = "publish",
        help_heading = "Publishing"
    )]
    pub(crate) burst: u32,

    /// Each client closes and resumes after this time
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Reconnecting")]
    pub(crate) reconnect_every: Option<Duration>,

    /// All clients close and resume at once, at this interval
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Reconnecting")]
    pub(crate) storm: Option<Duration>,

    /// How long a client waits after the server has ended its stream, unless the stream says
    #[arg(long, default_value = "3s", value_name = "TIME", value_parser = duration, help_heading = "Reconnecting")]
    pub(crate) retry: Duration,

    /// The part of the clients that never reads: 5%
    #[arg(long, default_value = "0%", value_name = "PART", value_parser = part, help_heading = "Slow readers")]
    pub(crate) stalled: f64,

    /// The part of the clients that reads slowly: 5%
    #[arg(long, default_value = "0%", value_name = "PART", value_parser = part, help_heading = "Slow readers")]
    pub(crate) slow: f64,

    /// How many bytes a second they read: 1KiB
    #[arg(long, default_value = "1KiB", value_name = "BYTES", value_parser = bytes, help_heading = "Slow readers")]
    pub(crate) slow_rate: u64,

    /// The field of the data that has the time of the event
    #[arg(long, default_value = "at", value_name = "NAME", help_heading = "Data")]
    pub(crate) timestamp_field: String,

    /// The field of the data that has the number of the event in its stream
    #[arg(long, default_value = "n", value_name = "NAME", help_heading = "Data")]
    pub(crate) sequence_field: String,

    /// The field of the data that, with the event's name, tells the stream that is numbered
    #[arg(long, default_value = "stream", value_name = "NAME", help_heading = "Data")]
    pub(crate) stream_field: String,

    /// A field of the data and what it must be, such as topic=load; all else is foreign
    #[arg(long, value_name = "NAME=TEXT", help_heading = "Data")]
    pub(crate) expect: Option<String>,

    /// Writes the report as JSON
    #[arg(long, help_heading = "Results")]
    pub(crate) json: bool,

    /// Writes the report with its plots as one HTML file
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub(crate) html: Option<PathBuf>,

    /// Ends with 0 although there were faults
    #[arg(long, help_heading = "Results")]
    pub(crate) tolerate: bool,

    /// How many files one process may open: beyond that there are more processes
    #[arg(long, value_name = "N", hide = true)]
    pub(crate) files_per_process: Option<usize>,

    /// Over how many source addresses the clients are spread, if the target is a loopback address
    #[arg(long, default_value_t = 0, value_name = "N", hide = true)]
    pub(crate) sources: usize,
}

const AFTER_HELP: &str = "\
Ends with 0 if all is well, 1 if the run failed or events were missed, doubled, out of order or
foreign, or clients were not served; 2 if the arguments make no sense. Ctrl-C ends early.";

/// What the command line asks for.
pub(crate) enum Call {
    Run(Box<Options>),
    /// The help, or the version.
    Say(String),
    /// A sentence that says what is wrong.
    Refuse(String),
}

impl Options {
    pub(crate) fn read() -> Call {
        match Self::try_parse() {
            Ok(options) => Call::Run(Box::new(options)),
            Err(error) => match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Call::Say(error.to_string()),
                _ => Call::Refuse(sentence(&error)),
            },
        }
    }

    /// # Errors
    ///
    /// When a URL, a header or a setting makes no sense.
    pub(crate) fn load(&self) -> Result<Load, LoadError> {
        let target = self.target(&self.url)?;
        let connect_time = |rate: f64| Duration::try_from_secs_f64(self.clients as f64 / rate);
        let ramp = match (self.ramp, self.connect_rate) {
            (Some(ramp), _) => ramp,
            (None, Some(rate)) => connect_time(rate).unwrap_or(Duration::MAX),
            // Not so long that there would be nothing else.
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
        fields.expected = match &self.expect {
            Some(expected) => Some(Fields::parse_expected(expected)?),
            None => None,
        };
        Ok(fields)
    }
}

/// What clap says in several lines, in one.
fn sentence(error: &clap::Error) -> String {
    let text = error.to_string();
    let said = text.split("\n\n").next().unwrap_or(&text);
    let said = said.strip_prefix("error: ").unwrap_or(said);
    let words: Vec<_> = said.split_whitespace().collect();
    let mut said = words.join(" ");
    if let Some(suggested) = error.get(ContextKind::SuggestedArg) {
        said.push_str(&format!("; did you mean {suggested}?"));
    }
    format!("{said} (--help has all options)")
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|_| "must be a time with its unit, such as 500ms, 10s or 2m".to_owned())?;
    // A year is enough for a load, and no sum of them can overflow.
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
    fn the_definition_of_the_options_is_sound() {
        use clap::CommandFactory;

        Options::command().debug_assert();
    }

    #[test]
    fn amounts_are_read_with_their_units() {
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
    fn what_is_wrong_with_the_arguments_is_one_line() {
        let refusal = |arguments: &[&str]| {
            let arguments = ["tidings-load"].iter().chain(arguments);
            sentence(&Options::try_parse_from(arguments).unwrap_err())
        };
        for arguments in [&[][..], &["http://a/", "--for", "x"], &["a", "b"], &["a", "--clint"]] {
            let said = refusal(arguments);
            assert!(!said.contains('\n') && !said.starts_with("error"), "{said}");
        }
        let said = refusal(&["http://a/", "--stalled", "200%"]);
        assert!(said.contains("--stalled") && said.contains("between 0% and 100%"), "{said}");
    }
}
