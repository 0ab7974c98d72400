//! The flags of every authentication example.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use clap::Parser;

/// Event streams for users who log in.
#[derive(Debug, Clone, Parser)]
#[command(version, about)]
pub struct Options {
    /// The address to listen on; port 0 takes any free port
    #[arg(long, default_value = "127.0.0.1:3000", value_name = "ADDRESS")]
    pub listen: SocketAddr,

    /// Another origin whose pages may use the server; may be repeated
    #[arg(long, value_name = "ORIGIN")]
    pub allow_origin: Vec<Origin>,

    /// How long a query token is valid; up to 136 years
    #[arg(long, default_value = "30", value_name = "SECONDS", value_parser = seconds)]
    pub token_lifetime: Duration,
}

impl Options {
    /// Parses the command line. Ends the process with a message if it is invalid.
    pub fn from_command_line() -> Self {
        Self::parse()
    }

    /// The message when the server listens.
    pub fn greeting(framework: &str, address: SocketAddr) -> String {
        format!("Tidings auth example on {framework}: http://{address}/")
    }
}

impl Default for Options {
    /// As without any flag.
    fn default() -> Self {
        Self::parse_from(["auth-example"])
    }
}

/// No more than the clock has room for.
fn seconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse::<u32>().map(|seconds| Duration::from_secs(seconds.into()))
}

/// The origin of a page, as browsers send it in the header `Origin`: scheme, host, and the port unless it is the
/// scheme's default.
///
/// `*` is invalid, because the examples use cookies, and browsers refuse the two together. So is `null`, the origin of pages
/// without one, because everyone can make such a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// The origin as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is not an origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseOriginError(&'static str);

impl fmt::Display for ParseOriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; an origin is like https://app.example or http://localhost:8080", self.0)
    }
}

impl std::error::Error for ParseOriginError {}

impl FromStr for Origin {
    type Err = ParseOriginError;

    fn from_str(text: &str) -> Result<Self, ParseOriginError> {
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let host = host.ok_or(ParseOriginError("does not begin with http:// or https://"))?;
        // Allowing an origin that no browser sends would have no effect, so it is an error.
        let is_good = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b':' | b'[' | b']' | b'_');
        if host.is_empty() || !host.bytes().all(is_good) {
            return Err(ParseOriginError("has more, or less, than a host in lower case"));
        }
        if text.starts_with("http://") && host.ends_with(":80")
            || text.starts_with("https://") && host.ends_with(":443")
        {
            return Err(ParseOriginError("has the port that browsers leave out"));
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn no_token_is_valid_for_longer_than_there_is_time() {
        let parse = |seconds| Options::try_parse_from(["auth", "--token-lifetime", seconds]);
        let longest = parse("4294967295").unwrap().token_lifetime;
        assert!(Instant::now().checked_add(longest).is_some());
        for longer in ["4294967296", "18446744073709551615"] {
            assert!(parse(longer).is_err(), "{longer}");
        }
    }

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for good in ["https://app.example", "http://127.0.0.1:8080", "http://[::1]:3000"] {
            assert_eq!(good.parse::<Origin>().unwrap().as_str(), good);
        }
        for bad in [
            "*",
            "null",
            "app.example",
            "https://",
            "https://app.example/",
            "https://App.example",
            "https://*.example",
            "https://app.example:443",
            "http://app.example:80",
        ] {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
    }
}
