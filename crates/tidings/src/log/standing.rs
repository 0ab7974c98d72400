/// Whether anything may follow in a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Open,
    /// The hub's log has to be asked, and was, at this time of the hub's clock: memory has no event of the topic. 0 for
    /// never.
    Unknown {
        asked: u64,
    },
    /// Nothing follows this event.
    Finished(LastEvent),
}

impl Standing {
    /// Of a topic without events in memory.
    pub(crate) fn when_empty(is_asked_for: bool) -> Self {
        if is_asked_for { Self::Unknown { asked: 0 } } else { Self::Open }
    }
}

/// The last event of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct LastEvent {
    pub(crate) position: u64,
}

impl LastEvent {
    /// Whether an event that the log has put after it is void: its publisher's node had not seen the last event. Another
    /// one begins the topic anew, because the log had lost the last event. Both are in the log, so this is the same on
    /// every node, live and read back.
    pub(crate) fn voids(self, seen: Option<u64>) -> bool {
        seen.is_some_and(|seen| seen < self.position)
    }
}

/// The same for several topics, and for one who has read them up to some offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Something may follow.
    Open,
    /// Nothing may, as far as memory knows. The hub's log has to be asked for the rest.
    Unknown,
    /// Nothing does.
    Reached,
}
