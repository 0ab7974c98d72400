use std::time::Duration;

use serde::Deserialize;

use crate::client_id::hexadecimal;
use crate::sync::{HashMap, Mutex};

/// Identifies a node of a cluster from its start to its end: 64 random bits, as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct NodeId(u64);

impl NodeId {
    pub(crate) fn random() -> Self {
        Self(fastrand::u64(1..))
    }
}

hexadecimal!(NodeId);

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16).map(Self).map_err(serde::de::Error::custom)
    }
}

/// One node of a cluster, as far as the node that was asked knows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeInfo {
    /// The node's id; all zeros for a hub that is not part of a cluster.
    pub id: NodeId,
    /// Whether this is the node that was asked.
    pub is_self: bool,
    /// Its open streams.
    pub clients: usize,
    /// Whether new clients should be sent there: its [`Health::is_ready`](crate::Health::is_ready).
    pub is_ready: bool,
    /// How long ago its last signal came.
    pub last_seen: Duration,
    /// No signal has come from it for five seconds, and it has not said that it leaves: it was killed, hangs, or is
    /// cut off.
    pub is_lost: bool,
}

impl NodeInfo {
    /// The node that was asked.
    pub(super) fn this(id: NodeId, clients: usize, is_ready: bool) -> Self {
        Self { id, is_self: true, clients, is_ready, last_seen: Duration::ZERO, is_lost: false }
    }
}

/// The other nodes.
#[derive(Debug, Default)]
pub(super) struct Nodes(Mutex<HashMap<NodeId, Seen>>);

#[derive(Debug)]
struct Seen {
    clients: usize,
    ready: bool,
    /// Milliseconds of the hub's clock.
    at: u64,
}

impl Nodes {
    /// A node that was silent for this long is lost; in milliseconds.
    pub(super) const LOST: u64 = 5_000;
    /// A node that was silent for this long is forgotten; in milliseconds.
    const FORGOTTEN: u64 = 600_000;

    /// Returns whether the node is new.
    pub(super) fn seen(&self, id: NodeId, clients: usize, ready: bool, at: u64) -> bool {
        let mut nodes = self.0.lock();
        nodes.retain(|_, node| at.saturating_sub(node.at) < Self::FORGOTTEN);
        nodes.insert(id, Seen { clients, ready, at }).is_none()
    }

    pub(super) fn forget(&self, id: NodeId) {
        self.0.lock().remove(&id);
    }

    /// In the order of their ids.
    pub(super) fn list(&self, now: u64) -> Vec<NodeInfo> {
        let nodes = self.0.lock();
        let mut list: Vec<_> = nodes.iter().map(|(id, node)| node.info(*id, now)).collect();
        drop(nodes);
        list.retain(|node| node.last_seen < Duration::from_millis(Self::FORGOTTEN));
        list.sort_by_key(|node| node.id);
        list
    }
}

impl Seen {
    fn info(&self, id: NodeId, now: u64) -> NodeInfo {
        let silent = now.saturating_sub(self.at);
        let is_lost = silent >= Nodes::LOST;
        NodeInfo {
            id,
            is_self: false,
            clients: self.clients,
            is_ready: self.ready && !is_lost,
            last_seen: Duration::from_millis(silent),
            is_lost,
        }
    }
}
