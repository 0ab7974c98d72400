use std::sync::Arc;
use std::task::Context;

use crate::heartbeat::timer::HeartbeatTimer;
use crate::waking::{self, Waiter, Waiters};

/// Makes a stream that always has more pause, so that its server sends what it has and lets others run.
///
/// Servers poll a body until it is pending. A stream that pauses is pending, and is [woken in its turn](waking::wake).
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// How many bytes were handed out without a pause.
    burst: u32,
    pauses: bool,
}

impl Pace {
    /// After so many bytes, a stream pauses.
    const BURST: u32 = 64 * 1024;
    /// An item counts as at least so many: a burst has at most 16.
    const LEAST: usize = 4 * 1024;

    /// Counts what is handed out.
    pub(crate) fn count(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes.max(Self::LEAST)).unwrap_or(Self::BURST);
        self.burst = self.burst.saturating_add(bytes);
    }

    /// Whether a stream must pause that [has more](Self::pauses).
    #[inline]
    pub(crate) fn is_spent(&self) -> bool {
        self.burst >= Self::BURST
    }

    /// Whether a stream whose burst is spent is pending now. `waiter` wakes it, by its heartbeat.
    #[cold]
    pub(crate) fn pauses<W: Waiter + 'static>(
        &mut self,
        has_more: impl FnOnce() -> bool,
        heartbeat: &HeartbeatTimer,
        waiter: &Arc<W>,
        cx: &mut Context<'_>,
    ) -> bool {
        if self.pauses {
            // hyper polls again when it has written, in the same run of its task.
            let waits = heartbeat.is_registered(cx.waker());
            if !waits {
                self.rest();
            }
            return waits;
        }
        self.pauses = has_more();
        if self.pauses {
            heartbeat.register(cx.waker());
            let waiter: Arc<dyn Waiter> = waiter.clone();
            waking::wake(Waiters::of(0, [(0, waiter)].into_iter().collect()));
        }
        self.pauses
    }

    /// The stream has nothing more, or has paused.
    pub(crate) fn rest(&mut self) {
        *self = Self::default();
    }
}
