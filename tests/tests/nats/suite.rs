//! What every log must do.

use tidings::{Hub, HubBuilder};
use tidings_nats::NatsLog;
use tidings_testkit::log::{Engine, EngineOptions};
use tidings_tests::nats::Server;
use tidings_tests::requirements::met;
use tokio::sync::Mutex;

/// A node receives what its clients want.
struct Selective(Jetstream);

/// A node receives everything.
struct Whole(Jetstream);

struct Jetstream {
    server: Mutex<Server>,
    settings: EngineOptions,
}

impl Jetstream {
    async fn begin(settings: EngineOptions) -> Option<Self> {
        let server = Server::start().await;
        let server = met("logs on NATS", || server)?;
        Some(Self { server: Mutex::new(server), settings })
    }

    async fn node(&self, hub: HubBuilder, is_selective: bool) -> Hub {
        let log = NatsLog::builder()
            .max_events(self.settings.max_events as u64)
            .idempotency_window(self.settings.idempotency_window)
            .selective(is_selective)
            .connect(self.server.lock().await.url())
            .await;
        hub.build_on(log.expect("the server is there"))
    }

    async fn wipe(&self) {
        let mut server = self.server.lock().await;
        server.kill().await;
        server.wipe();
        server.restart().await;
    }
}

impl Engine for Selective {
    async fn begin(settings: EngineOptions) -> Option<Self> {
        Jetstream::begin(settings).await.map(Self)
    }

    async fn node(&self, hub: HubBuilder) -> Hub {
        self.0.node(hub, true).await
    }

    async fn wipe(&self) {
        self.0.wipe().await;
    }
}

impl Engine for Whole {
    async fn begin(settings: EngineOptions) -> Option<Self> {
        Jetstream::begin(settings).await.map(Self)
    }

    async fn node(&self, hub: HubBuilder) -> Hub {
        self.0.node(hub, false).await
    }

    async fn wipe(&self) {
        self.0.wipe().await;
    }
}

mod selective {
    use super::*;

    tidings_testkit::log_suite!(Selective, durable, shared);
}

mod whole {
    use super::*;

    tidings_testkit::log_suite!(Whole, durable, shared);
}
