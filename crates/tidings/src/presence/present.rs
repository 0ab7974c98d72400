use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytestring::ByteString;
use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::Entry;
use crate::cluster::NodeId;
use crate::decode::Message;
use crate::error::SubscribeError;
use crate::subscription::read_history::ReadHistory;
use crate::waking;

/// A principal that is on a topic: see [`Hub::presence`](crate::Hub::presence).
///
/// As JSON it is `{"principal":"ada","since":1764223200000,"nodes":["0123456789abcdef"]}`, with the milliseconds of the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Present {
    /// The user, as [`Subscribe::principal`](crate::Subscribe::principal) names it.
    pub principal: String,
    /// Since when, without a break that was longer than the grace. By the wall clock of the node where it came first.
    pub since: SystemTime,
    /// The nodes to which its streams are connected, in the order of their ids: those of
    /// [`Hub::cluster`](crate::Hub::cluster), or one that is new at each start of a hub without a cluster.
    pub nodes: Vec<NodeId>,
}

impl Serialize for Present {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let since = self.since.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut fields = serializer.serialize_struct("Present", 3)?;
        fields.serialize_field("principal", &self.principal)?;
        fields.serialize_field("since", &crate::clock::millis(since))?;
        fields.serialize_field("nodes", &self.nodes)?;
        fields.end()
    }
}

/// Reads who is on a topic: a future for async code, [`ReadPresence::wait`] for any other. See
/// [`Hub::presence`](crate::Hub::presence).
#[derive(Debug)]
#[must_use = "nothing is read until this is awaited"]
pub struct ReadPresence(ReadHistory);

impl ReadPresence {
    pub(crate) fn new(events: ReadHistory) -> Self {
        Self(events)
    }

    /// The outcome, for code that is not async, as [`ReadHistory::wait`].
    ///
    /// # Errors
    ///
    /// See [`Hub::presence`](crate::Hub::presence).
    pub fn wait(self) -> Result<Vec<Present>, SubscribeError> {
        waking::block_on(self)
    }
}

impl Future for ReadPresence {
    type Output = Result<Vec<Present>, SubscribeError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let history = std::task::ready!(Pin::new(&mut self.0).poll(cx))?;
        Poll::Ready(Ok(present(&history.events)))
    }
}

/// Who is there after these events, in the order in which they came.
fn present(events: &[Message]) -> Vec<Present> {
    let mut entries = BTreeMap::<(ByteString, NodeId), u64>::new();
    for Entry { who, node, since } in events.iter().filter_map(Entry::of) {
        let key = (who.principal, node);
        match since {
            Some(since) => entries.insert(key, since),
            None => entries.remove(&key),
        };
    }
    let mut principals = BTreeMap::<ByteString, (u64, BTreeSet<NodeId>)>::new();
    for ((principal, node), since) in entries {
        let (first, nodes) = principals.entry(principal).or_insert((since, BTreeSet::new()));
        *first = since.min(*first);
        nodes.insert(node);
    }
    let mut present: Vec<_> = principals
        .into_iter()
        .map(|(principal, (since, nodes))| Present {
            principal: principal.into(),
            // Nobody else should publish there, but somebody may.
            since: UNIX_EPOCH.checked_add(Duration::from_millis(since)).unwrap_or(UNIX_EPOCH),
            nodes: nodes.into_iter().collect(),
        })
        .collect();
    present.sort_by_key(|present| present.since);
    present
}
