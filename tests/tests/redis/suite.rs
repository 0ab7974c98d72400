//! What every log must do, on one key and on several.

use tidings::{Hub, HubBuilder};
use tidings_redis::RedisLog;
use tidings_testkit::log::{Engine, Settings};
use tidings_testkit::log_suite;
use tidings_tests::redis::Server;
use tidings_tests::requirements::met;

/// A server for each test, with the log on so many keys.
struct Redis<const KEYS: usize> {
    server: Server,
    settings: Settings,
}

impl<const KEYS: usize> Engine for Redis<KEYS> {
    async fn begin(settings: Settings) -> Option<Self> {
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

/// Without those promises that need the order of calls for topics that are on different keys.
mod three_keys {
    use super::*;

    log_suite! { @tests Redis<3>;
        delivery {
            an_event_is_acknowledged_with_its_id_and_seen_once
            ids_rise_over_all_topics
            a_thousand_publishers_at_once_lose_nothing
            all_clients_see_the_same_order
            events_of_every_kind_survive
            a_closed_hub_ends_its_streams_behind_what_was_published
        }
        resume {
            a_position_of_the_future_is_a_reset
            an_id_of_another_history_is_a_reset
            a_client_whose_next_event_is_gone_is_reset
        }
        idempotence {
            a_retried_publication_is_not_doubled
            a_publication_that_is_retried_at_once_is_not_doubled
            a_key_holds_for_the_whole_hub
        }
        behind_memory {
            events_of_every_kind_are_read_back_as_they_were
            large_events_are_read_back_page_by_page
            a_client_of_a_quiet_topic_is_not_reset
            a_client_that_reads_slowly_is_caught_up_from_the_log
        }
        restart {
            ids_go_on_after_a_restart
            a_publication_that_is_retried_after_a_restart_is_not_doubled
            a_key_can_be_used_again_behind_its_window
            a_log_that_was_wiped_resets_its_clients
        }
        nodes {
            a_client_that_comes_to_a_node_that_is_behind_is_resumed
            a_publication_that_is_retried_on_another_node_is_not_doubled
            a_node_that_ends_takes_nothing_with_it
        }
    }
}
