//! Who is on a topic: the users whose streams are subscribed to it, on all nodes.
//!
//! ```
//! use tidings::Hub;
//! use tidings::presence::Presence;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let hub = Hub::builder().presence("room/*", Presence::default())?.build();
//!
//! // A handler: this is all that it takes to join.
//! let stream = hub.subscribe("room/1").principal("ada").open()?;
//!
//! // Another one: who is there.
//! for present in hub.presence("room/1").await? {
//!     println!("{} since {:?}", present.principal, present.since);
//! }
//!
//! // And a third: who comes and goes.
//! let comings = hub.subscribe("presence/room/1").history(tidings::History::All).open()?;
//! # Ok(()) }
//! ```
//!
//! # What counts
//!
//! A *principal* is present on a topic as long as a stream [of that principal](crate::Subscribe::principal) is subscribed to it by
//! its name, on any node, and for a [grace](Presence::grace) after that: a page that is loaded anew, or a connection that breaks
//! and comes back, is no leave. Several streams of one principal are one. Streams without a principal do not count, nor do
//! patterns: who watches all rooms is in none of them. Nor does a principal whose name is longer than [`MAX_PRINCIPAL_BYTES`] or
//! has control characters, and a topic whose name has no room for `presence/`.
//!
//! # The topic of a topic
//!
//! Joins and leaves are events of a topic of their own, `presence/room/1` for `room/1` ([`topic_of`]), which
//! [keeps the newest event of each key](crate::Retention::latest_per_key). So a client that asks for
//! [history](crate::History::All) is sent who is there, and then who comes and goes; one that was away is sent what has changed.
//! A handler decides who may subscribe to it, as to any other topic. The application publishes nothing there.
//!
//! - [`JOIN_EVENT`], with `{"topic":"room/1","principal":"ada","node":"0123456789abcdef","since":1764223200000}`. The node is
//!   that to which the streams are connected, and `since` is in milliseconds of the Unix epoch. The same may be said again.
//! - [`LEAVE_EVENT`], with `{"topic":"room/1","principal":"ada","node":"0123456789abcdef"}`.
//!
//! To read what other nodes say, the hub itself is subscribed to `presence/*`. It is no client, and is counted nowhere.
//!
//! A principal with streams on two nodes is two entries: it is there as long as one of them is. A client that moves to another
//! node joins there before it leaves here, so a list that goes by principals never lacks it.
//!
//! # Nodes that fail
//!
//! A node that was killed cannot say that its clients have left. The others notice that it is silent, and one says it in its
//! place: five seconds and the grace after its last signal, and up to a second later for each of them. A log on disk has one
//! node; a hub that is started on it again takes away what an earlier one has left, after the grace. A node that was only cut
//! off, or stood still, says again who is there when it is back.

mod attendance;
pub(crate) mod keeper;
mod present;
mod roster;
pub(crate) mod work;

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use crate::clock::millis;
use crate::cluster::NodeId;
use crate::decode::Message;
use crate::error::{EventError, FieldError};
use crate::event::{Event, EventKey};
use crate::field::EventName;
use crate::log::retention::Retention;
use crate::topic::{Topic, TopicPattern};

pub use present::{Present, ReadPresence};

/// The name of the event that somebody is on a topic: see the [module](self).
pub const JOIN_EVENT: &str = "presence:join";

/// The name of the event that somebody is not on a topic any more: see the [module](self).
pub const LEAVE_EVENT: &str = "presence:leave";

/// Longer names of principals do not count.
pub const MAX_PRINCIPAL_BYTES: usize = EventKey::MAX_BYTES - NODE_DIGITS - 1;

/// Before the name of a topic: the topic that says who is there.
const PREFIX: &str = "presence/";

/// All such topics.
const DERIVED: TopicPattern = TopicPattern::from_static("presence/*");

const NODE_DIGITS: usize = 16;

/// The topic that says who is on a topic.
///
/// # Errors
///
/// When the topic is refused, or its name is too long for the prefix.
///
/// ```
/// assert_eq!(tidings::presence::topic_of("room/1")?.as_str(), "presence/room/1");
/// # Ok::<(), tidings::error::FieldError>(())
/// ```
pub fn topic_of<T>(topic: T) -> Result<Topic, FieldError>
where
    T: TryInto<Topic>,
    T::Error: Into<FieldError>,
{
    let topic = topic.try_into().map_err(Into::into)?;
    Topic::new(format!("{PREFIX}{topic}"))
}

/// How it is known who is on some topics: see [`HubBuilder::presence`](crate::HubBuilder::presence).
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Presence {
    grace: Duration,
}

impl Presence {
    /// How long a principal is present without a stream. Default: 5 seconds, which is longer than clients wait before they
    /// connect again.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }
}

impl Default for Presence {
    fn default() -> Self {
        Self { grace: Duration::from_secs(5) }
    }
}

/// For which topics it is known who is there.
#[derive(Debug, Clone, Default)]
pub(crate) struct PresenceRules(Vec<(TopicPattern, Presence)>);

impl PresenceRules {
    pub(crate) fn add(
        &mut self,
        pattern: TopicPattern,
        presence: Presence,
    ) -> Result<(), FieldError> {
        TopicPattern::new(format!("{PREFIX}{pattern}"))?;
        self.0.push((pattern, presence));
        Ok(())
    }

    /// The retention of the topics that say who is there.
    pub(crate) fn retention(&self) -> impl Iterator<Item = (TopicPattern, Arc<Retention>)> {
        let retention = Arc::new(Retention::latest_per_key());
        let all = (!self.is_empty()).then_some(DERIVED);
        all.into_iter().map(move |pattern| (pattern, retention.clone()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The grace of a topic in milliseconds, if it is known who is there.
    fn grace_of(&self, topic: &Topic) -> Option<u64> {
        let has_room = topic.as_str().len() + PREFIX.len() <= Topic::MAX_BYTES;
        let is_derived = topic.as_str().starts_with(PREFIX);
        let (_, presence) = self.0.iter().find(|(pattern, _)| pattern.matches(topic))?;
        // So that a time with it cannot overflow.
        (has_room && !is_derived).then(|| millis(presence.grace).min(u64::MAX / 4))
    }

    /// The same for a topic of another node, which may know topics that this one does not.
    fn grace_of_other(&self, topic: &Topic) -> u64 {
        self.grace_of(topic).unwrap_or_else(|| millis(Presence::default().grace))
    }
}

/// A principal on a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
struct Who {
    topic: Topic,
    principal: ByteString,
}

/// What an event of a presence topic says of a principal and a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    who: Who,
    node: NodeId,
    /// Milliseconds of the Unix epoch. `None`: it has left.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<u64>,
}

impl Entry {
    fn of(message: &Message) -> Option<Self> {
        let entry: Self = serde_json::from_str(message.data()).ok()?;
        (message.event() == entry.event_name()).then_some(entry)
    }

    fn event_name(&self) -> &'static str {
        if self.since.is_some() { JOIN_EVENT } else { LEAVE_EVENT }
    }

    /// An entry of another node, or of an earlier start of this one, has another key. So no node takes away what another one
    /// has said meanwhile.
    fn key(&self) -> Result<EventKey, FieldError> {
        EventKey::new(format!("{}/{}", self.node, self.who.principal))
    }

    fn event(&self) -> Result<Event, EventError> {
        let (key, data) = (self.key()?, serde_json::to_string(self).map_err(EventError::json)?);
        let event = match self.since {
            Some(_) => Event::keyed(key, data)?,
            None => Event::remove_key(key, data)?,
        };
        Ok(event.with_name(EventName::trusted(self.event_name())))
    }
}
