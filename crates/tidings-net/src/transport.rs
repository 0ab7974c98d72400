use std::error::Error;
use std::fmt;
use std::str::FromStr;

/// How the responses of subscriptions are sent.
///
/// ```
/// use tidings_net::Transport;
///
/// assert_eq!("body".parse(), Ok(Transport::Body));
/// assert_eq!(Transport::default().to_string(), "auto");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Transport {
    /// By the direct transport on connections of HTTP/1 without TLS, if no layer changes the
    /// response's body; else by the body transport.
    #[default]
    Auto,
    /// By the body transport: hyper sends them as bodies of responses.
    Body,
}

impl Transport {
    /// Its name: `auto` or `body`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Body => "body",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text is not the name of a transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseTransportError(());

impl fmt::Display for ParseTransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("transport is neither `auto` nor `body`")
    }
}

impl Error for ParseTransportError {}

impl FromStr for Transport {
    type Err = ParseTransportError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::Auto, Self::Body]
            .into_iter()
            .find(|transport| transport.as_str() == name)
            .ok_or(ParseTransportError(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transport_is_known_by_its_name() {
        for transport in [Transport::Auto, Transport::Body] {
            assert_eq!(transport.to_string().parse(), Ok(transport));
        }
        let error = "direct".parse::<Transport>().unwrap_err();
        assert_eq!(error.to_string(), "transport is neither `auto` nor `body`");
    }
}
