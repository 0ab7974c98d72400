//! A hub on a log: what the suite for logs asks of each, and what happens when the log fails.

use tidings::{Hub, HubBuilder};
use tidings_testkit::log::{Engine, EngineOptions};
use tidings_testkit::shared_log::SharedLog;

/// Every node is delivered everything.
struct Following(SharedLog);

fn begin(options: EngineOptions) -> SharedLog {
    let log = SharedLog::new();
    log.window(options.idempotency_window);
    log.keep(options.max_events);
    log
}

impl Engine for Following {
    async fn begin(options: EngineOptions) -> Option<Self> {
        Some(Self(begin(options)))
    }

    async fn node(&self, hub: HubBuilder) -> Hub {
        hub.build_on(self.0.node())
    }

    async fn wipe(&self) {
        self.0.wipe();
    }
}

/// Every node is delivered what it wants.
struct Selecting(SharedLog);

impl Engine for Selecting {
    async fn begin(options: EngineOptions) -> Option<Self> {
        Some(Self(begin(options)))
    }

    async fn node(&self, hub: HubBuilder) -> Hub {
        hub.build_on(self.0.selective_node())
    }

    async fn wipe(&self) {
        self.0.wipe();
    }
}

mod following {
    use super::*;

    tidings_testkit::log_suite!(Following, durable, shared);
}

mod selecting {
    use super::*;

    tidings_testkit::log_suite!(Selecting, durable, shared);
}
