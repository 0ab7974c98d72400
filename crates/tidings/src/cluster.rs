//! The nodes of a cluster: hubs on one log, which ask each other about their clients.

mod ask;
mod node;
mod signal;

use std::sync::Arc;

use crate::hub::Hub;
use crate::hub::shared::Shared;
use crate::registry::{ClientId, Clients};
use crate::topic::Topic;
use ask::Asks;
use node::Nodes;
pub(crate) use signal::Content;
use signal::{Question, Signal};

pub use ask::{Answer, Ask};
pub use node::{NodeId, NodeInfo};

/// What a node knows of the others.
#[derive(Debug)]
pub(crate) struct State {
    id: NodeId,
    nodes: Nodes,
    asks: Asks,
}

impl State {
    pub(crate) fn new() -> Self {
        Self { id: NodeId::random(), nodes: Nodes::default(), asks: Asks::default() }
    }
}

/// All nodes on a hub's log, and their clients. See [`Hub::cluster`].
///
/// Nodes tell each other every second how they are, by way of the log's engine, and ask each other at most
/// once: a node that is cut off from the engine hears nothing, keeps its streams open, and is told of in
/// [`Answer::silent`]. On a hub whose log is not shared, the cluster is the hub itself.
#[derive(Debug)]
pub struct Cluster<'a> {
    hub: &'a Hub,
}

impl<'a> Cluster<'a> {
    pub(crate) fn new(hub: &'a Hub) -> Self {
        Self { hub }
    }

    fn shared(&self) -> &Arc<Shared> {
        self.hub.shared()
    }

    /// The nodes: this one first, then all others that were heard of within ten minutes and have not
    /// said that they leave.
    pub fn nodes(&self) -> Vec<NodeInfo> {
        let shared = self.shared();
        let state = shared.replication.as_ref().map(|replication| &replication.cluster);
        let this = NodeInfo::of(shared, state.map_or(NodeId::default(), |state| state.id));
        let others = state.map(|state| state.nodes.list(shared.clock.now()));
        [this].into_iter().chain(others.into_iter().flatten()).collect()
    }

    /// The number of open streams on all nodes, as last heard: up to a second old. Nodes that were not
    /// heard of for five seconds are not counted.
    pub fn count(&self) -> usize {
        self.nodes().iter().filter(|node| !node.is_lost).map(|node| node.clients).sum()
    }

    /// The number of open streams that are subscribed to a topic.
    pub fn count_of_topic(&self, topic: &Topic) -> Ask {
        self.ask(Question::CountOfTopic(topic.as_str().to_owned()))
    }

    /// The number of open streams of a principal.
    pub fn count_of_principal(&self, principal: &str) -> Ask {
        self.ask(Question::CountOfPrincipal(principal.to_owned()))
    }

    /// Ends one stream, on whatever node it is. The total is 1 if there was one.
    pub fn close(&self, id: ClientId) -> Ask {
        self.ask(Question::Close(id.to_string()))
    }

    /// Ends all streams of a principal. The total is how many there were. See
    /// [`Clients`](crate::Clients) for what has to be done before.
    pub fn close_principal(&self, principal: &str) -> Ask {
        self.ask(Question::ClosePrincipal(principal.to_owned()))
    }

    fn ask(&self, question: Question) -> Ask {
        let shared = self.shared();
        let here = question.answer(self.hub.clients());
        let replication = shared.replication.as_ref().filter(|log| log.log.is_shared());
        let Some(replication) = replication else {
            return Ask::answered(Answer { total: here, silent: Vec::new() });
        };
        let State { id, nodes, asks } = &replication.cluster;
        let now = shared.clock.now();
        let (number, ask) = asks.begin(here, nodes.list(now), now);
        let content = Content::Ask { number, question };
        replication.log.signal(Signal { from: *id, content }.encode());
        ask
    }
}

impl Shared {
    /// Every second: says how this node is, and gives up what waits for too long.
    pub(crate) fn tell_cluster(&self) {
        let Some(replication) = self.replication.as_ref().filter(|log| log.log.is_shared()) else {
            return;
        };
        replication.cluster.asks.expire(self.clock.now());
        self.signal(Content::presence(self));
    }

    /// Says good-bye.
    pub(crate) fn leave_cluster(&self) {
        if self.replication.as_ref().is_some_and(|log| log.log.is_shared()) {
            self.signal(Content::Leave);
        }
    }

    pub(crate) fn signal(&self, content: Content) {
        if let Some(replication) = &self.replication {
            let from = replication.cluster.id;
            replication.log.signal(Signal { from, content }.encode());
        }
    }

    /// Takes what another node has signalled. What is not understood is of another version, and left.
    pub(crate) fn signalled(self: &Arc<Self>, signal: &[u8]) {
        let Some(replication) = &self.replication else { return };
        let state = &replication.cluster;
        let Some(Signal { from, content }) = Signal::decode(signal) else { return };
        if from == state.id {
            return;
        }
        match content {
            Content::Presence { clients, ready } => {
                let now = self.clock.now();
                if state.nodes.heard(from, clients, ready, now) {
                    // It is new, and does not know this one.
                    self.signal(Content::presence(self));
                }
            }
            Content::Leave => {
                state.nodes.forget(from);
                state.asks.left(from);
            }
            Content::Ask { number, question } => {
                let total = question.answer(Clients::new(self));
                self.signal(Content::Answer { to: from, number, total });
            }
            Content::Answer { to, number, total } if to == state.id => {
                state.asks.answered(number, from, total);
            }
            Content::Answer { .. } => {}
            Content::Ephemeral { fields } => self.deliver_ephemeral(&fields),
        }
    }
}
