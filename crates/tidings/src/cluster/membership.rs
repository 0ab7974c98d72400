use bytes::Bytes;

use super::ask::{Ask, Asks};
use super::node::{NodeId, NodeInfo, Nodes};
use super::signal::{Content, Question, Signal};
use crate::backend::{Append, record};
use crate::event::Event;
use crate::topic::Topic;

/// A node's part in its cluster: what it knows of the others, and the signals that it sends them.
#[derive(Debug)]
pub(crate) struct Membership {
    id: NodeId,
    nodes: Nodes,
    asks: Asks,
}

/// What another node's signal asks of this one.
pub(crate) enum Received {
    /// The other node is new.
    NewNode,
    Question {
        from: NodeId,
        number: u64,
        question: Question,
    },
    /// The other node lacks some of what this one has said of who is there.
    RenewPresence,
    /// An event that is not retained.
    Ephemeral {
        topic: Topic,
        event: Event,
    },
    /// What sources have published there.
    Published(Vec<(String, u32)>),
}

impl Membership {
    pub(crate) fn new() -> Self {
        Self { id: NodeId::random(), nodes: Nodes::default(), asks: Asks::default() }
    }

    /// A node that was silent for this long is lost; in milliseconds.
    pub(crate) const LOST: u64 = Nodes::LOST;

    pub(crate) fn id(&self) -> NodeId {
        self.id
    }

    /// The other nodes.
    pub(crate) fn others(&self, now: u64) -> Vec<NodeInfo> {
        self.nodes.list(now)
    }

    fn signal(&self, content: Content) -> Bytes {
        Signal { from: self.id, content }.encode()
    }

    /// The signal that says how this node is.
    pub(crate) fn presence(&self, clients: usize, ready: bool) -> Bytes {
        self.signal(Content::Presence { clients, ready })
    }

    /// The signal that this node lacks some of what the others have said of who is there.
    pub(crate) fn renew_presence(&self) -> Bytes {
        self.signal(Content::RenewPresence)
    }

    /// The signal that this node leaves.
    pub(crate) fn leave(&self) -> Bytes {
        self.signal(Content::Leave)
    }

    pub(crate) fn ephemeral(&self, topic: &Topic, event: &Event) -> Bytes {
        let append = Append::new(topic.clone(), event.clone(), None);
        let fields = append.fields().map(|(name, value)| (name.to_owned(), value)).collect();
        self.signal(Content::Ephemeral { fields })
    }

    pub(crate) fn published(&self, sources: Vec<(String, u32)>) -> Bytes {
        self.signal(Content::Published { sources })
    }

    pub(crate) fn answer(&self, to: NodeId, number: u64, total: usize) -> Bytes {
        self.signal(Content::Answer { to, number, total })
    }

    /// Begins to ask the other nodes; this one has answered `here`.
    pub(super) fn ask(&self, question: Question, here: usize, now: u64) -> (Bytes, Ask) {
        let (number, ask) = self.asks.begin(here, self.nodes.list(now), now);
        (self.signal(Content::Ask { number, question }), ask)
    }

    /// Ends the questions that have timed out.
    pub(crate) fn expire(&self, now: u64) {
        self.asks.expire(now);
    }

    /// Takes another node's signal. One that cannot be read is of another version, and ignored.
    pub(crate) fn receive(&self, signal: &[u8], now: u64) -> Option<Received> {
        let Signal { from, content } = Signal::decode(signal)?;
        if from == self.id {
            return None;
        }
        match content {
            Content::Presence { clients, ready } => {
                self.nodes.seen(from, clients, ready, now).then_some(Received::NewNode)
            }
            Content::RenewPresence => Some(Received::RenewPresence),
            Content::Leave => {
                self.nodes.forget(from);
                self.asks.left(from);
                None
            }
            Content::Ask { number, question } => {
                Some(Received::Question { from, number, question })
            }
            Content::Answer { to, number, total } => {
                if to == self.id {
                    self.asks.answered(number, from, total);
                }
                None
            }
            Content::Ephemeral { fields } => {
                let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
                let (topic, event, _) = record::read(fields).ok()?;
                Some(Received::Ephemeral { topic, event })
            }
            Content::Published { sources } => Some(Received::Published(sources)),
        }
    }
}
