//! What every log must do.

use tidings::{Hub, HubBuilder};
use tidings_redis::RedisLog;
use tidings_testkit::log::{Engine, EngineOptions};
use tidings_testkit::redis::Server;
use tidings_testkit::requirements::met;

/// A server for each test.
struct Redis {
    server: Server,
    options: EngineOptions,
}

impl Engine for Redis {
    async fn begin(options: EngineOptions) -> Option<Self> {
        let server = Server::start().await;
        Some(Self { server: met("the log on Redis", || server)?, options })
    }

    async fn node(&self, hub: HubBuilder) -> Hub {
        let log = RedisLog::builder(self.server.url())
            .max_events(self.options.max_events as u64)
            .idempotency_window(self.options.idempotency_window);
        hub.build_on(log.connect().await.expect("the server is running"))
    }

    async fn wipe(&self) {
        self.server.cli(&["FLUSHALL"]).await;
    }
}

tidings_testkit::log_suite!(Redis, durable, shared);
