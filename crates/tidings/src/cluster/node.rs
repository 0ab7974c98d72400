use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::health::Health;
use crate::hub::shared::Shared;
use crate::sync::{HashMap, Mutex};

/// Identifies a node of a cluster, from its start to its end: 64 random bits, as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct NodeId(u64);

impl NodeId {
    pub(super) fn random() -> Self {
        Self(fastrand::u64(1..))
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

impl Serialize for NodeId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16).map(Self).map_err(serde::de::Error::custom)
    }
}

/// What is known of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeInfo {
    /// The node's id; of zeros for a hub that is not part of a cluster.
    pub id: NodeId,
    /// Whether this is the node that was asked.
    pub is_self: bool,
    /// Its open streams.
    pub clients: usize,
    /// Whether new clients should be sent there: its [`Health::is_ready`].
    pub is_ready: bool,
    /// How long ago it was heard of.
    pub heard: Duration,
    /// It was not heard of for five seconds, and has not said that it leaves: it was killed, hangs, or is
    /// cut off.
    pub is_lost: bool,
}

impl NodeInfo {
    pub(super) fn of(shared: &Shared, id: NodeId) -> Self {
        Self {
            id,
            is_self: true,
            clients: shared.registry.count(),
            is_ready: Health::of(shared).is_ready(),
            heard: Duration::ZERO,
            is_lost: false,
        }
    }
}

/// The other nodes.
#[derive(Debug, Default)]
pub(super) struct Nodes(Mutex<HashMap<NodeId, Heard>>);

#[derive(Debug)]
struct Heard {
    clients: usize,
    ready: bool,
    /// Milliseconds of the hub's clock.
    at: u64,
}

impl Nodes {
    /// A node that was silent for this long is lost; in milliseconds.
    const LOST: u64 = 5_000;
    /// And for this long, forgotten.
    const FORGOTTEN: u64 = 600_000;

    /// Returns whether the node is new.
    pub(super) fn heard(&self, id: NodeId, clients: usize, ready: bool, at: u64) -> bool {
        let mut nodes = self.0.lock();
        nodes.retain(|_, node| at.saturating_sub(node.at) < Self::FORGOTTEN);
        nodes.insert(id, Heard { clients, ready, at }).is_none()
    }

    pub(super) fn forget(&self, id: NodeId) {
        self.0.lock().remove(&id);
    }

    /// In the order of their ids.
    pub(super) fn list(&self, now: u64) -> Vec<NodeInfo> {
        let nodes = self.0.lock();
        let mut list: Vec<_> = nodes.iter().map(|(id, node)| node.info(*id, now)).collect();
        drop(nodes);
        list.retain(|node| node.heard < Duration::from_millis(Self::FORGOTTEN));
        list.sort_by_key(|node| node.id);
        list
    }
}

impl Heard {
    fn info(&self, id: NodeId, now: u64) -> NodeInfo {
        let silent = now.saturating_sub(self.at);
        let is_lost = silent >= Nodes::LOST;
        NodeInfo {
            id,
            is_self: false,
            clients: self.clients,
            is_ready: self.ready && !is_lost,
            heard: Duration::from_millis(silent),
            is_lost,
        }
    }
}
