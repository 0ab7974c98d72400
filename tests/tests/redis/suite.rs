//! What every log must do, on one key and on several.

use tidings::{Hub, HubBuilder};
use tidings_redis::RedisLog;
use tidings_testkit::log::{Engine, EngineOptions};
use tidings_testkit::log_suite;
use tidings_tests::redis::Server;
use tidings_tests::requirements::met;

/// A server for each test, with the log on so many keys.
struct Redis<const KEYS: usize> {
    server: Server,
    settings: EngineOptions,
}

impl<const KEYS: usize> Engine for Redis<KEYS> {
    const IS_SPREAD: bool = KEYS > 1;

    async fn begin(settings: EngineOptions) -> Option<Self> {
        let server = Server::start().await;
        Some(Self { server: met("the log on Redis", || server)?, settings })
    }

    async fn node(&self, hub: HubBuilder) -> Hub {
        let log = RedisLog::builder(self.server.url())
            .keys(KEYS)
            .max_events(self.settings.max_events as u64)
            .idempotency_window(self.settings.idempotency_window);
        hub.build_on(log.connect().await.expect("the server is there"))
    }

    async fn wipe(&self) {
        self.server.cli(&["FLUSHALL"]).await;
    }
}

mod one_key {
    use super::*;

    log_suite!(Redis<1>, durable, shared);
}

mod three_keys {
    use super::*;

    log_suite!(Redis<3>, durable, shared);
}
