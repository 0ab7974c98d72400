use std::task::Context;

/// Makes a stream that always has more pause, so that its server sends what it has and lets others run.
///
/// Servers poll a body until it is pending. A stream that pauses is pending, and wakes itself.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// How often the stream is still pending though it has more.
    pauses: u8,
    /// How many bytes were handed out without a pause.
    burst: u32,
}

impl Pace {
    /// How often a stream is pending before it goes on. hyper polls a body twice in one run of its task: for more, and again
    /// after it has written.
    const PAUSES: u8 = 2;
    /// After so many bytes, a stream pauses.
    const BURST: u32 = 64 * 1024;
    /// An item counts as at least so many: a burst has at most 16.
    const LEAST: usize = 4 * 1024;

    /// Whether the stream pauses, if it has more.
    pub(crate) fn is_pausing(&self) -> bool {
        self.pauses > 0
    }

    /// To be called when the stream has more, and [pauses](Self::is_pausing).
    pub(crate) fn wait(&mut self, cx: &mut Context<'_>) {
        self.pauses -= 1;
        cx.waker().wake_by_ref();
    }

    /// Counts what is handed out, and pauses after a burst.
    pub(crate) fn count(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes.max(Self::LEAST)).unwrap_or(Self::BURST);
        self.burst = self.burst.saturating_add(bytes);
        if self.burst >= Self::BURST {
            *self = Self { pauses: Self::PAUSES, burst: 0 };
        }
    }

    /// The stream has nothing more: its server has let others run.
    pub(crate) fn rest(&mut self) {
        *self = Self::default();
    }
}
