//! What operators are told through `tracing`: see the crate's docs. Never under a lock, and not for each event.

use std::fmt;
use std::sync::Arc;

use crate::log::TopicLog;

/// The target of what happens to streams.
pub(crate) const STREAM: &str = "tidings::stream";

/// The target of what happens to publications.
pub(crate) const PUBLISH: &str = "tidings::publish";

/// The target of what servers report of connections.
pub(crate) const CONNECTION: &str = "tidings::connection";

/// An event about a stream: its level, its client, its span, and the event's own fields and message.
macro_rules! tell {
    ($level:ident, $client:expr, $span:expr, $($rest:tt)+) => {{
        let client: &$crate::client::Client = $client;
        tracing::event!(
            target: $crate::telling::STREAM,
            parent: $span,
            tracing::Level::$level,
            client = %client.id,
            principal = client.principal.as_deref(),
            topics = %$crate::telling::Names(&client.feed.topics),
            $($rest)+
        );
    }};
}

pub(crate) use tell;

/// The names of topics and patterns: the first few of them.
pub(crate) struct Names<'a>(pub(crate) &'a [Arc<TopicLog>]);

impl Names<'_> {
    const MOST: usize = 8;
}

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, log) in self.0.iter().take(Self::MOST).enumerate() {
            write!(f, "{}{}", if n == 0 { "" } else { " " }, log.name.as_str())?;
        }
        match self.0.len().saturating_sub(Self::MOST) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
