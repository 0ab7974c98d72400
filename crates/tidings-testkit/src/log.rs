//! The suite that every log of a hub must pass: a log on disk, on a broker, or in memory.
//!
//! The suite sees hubs, not the log. A log's tests say how to begin a log and how to build a hub on it, and get a
//! test for each promise:
//!
//! ```
//! use tidings::{Hub, HubBuilder};
//! use tidings_testkit::log::{Engine, EngineOptions};
//!
//! struct MyEngine;
//!
//! impl Engine for MyEngine {
//!     async fn begin(options: EngineOptions) -> Option<Self> {
//!         // An empty log that only this test uses.
//! #       let _ = options;
//!         Some(MyEngine)
//!     }
//!
//!     async fn node(&self, hub: HubBuilder) -> Hub {
//!         // `hub.build_on(…)`
//! #       hub.build()
//!     }
//! }
//!
//! tidings_testkit::log_suite!(MyEngine);
//! # fn main() {}
//! ```
//!
//! `log_suite!(MyEngine, durable)` adds what holds where a log outlives its hubs and keeps more than they do.
//! `log_suite!(MyEngine, durable, shared)` also adds what holds where several hubs use it at the same time.
//!
//! Each module is a part of the contract. Each function in it is a promise, and its name says which. Random
//! decisions come from seeds, which failures name.

mod client;
mod engine;
mod publisher;

#[allow(missing_docs, reason = "each name states its promise")]
pub mod delivery;
#[allow(missing_docs, reason = "each name states its promise")]
pub mod filters;
#[allow(missing_docs, reason = "each name states its promise")]
pub mod finish;
#[allow(missing_docs, reason = "each name states its promise")]
pub mod history;
#[allow(missing_docs, reason = "each name states its promise")]
pub mod idempotence;
#[allow(missing_docs, reason = "each name states its promise")]
pub mod nodes;
#[allow(missing_docs, reason = "each name states its promise")]
pub mod patterns;
#[allow(missing_docs, reason = "each name states its promise")]
pub mod presence;
#[allow(missing_docs, reason = "each name states its promise")]
pub mod read_back;
#[allow(missing_docs, reason = "each name states its promise")]
pub mod restart;
#[allow(missing_docs, reason = "each name states its promise")]
pub mod resume;
#[allow(missing_docs, reason = "each name states its promise")]
pub mod topic_changes;
#[allow(missing_docs, reason = "each name states its promise")]
pub mod values;

pub use client::Client;
pub use engine::{Engine, EngineOptions, Memory};
pub use publisher::{publish, publish_all};

