use super::entry::EntryKind;
use super::keys::Keys;
use crate::backend::Origin;
use crate::epoch::Epoch;

/// Where the positions of a hub's events come from.
#[derive(Debug)]
pub(super) enum Source {
    /// The hub itself gives them, and knows the keys of events that had one.
    Local { epoch: Epoch, position: u64, keys: Keys },
    /// The hub's log gives them, and the hub is its replica.
    Replica(ReplicaState),
}

/// How far a replica has come.
#[derive(Debug)]
pub(super) struct ReplicaState {
    pub(super) epoch: Epoch,
    /// The newest position that the replica has, or that the log has passed without an event for it.
    pub(super) position: u64,
    pub(super) history: ReplicaHistory,
}

/// What a replica knows of the present history.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReplicaHistory {
    /// The offset at which the history began: a cursor before it is in another one.
    pub(crate) began: u64,
    /// The log's end when the replica began: what comes up to here is history, not news.
    pub(crate) end: u64,
    /// The newest position with which a publication of this node was acknowledged.
    pub(crate) acknowledged: u64,
    /// Whether the log delivers only topics that the hub is interested in.
    pub(crate) is_selective: bool,
}

impl Source {
    pub(super) fn local(keys: Keys) -> Self {
        Self::Local { epoch: Epoch::random(), position: 0, keys }
    }

    pub(super) fn replica(origin: Origin, is_selective: bool) -> Self {
        let Origin { epoch, position, end } = origin;
        let history = ReplicaHistory { began: 0, end, acknowledged: 0, is_selective };
        Self::Replica(ReplicaState { epoch, position, history })
    }

    pub(super) fn epoch(&self) -> &Epoch {
        match self {
            Self::Local { epoch, .. } | Self::Replica(ReplicaState { epoch, .. }) => epoch,
        }
    }

    pub(super) fn position(&self) -> u64 {
        match self {
            Self::Local { position, .. } | Self::Replica(ReplicaState { position, .. }) => {
                *position
            }
        }
    }

    pub(super) fn replica_mut(&mut self) -> Option<&mut ReplicaState> {
        match self {
            Self::Local { .. } => None,
            Self::Replica(replica) => Some(replica),
        }
    }

    /// The position of an event that the hub already has.
    pub(super) fn known(&mut self, kind: &EntryKind, now: u64) -> Option<u64> {
        match (self, kind) {
            (Self::Local { keys, .. }, EntryKind::Durable(Some(key))) => keys.get(key, now),
            (Self::Replica(replica), EntryKind::Replicated { position, .. }) => {
                (*position <= replica.position).then_some(*position)
            }
            _ => None,
        }
    }

    /// Gives an event its position, if it is of a kind that has one.
    pub(super) fn next_position(&mut self, kind: EntryKind, now: u64) -> Option<u64> {
        match (self, kind) {
            (Self::Local { position, keys, .. }, EntryKind::Durable(key)) => {
                *position += 1;
                if let Some(key) = key {
                    keys.insert(key, *position, now);
                }
                Some(*position)
            }
            (Self::Replica(replica), EntryKind::Replicated { position, .. }) => {
                replica.position = position;
                Some(position)
            }
            _ => None,
        }
    }
}

impl ReplicaState {
    pub(super) fn reach(&mut self, position: u64) {
        self.position = self.position.max(position);
    }
}
