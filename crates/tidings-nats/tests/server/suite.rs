//! What every log must do.

use std::time::Duration;

use tidings::{Hub, HubBuilder};
use tidings_nats::NatsLog;
use tidings_testkit::log::{Engine, EngineOptions};
use tidings_testkit::nats::Server;
use tokio::sync::Mutex;

/// Nodes that receive everything, or only the events of their interests.
struct Nats<const IS_SELECTIVE: bool> {
    server: Mutex<Server>,
    options: EngineOptions,
}

impl<const IS_SELECTIVE: bool> Engine for Nats<IS_SELECTIVE> {
    async fn begin(options: EngineOptions) -> Option<Self> {
        Some(Self { server: Mutex::new(super::server().await?), options })
    }

    async fn node(&self, hub: HubBuilder) -> Hub {
        let log = NatsLog::builder()
            .max_events(self.options.max_events as u64)
            .idempotency_window(self.options.idempotency_window)
            .append_timeout(self.options.idempotency_window.min(Duration::from_secs(5)))
            .selective(IS_SELECTIVE)
            .connect(self.server.lock().await.url())
            .await;
        hub.build_on(log.expect("the server is running"))
    }

    async fn wipe(&self) {
        let mut server = self.server.lock().await;
        server.kill().await;
        server.wipe();
        server.restart().await;
    }
}

mod selective {
    use super::*;

    tidings_testkit::log_suite!(Nats<true>, durable, shared);
}

mod whole {
    use super::*;

    tidings_testkit::log_suite!(Nats<false>, durable, shared);
}