/// Makes a test of each promise in the suite, for an [`Engine`].
#[macro_export]
macro_rules! log_suite {
    ($engine:ty) => {
        $crate::suite_tests! { log for $engine;
            delivery {
                an_event_is_acknowledged_with_its_id_and_seen_once
                ids_rise_over_all_topics
                events_are_in_the_order_of_the_calls
                a_thousand_concurrent_publishers_lose_nothing
                all_clients_see_the_same_order
                events_of_every_kind_survive
                invalid_publications_are_refused_before_the_log
                a_closed_hub_ends_its_streams_after_the_last_event
            }
            resume {
                a_client_resumes_after_every_event
                random_cuts_lose_and_double_nothing
                a_position_of_the_future_is_a_reset
                an_id_of_another_history_is_a_reset
                a_fresh_client_learns_whether_history_is_missing
                a_client_whose_next_event_is_gone_is_reset
            }
            history {
                a_history_is_as_long_as_it_is_asked_for
                a_client_goes_on_from_the_position_of_its_hub
                a_history_and_its_stream_have_every_event_once
            }
            patterns {
                an_event_comes_once_however_many_patterns_match_it
                new_topics_are_delivered_to_their_pattern_subscribers
                a_fresh_pattern_subscriber_gets_what_its_topics_retain
                a_pattern_subscriber_whose_next_event_is_gone_is_reset
                a_pattern_subscriber_misses_what_a_vanished_topic_had
                a_pattern_subscriber_that_reads_slowly_gets_all_that_is_kept
                a_pattern_subscriber_that_leaves_takes_nothing_from_others
            }
            filters {
                a_filtered_client_is_sent_what_matches_and_no_more
                random_cuts_of_filtered_clients_lose_and_double_nothing
                a_filtered_history_is_what_matches
                an_ephemeral_event_comes_to_those_whom_it_matches
            }
            values {
                a_fresh_client_gets_the_newest_value_of_each_key
                a_client_resumes_to_the_newest_values_after_every_event
                a_filtered_client_gets_the_newest_values_that_match
                a_new_topic_of_a_filtered_stream_has_its_filter
            }
            presence {
                who_comes_and_goes_is_said_and_known
                a_client_that_comes_back_is_no_news
            }
            idempotence {
                a_retried_publication_is_not_doubled
                a_concurrently_retried_publication_is_not_doubled
                a_key_holds_for_the_whole_hub
            }
            topic_changes {
                a_new_topic_is_delivered_from_the_call_on
                a_stream_that_changes_its_topics_loses_and_doubles_nothing
                what_a_new_topic_retains_comes_if_it_is_asked_for
            }
            finish {
                a_stream_ends_after_the_last_events_of_all_its_topics
                a_client_that_comes_back_gets_the_rest_and_the_end_once
                a_fresh_client_gets_its_history_or_the_last_event_and_the_end
                nothing_follows_a_last_event
                a_publication_is_before_the_end_or_is_told_that_it_is_not
            }
        }
    };
    ($engine:ty, durable) => {
        $crate::log_suite!($engine);
        $crate::suite_tests! { log for $engine;
            read_back {
                a_client_resumes_from_before_the_memory_of_its_hub
                random_cuts_before_memory_lose_and_double_nothing
                events_of_every_kind_are_read_back_as_they_were
                large_events_are_read_back_page_by_page
                many_topics_of_a_pattern_are_read_back_page_by_page
                a_client_of_a_quiet_topic_is_not_reset
                a_client_that_reads_slowly_catches_up_from_the_log
                random_cuts_of_filtered_clients_before_memory_lose_and_double_nothing
                pages_without_a_match_are_passed_over
                what_a_hidden_event_supersedes_is_not_read_back
                the_end_is_read_back
                a_topic_is_as_new_when_its_last_event_is_gone
            }
            restart {
                a_client_resumes_after_a_restart_of_its_node
                ids_continue_after_a_restart
                many_restarts_lose_and_double_nothing
                attributes_survive_many_restarts
                a_publication_that_is_retried_after_a_restart_is_not_doubled
                a_key_can_be_used_again_after_its_window
                a_log_that_was_wiped_resets_its_clients
                values_from_before_the_memory_of_a_node_are_in_its_log
                the_end_is_known_after_a_restart
                those_who_do_not_come_back_after_a_restart_have_left
            }
        }
    };
    ($engine:ty, durable, shared) => {
        $crate::log_suite!($engine, durable);
        $crate::suite_tests! { log for $engine;
            nodes {
                all_nodes_show_one_order
                clients_move_between_nodes_and_lose_and_double_nothing
                filtered_clients_move_between_nodes_and_lose_and_double_nothing
                a_late_interest_in_a_pattern_misses_nothing
                a_client_that_is_ahead_of_its_node_is_resumed
                a_history_of_another_node_and_its_stream_have_every_event_once
                the_position_of_a_node_is_good_on_another
                a_publication_that_is_retried_on_another_node_is_not_doubled
                a_late_node_serves_what_was_published_before_it
                a_node_that_ends_takes_nothing_with_it
                a_node_that_ends_says_so
                values_are_the_same_on_all_nodes
                a_topic_that_is_added_from_another_node_is_delivered
                a_publication_on_another_node_is_before_the_end_or_is_told_that_it_is_not
                the_end_is_known_on_all_nodes
                a_node_that_does_not_know_the_end_appends_nothing
                a_topic_begins_anew_when_the_log_has_lost_its_last_event
                presence_is_the_same_on_all_nodes
                a_client_that_moves_between_nodes_is_never_absent
                a_node_that_ends_leaves_nobody_behind
            }
        }
    };
}

/// Runs a promise on a log with the default options; not where the engine is not installed.
pub async fn run<E: Engine, F: Future<Output = ()>>(promise: impl FnOnce(E) -> F) {
    if let Some(engine) = E::begin(EngineOptions::default()).await {
        promise(engine).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::log_suite!(Memory);

    #[test]
    fn the_macro_lists_every_promise() {
        crate::suite::assert_all_listed("log");
    }
}
