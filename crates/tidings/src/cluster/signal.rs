use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::node::NodeId;
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
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Question {
    CountOfTopic(String),
    CountOfPrincipal(String),
    Close(String),
    ClosePrincipal(String),
    Subscribe { client: String, names: Vec<TopicPattern> },
    Unsubscribe { client: String, names: Vec<TopicPattern> },
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
