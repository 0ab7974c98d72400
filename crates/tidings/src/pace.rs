use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Context;

use crate::heartbeat::Heartbeat;
use crate::waking::{self, Waiter};

/// Makes a stream that always has more pause, so that its server sends what it has and lets others run.
///
/// Servers poll a body until it is pending. A stream that pauses is pending, and is woken to go on.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// How many bytes were handed out without a pause.
    burst: u32,
    pause: Pause,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Pause {
    #[default]
    No,
    /// The stream has woken itself.
    Short,
    /// Until its waker is gone from its heartbeat.
    UntilWoken,
}

/// How many streams are pausing. Not per hub, because they share their threads.
static PAUSING: AtomicUsize = AtomicUsize::new(0);

impl Pace {
    /// After so many bytes, a stream pauses.
    const BURST: u32 = 64 * 1024;
    /// An item counts as at least so many: a burst has at most 16.
    const LEAST: usize = 4 * 1024;
    /// A few streams wake themselves. When many have more, that would be a long queue, at whose end everything else waits:
    /// a request, or a stream of another topic. So they are woken from outside, and runtimes run their own first.
    const AT_ONCE: usize = if cfg!(shuttle) { usize::MAX } else { 16 };

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
        heartbeat: &Heartbeat,
        waiter: &Arc<W>,
        cx: &mut Context<'_>,
    ) -> bool {
        match self.pause {
            Pause::No if !has_more() => return false,
            Pause::No => {}
            // hyper polls again when it has written, in the same run of its task.
            Pause::UntilWoken if heartbeat.is_registered(cx.waker()) => return true,
            Pause::Short | Pause::UntilWoken => {
                self.rest();
                return false;
            }
        }
        if PAUSING.fetch_add(1, Ordering::Relaxed) < Self::AT_ONCE {
            self.pause = Pause::Short;
            cx.waker().wake_by_ref();
        } else {
            self.pause = Pause::UntilWoken;
            heartbeat.register(cx.waker());
            waking::wake_later(waiter.clone());
        }
        true
    }

    /// The stream has nothing more, or has paused.
    pub(crate) fn rest(&mut self) {
        *self = Self::default();
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        if self.pause != Pause::No {
            PAUSING.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
