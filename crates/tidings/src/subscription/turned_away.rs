//! Streams that have nothing but their end.

use std::sync::Arc;
use std::time::Duration;

use super::Subscription;
use super::polling::Rejoin;
use crate::client::{Client, Identity};
use crate::client_id::ClientId;
use crate::end_reason::{End, EndReason};
use crate::error::SubscribeErrorCause;
use crate::heartbeat::timer::HeartbeatTimer;
use crate::hub::shared::Shared;
use crate::log::feed::Cursor;
use crate::pace::Pace;
use crate::status::Status;
use crate::stream_limit::{OverLimit, StreamLimit};

impl Subscription {
    /// A stream of nothing but its end. It costs no place in any topic.
    pub(super) fn turned_away(
        shared: Arc<Shared>,
        identity: Identity,
        end: End,
        retry: Option<Duration>,
    ) -> Self {
        let feed = shared.feeds.of(Vec::new(), 0, &shared);
        let heartbeat = HeartbeatTimer::new(shared.clock.clone(), None);
        let client = Arc::new(Client::new(ClientId::random(), feed, identity, heartbeat, 0));
        client.end_as(end);
        let offset = shared.watermark();
        let mut this = Self {
            cursor: Cursor { offset, joined: offset },
            topic_cursors: Box::default(),
            attached: None,
            out_of_band: None,
            status: Status::Pending,
            sends_status: false,
            is_listed: false,
            has_own_interval: false,
            ended: false,
            rejoin: Rejoin::All,
            has_rest: false,
            pace: Pace::default(),
            waited: 0,
            shared,
            client,
        };
        this.set_retry(retry);
        this
    }

    /// One more stream than a limit allows.
    pub(super) fn one_too_many(
        shared: Arc<Shared>,
        identity: Identity,
        limit: StreamLimit,
        retry: Option<Duration>,
    ) -> Result<Self, SubscribeErrorCause> {
        if shared.defaults.stream_limits.over == OverLimit::Status {
            return Err(SubscribeErrorCause::TooManyStreams(limit));
        }
        let end = End { limit: Some(limit), ..End::new(EndReason::Limited) };
        Ok(Self::turned_away(shared, identity, end, retry))
    }
}
