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
    /// When it was appended, by the clock of the hub's log, in milliseconds; 0 if that is not known, and long ago.
    pub(crate) at: u64,
}

impl LastEvent {
    /// For how long a log may put events after a last one that are void, in milliseconds. They come from nodes that do not
    /// have the last event yet, and from other programs. It is a rule of the log's order and its own times alone, so it is
    /// the same on every node, live and read back.
    const VOID: u64 = 60_000;

    /// Whether an event that the log has put after it is void. A later one begins the topic anew.
    pub(crate) fn voids(self, at: u64) -> bool {
        at < self.at.saturating_add(Self::VOID)
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
