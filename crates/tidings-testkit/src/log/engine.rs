use std::future::Future;
use std::time::Duration;

use tidings::{Hub, HubBuilder, Retention};

/// One log for one test, and a way to build hubs on it. Dropping it ends what runs for it.
pub trait Engine: Sized + Send + Sync + 'static {
    /// Begins an empty log that only this test uses.
    ///
    /// `None` where the engine is not installed: it has reported that, and the test is skipped.
    fn begin(options: EngineOptions) -> impl Future<Output = Option<Self>> + Send;

    /// Builds a hub on the log: a node. It ends when the hub and its streams are dropped.
    ///
    /// There is only one node where the log does not outlive its hubs.
    fn node(&self, hub: HubBuilder) -> impl Future<Output = Hub> + Send;

    /// A node with the builder's defaults.
    fn hub(&self) -> impl Future<Output = Hub> + Send {
        self.node(Hub::builder())
    }

    /// Loses all events, and the history with them, as a failing disk or an operator may. No node is running.
    ///
    /// Required where the log outlives its hubs. Default: nothing.
    fn wipe(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// What a test needs of its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineOptions {
    /// How long idempotency keys are remembered: at least this long, and not much longer.
    pub idempotency_window: Duration,
    /// How many events the log keeps at least. Of more than ten times as many, the oldest are gone.
    pub max_events: usize,
}

impl EngineOptions {
    /// Of a log that keeps few events.
    pub fn max_events(max_events: usize) -> Self {
        Self { max_events, ..Self::default() }
    }

    /// Of a log that remembers keys for this long.
    pub fn idempotency_window(idempotency_window: Duration) -> Self {
        Self { idempotency_window, ..Self::default() }
    }
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { idempotency_window: Duration::from_secs(120), max_events: 100_000 }
    }
}

/// No log: a hub in memory.
#[derive(Debug)]
pub struct Memory(EngineOptions);

impl Engine for Memory {
    async fn begin(options: EngineOptions) -> Option<Self> {
        Some(Self(options))
    }

    async fn node(&self, hub: HubBuilder) -> Hub {
        hub.retention(Retention::default().events(self.0.max_events).bytes(256 << 20)).build()
    }
}
