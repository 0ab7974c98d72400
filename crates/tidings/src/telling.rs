//! What operators are told through `tracing`: see the crate's docs. Never under a lock, and not for each event.

use std::fmt;
use std::sync::Arc;

use tracing::Span;
use tracing::span::Id;

use crate::client::Client;
use crate::heartbeat::HeartbeatBytes;
use crate::log::TopicLog;
use crate::log::feed::Feed;
use crate::subscription::lifetime::Lifetime;
use crate::subscription::rights::Rights;
use crate::subscription::snapshot::SharedSnapshot;

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
    pub(crate) snapshot: Option<SharedSnapshot>,
    pub(crate) heartbeat: HeartbeatBytes,
    /// The registry has the client under this name, too.
    pub(crate) client_key: Option<Arc<str>>,
    pub(crate) lifetime: Option<Lifetime>,
    pub(crate) rights: Option<Box<Rights>>,
    /// The stream's topics, if it has changed them.
    pub(crate) feed: Option<Arc<Feed>>,
    span: Span,
}

impl Attached {
    /// The span of a stream, which exists if anybody is interested in it, the application's hook, a heartbeat that is not an
    /// empty comment, and the limits of the client's rights.
    ///
    /// It has no parent, and is never entered: it outlives the request, whose span must not wait for it.
    pub(crate) fn new(
        snapshot: Option<SharedSnapshot>,
        heartbeat: HeartbeatBytes,
        rights: Option<Box<Rights>>,
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
        let has_heartbeat = heartbeat != HeartbeatBytes::default();
        if snapshot.is_none() && !has_heartbeat && rights.is_none() && span.is_disabled() {
            return None;
        }
        span.follows_from(Span::current());
        Some(Box::new(Self { snapshot, heartbeat, rights, span, ..Self::default() }))
    }

    pub(crate) fn set_heartbeat(this: &mut Option<Box<Self>>, heartbeat: HeartbeatBytes) {
        if this.is_some() || heartbeat != HeartbeatBytes::default() {
            this.get_or_insert_default().heartbeat = heartbeat;
        }
    }

    pub(crate) fn set_feed(this: &mut Option<Box<Self>>, feed: Arc<Feed>) {
        this.get_or_insert_default().feed = Some(feed);
    }

    pub(crate) fn span(this: Option<&Self>) -> Option<Id> {
        this?.span.id()
    }
}

impl Default for Attached {
    fn default() -> Self {
        Self {
            snapshot: None,
            heartbeat: HeartbeatBytes::default(),
            client_key: None,
            lifetime: None,
            rights: None,
            feed: None,
            span: Span::none(),
        }
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
