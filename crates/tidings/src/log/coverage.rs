use super::reset_reason::ResetReason;

/// Which events a topic's log has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coverage {
    /// Every event after the low watermark.
    Since(LowWatermark),
    /// None that a reader may rely on: the hub's log does not deliver the topic yet.
    NotFollowed,
}

/// The newest event that a topic has lost. All zero: it has lost none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LowWatermark {
    pub(crate) offset: u64,
    pub(crate) position: u64,
    pub(crate) reason: ResetReason,
}

impl Coverage {
    pub(crate) fn is_followed(&self) -> bool {
        matches!(self, Self::Since(_))
    }

    /// Why a reader at an offset cannot go on: the log lacks an event after it.
    #[inline]
    pub(crate) fn gap_after(&self, offset: u64) -> Option<ResetReason> {
        match self {
            Self::Since(low) => (low.offset > offset).then_some(low.reason),
            Self::NotFollowed => Some(ResetReason::Trimmed),
        }
    }

    /// The same for a position.
    pub(crate) fn gap_after_position(&self, position: u64) -> Option<LowWatermark> {
        match self {
            Self::Since(low) => low.gap_after_position(position),
            Self::NotFollowed => {
                Some(LowWatermark { offset: 0, position: u64::MAX, reason: ResetReason::Trimmed })
            }
        }
    }

    /// What the topic has lost; nothing is known of one that is not followed.
    pub(crate) fn low_watermark(&self) -> LowWatermark {
        match self {
            Self::Since(low) => *low,
            Self::NotFollowed => LowWatermark::default(),
        }
    }
}

impl LowWatermark {
    /// This, if it is ahead of a position: a reader there has missed something.
    pub(crate) fn gap_after_position(self, position: u64) -> Option<Self> {
        (self.position > position).then_some(self)
    }

    /// Whether an event after an offset may be lost. A replica does not know the offsets of what was before it.
    pub(crate) fn is_after(&self, offset: u64) -> bool {
        self.offset > offset || (offset == 0 && self.position > 0)
    }

    /// The higher of two.
    pub(crate) fn max(self, other: Self) -> Self {
        if other.position > self.position { other } else { self }
    }
}
