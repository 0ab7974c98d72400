use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::node::NodeId;
use crate::stream_limit::StreamLimit;
use crate::topic::TopicPattern;

/// What one node sends to all others, as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Signal {
    pub(super) from: NodeId,
    pub(super) content: Content,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Content {
    Presence {
        clients: usize,
        ready: bool,
    },
    RenewPresence,
    Leave,
    Ask {
        number: u64,
        question: Question,
    },
    Answer {
        to: NodeId,
        number: u64,
        total: usize,
    },
    /// An event that is not retained.
    Ephemeral {
        fields: Vec<(String, String)>,
    },
    /// What sources have published on this node in the last second.
    Published {
        sources: Vec<(String, u32)>,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Question {
    CountOfTopic(String),
    CountOfPrincipal(String),
    Close(String),
    ClosePrincipal(String),
    /// How many streams of a group there are, or how many that are newer than this one: when it connected, in microseconds
    /// since the Unix epoch, and its id.
    Streams {
        of: StreamLimit,
        name: String,
        newer_than: Option<(u64, String)>,
    },
    /// A stream of a group was opened, and may supersede others.
    Opened {
        of: StreamLimit,
        name: String,
    },
    /// Adds topics, of which the stream is sent nothing up to this id: the node that asks knows of that already.
    Subscribe {
        client: String,
        names: Vec<TopicPattern>,
        after: String,
    },
    Unsubscribe {
        client: String,
        names: Vec<TopicPattern>,
    },
}

impl Signal {
    pub(super) fn encode(&self) -> Bytes {
        // Numbers and text: serialising them cannot fail, and nobody reads an empty signal.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}
