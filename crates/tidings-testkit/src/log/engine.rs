use std::future::Future;
use std::time::Duration;

use tidings::{Hub, HubBuilder, Retention};

/// One log for one test, and the means to make hubs on it. Dropping it ends what runs for it.
pub trait Engine: Sized + Send + Sync + 'static {
    /// Whether the log is spread over several places, so that events of different topics that do not wait
    /// for each other may come in another order than they were published in. Default: no.
    const IS_SPREAD: bool = false;

    /// Begins a log that nobody else uses, with nothing in it.
    ///
    /// `None` where the engine is not on this machine; it has been told then, and the test is skipped.
    fn begin(settings: Settings) -> impl Future<Output = Option<Self>> + Send;

    /// Makes a hub on the log: a node. It is ended by dropping the hub and what came of it.
    ///
    /// Where the log does not outlive its hubs, there is only one.
    fn node(&self, hub: HubBuilder) -> impl Future<Output = Hub> + Send;

    /// Loses all events and with them the history, as a disk may, or an operator. No node is running.
    ///
    /// Needed where the log outlives its hubs. Default: nothing.
    fn wipe(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// What a test wants of its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// For how long idempotency keys are remembered, at least; for not much longer.
    pub idempotency_window: Duration,
    /// How many events the log keeps, at least. Beyond ten times as many, the oldest are gone.
    pub max_events: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { idempotency_window: Duration::from_secs(120), max_events: 100_000 }
    }
}

/// No log at all: a hub in memory.
#[derive(Debug)]
pub struct Memory(Settings);

impl Engine for Memory {
    async fn begin(settings: Settings) -> Option<Self> {
        Some(Self(settings))
    }

    async fn node(&self, hub: HubBuilder) -> Hub {
        // Of what is the log here, no more than the test wants to be kept.
        hub.retention(Retention::default().events(self.0.max_events).bytes(256 << 20)).build()
    }
}
