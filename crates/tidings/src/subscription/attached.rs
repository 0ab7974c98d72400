use std::sync::Arc;
use std::time::Duration;

use tracing::Span;
use tracing::span::Id;

use super::lifetime::Lifetime;
use super::rights::Rights;
use super::snapshot::SharedSnapshot;
use crate::client::Client;
use crate::heartbeat::HeartbeatBytes;
use crate::log::feed::Feed;
use crate::telling::{Names, STREAM};

/// What few subscriptions have: in a box, or idle streams would pay for it.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) snapshot: Option<SharedSnapshot>,
    pub(crate) heartbeat: HeartbeatBytes,
    /// The registry has the client under this name, too.
    pub(crate) client_key: Option<Arc<str>>,
    pub(crate) lifetime: Option<Lifetime>,
    pub(crate) rights: Option<Box<Rights>>,
    /// When the client is to come back, if that is not what the hub says.
    pub(crate) retry: Option<Option<Duration>>,
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
            retry: None,
            feed: None,
            span: Span::none(),
        }
    }
}
