use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::node::NodeId;
use crate::health::Health;
use crate::hub::shared::Shared;
use crate::registry::{ClientId, Clients};
use crate::topic::Topic;

/// What one node says to all others, as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Signal {
    pub(super) from: NodeId,
    pub(super) content: Content,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Content {
    Presence {
        clients: usize,
        ready: bool,
    },
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
    /// An event that is not kept.
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

impl Content {
    pub(super) fn presence(shared: &Shared) -> Self {
        let ready = Health::of(shared).is_ready();
        Self::Presence { clients: shared.registry.count(), ready }
    }
}

impl Question {
    /// What this node has to say to it, or does about it.
    pub(super) fn answer(&self, clients: Clients<'_>) -> usize {
        match self {
            Self::CountOfTopic(topic) => {
                Topic::new(topic).map_or(0, |topic| clients.count_of_topic(&topic))
            }
            Self::CountOfPrincipal(principal) => clients.count_of_principal(principal),
            Self::Close(id) => {
                let id = id.parse::<ClientId>().ok();
                usize::from(id.is_some_and(|id| clients.close(id)))
            }
            Self::ClosePrincipal(principal) => clients.close_principal(principal),
        }
    }
}
