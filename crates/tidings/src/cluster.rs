//! The nodes of a cluster: hubs on one log, which ask each other about their clients.

pub(crate) mod ask;
pub(crate) mod membership;
mod node;
pub(crate) mod signal;

use crate::client_handle;
use crate::client_id::ClientId;
use crate::clients::Clients;
use crate::error::FieldError;
use crate::hub::shared::Shared;
use crate::into_topics::IntoTopics;
use crate::topic::{Topic, TopicPattern};
use membership::Membership;
use signal::Question;

pub use ask::{Answer, Ask};
pub use node::{NodeId, NodeInfo};

/// All nodes on a hub's log, and their clients. See [`Hub::cluster`](crate::Hub::cluster).
///
/// Nodes report to each other every second, over the log's engine. They ask each question at most once: a node that is
/// cut off from the engine does not receive it, keeps its streams open, and is listed in [`Answer::silent`]. On a hub
/// whose log is not shared, the cluster is the hub itself.
#[derive(Debug)]
pub struct Cluster<'a> {
    shared: &'a Shared,
}

impl<'a> Cluster<'a> {
    pub(crate) fn new(shared: &'a Shared) -> Self {
        Self { shared }
    }

    /// The nodes: this one first, then all others whose last signal came within ten minutes and that have not said that
    /// they leave.
    pub fn nodes(&self) -> Vec<NodeInfo> {
        let Shared { cluster, registry, clock, .. } = self.shared;
        let id = cluster.as_ref().map_or(NodeId::default(), Membership::id);
        let is_ready = self.shared.health().is_ready();
        let mut nodes = vec![NodeInfo::this(id, registry.count(), is_ready)];
        nodes.extend(cluster.iter().flat_map(|cluster| cluster.others(clock.now())));
        nodes
    }

    /// The number of open streams on all nodes, up to a second old. Nodes that have been silent for five seconds are
    /// not counted.
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

    /// Ends one stream, on any node. The total is 1 if there was one.
    pub fn close(&self, id: ClientId) -> Ask {
        self.ask(Question::Close(id.to_string()))
    }

    /// Ends all streams of a principal. The total is how many there were. [`Clients`] says what must be
    /// done before.
    pub fn close_principal(&self, principal: &str) -> Ask {
        self.ask(Question::ClosePrincipal(principal.to_owned()))
    }

    /// Adds topics to an open stream, on any node: see [`ClientHandle`](crate::ClientHandle). The total is 1 if that was done; 0
    /// if there is no such stream, or if it would have too many topics. What the new topics retain is not sent.
    ///
    /// The change holds from the moment at which the stream's node learns of it.
    ///
    /// # Errors
    ///
    /// When a topic's name is refused.
    pub fn subscribe<K>(
        &self,
        id: ClientId,
        topics: impl IntoTopics<K>,
    ) -> Result<Ask, FieldError> {
        self.add(id, client_handle::names(topics.into_topics()))
    }

    /// The same for patterns.
    ///
    /// # Errors
    ///
    /// When a pattern is refused.
    pub fn subscribe_matching<K>(
        &self,
        id: ClientId,
        patterns: impl IntoTopics<K, TopicPattern>,
    ) -> Result<Ask, FieldError> {
        self.add(id, patterns.into_topics())
    }

    /// Takes topics from an open stream, on any node. The total is 1 if that was done; 0 if there is no such stream, or if it
    /// would have no topic left.
    ///
    /// # Errors
    ///
    /// When a topic's name is refused.
    pub fn unsubscribe<K>(
        &self,
        id: ClientId,
        topics: impl IntoTopics<K>,
    ) -> Result<Ask, FieldError> {
        self.remove(id, client_handle::names(topics.into_topics()))
    }

    /// The same for patterns.
    ///
    /// # Errors
    ///
    /// When a pattern is refused.
    pub fn unsubscribe_matching<K>(
        &self,
        id: ClientId,
        patterns: impl IntoTopics<K, TopicPattern>,
    ) -> Result<Ask, FieldError> {
        self.remove(id, patterns.into_topics())
    }

    fn add(&self, id: ClientId, names: client_handle::Names) -> Result<Ask, FieldError> {
        let after = self.shared.newest_known().to_string();
        Ok(self.ask(Question::Subscribe { client: id.to_string(), names: names?, after }))
    }

    fn remove(&self, id: ClientId, names: client_handle::Names) -> Result<Ask, FieldError> {
        Ok(self.ask(Question::Unsubscribe { client: id.to_string(), names: names? }))
    }

    pub(crate) fn ask(&self, question: Question) -> Ask {
        let here = Clients::new(self.shared).answer(&question);
        let Some(cluster) = &self.shared.cluster else {
            return Ask::of(Answer { total: here, silent: Vec::new() });
        };
        let (signal, ask) = cluster.ask(question, here, self.shared.clock.now());
        self.shared.signal(|_| signal);
        ask
    }
}
