//! What operators are told through `tracing`: see the crate's docs. Never under a lock, and not for each event.

use std::fmt;
use std::sync::Arc;

use tracing::Span;
use tracing::span::Id;

use crate::client::Client;
use crate::heartbeat::HeartbeatBytes;
use crate::log::TopicLog;
use crate::subscription::lifetime::Lifetime;
use crate::subscription::snapshot::SnapshotHook;

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

/// What few subscriptions have: in a box, or idle streams would pay for it.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) snapshot: Option<SnapshotHook>,
    pub(crate) heartbeat: HeartbeatBytes,
    /// The registry has the client under this name, too.
    pub(crate) client_key: Option<Arc<str>>,
    pub(crate) lifetime: Option<Lifetime>,
    span: Span,
}

impl Attached {
    /// The span of a stream, which exists if anybody is interested in it, the application's hook, and a heartbeat that is
    /// not an empty comment.
    ///
    /// It has no parent, and is never entered: it outlives the request, whose span must not wait for it.
    pub(crate) fn new(
        snapshot: Option<SnapshotHook>,
        heartbeat: HeartbeatBytes,
        client: &Client,
        is_listed: bool,
    ) -> Option<Box<Self>> {
        let span = match is_listed {
            true => tracing::info_span!(
                target: STREAM,
                parent: None,
                "stream",
                client = %client.id,
                principal = client.principal.as_deref(),
                topics = %Names(&client.feed.topics),
            ),
            false => Span::none(),
        };
        if snapshot.is_none() && heartbeat == HeartbeatBytes::default() && span.is_disabled() {
            return None;
        }
        span.follows_from(Span::current());
        Some(Box::new(Self { snapshot, heartbeat, span, ..Self::nothing() }))
    }

    fn nothing() -> Self {
        Self {
            snapshot: None,
            heartbeat: HeartbeatBytes::default(),
            client_key: None,
            lifetime: None,
            span: Span::none(),
        }
    }

    /// The box, which is made if there is none.
    pub(crate) fn of(this: &mut Option<Box<Self>>) -> &mut Self {
        this.get_or_insert_with(|| Box::new(Self::nothing()))
    }

    pub(crate) fn set_heartbeat(this: &mut Option<Box<Self>>, heartbeat: HeartbeatBytes) {
        if this.is_some() || heartbeat != HeartbeatBytes::default() {
            Self::of(this).heartbeat = heartbeat;
        }
    }

    pub(crate) fn span(this: Option<&Self>) -> Option<Id> {
        this?.span.id()
    }
}

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
