//! Who is on a topic by what the nodes have said.

use super::{Entry, Who};
use crate::cluster::NodeId;
use crate::sync::HashMap;

/// The entries of presence topics, as far as this node has read them.
#[derive(Debug, Default)]
pub(super) struct Roster(HashMap<NodeId, Node>);

/// What one node has said.
#[derive(Debug)]
pub(super) struct Node {
    /// By who is there: since when, and when this was read, in milliseconds of the hub's clock.
    present: HashMap<Who, (u64, u64)>,
    /// When the node last gave a sign of life, in milliseconds of the hub's clock.
    pub(super) last_sign: u64,
}

impl Roster {
    /// Notes what a node has said.
    pub(super) fn note(&mut self, entry: Entry, now: u64) {
        let Entry { who, node, since } = entry;
        match since {
            Some(since) => {
                let node = self.0.entry(node);
                let node =
                    node.or_insert_with(|| Node { present: HashMap::default(), last_sign: now });
                node.present.insert(who, (since, now));
                node.last_sign = now;
            }
            None => {
                if let Some(said) = self.0.get_mut(&node) {
                    said.present.remove(&who);
                    if said.present.is_empty() {
                        self.0.remove(&node);
                    }
                }
            }
        }
    }

    /// Whether a node has said that a principal is there.
    pub(super) fn has(&self, node: NodeId, who: &Who) -> bool {
        self.0.get(&node).is_some_and(|said| said.present.contains_key(who))
    }

    /// The earliest time since which a principal is there, by any node.
    pub(super) fn since(&self, who: &Who) -> Option<u64> {
        self.0.values().filter_map(|said| said.present.get(who)).map(|(since, _)| *since).min()
    }

    /// What a node has said before a time.
    pub(super) fn said_before(&self, node: NodeId, time: u64) -> Vec<Who> {
        let said = self.0.get(&node).into_iter().flat_map(|said| &said.present);
        said.filter(|(_, (_, at))| *at < time).map(|(who, _)| who.clone()).collect()
    }

    /// The nodes that have said something, but for one.
    pub(super) fn others(&mut self, node: NodeId) -> impl Iterator<Item = (NodeId, &mut Node)> {
        self.0.iter_mut().filter(move |(id, _)| **id != node).map(|(id, node)| (*id, node))
    }

    pub(super) fn has_others(&self, node: NodeId) -> bool {
        self.0.keys().any(|id| *id != node)
    }
}

impl Node {
    pub(super) fn present(&self) -> impl Iterator<Item = &Who> {
        self.present.keys()
    }
}
