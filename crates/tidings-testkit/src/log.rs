//! The suite that every log of a hub must pass: what is on disk, on a broker, or in memory.
//!
//! It sees hubs, not the log behind them. A log's tests say how to begin one, and how to make a hub on
//! it, and get a test for each promise:
//!
//! ```
//! use tidings::{Hub, HubBuilder};
//! use tidings_testkit::log::{Engine, Settings};
//!
//! struct MyEngine;
//!
//! impl Engine for MyEngine {
//!     async fn begin(settings: Settings) -> Option<Self> {
//!         // A log of its own for each test, with nothing in it.
//! #       let _ = settings;
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
//! `log_suite!(MyEngine, durable)` adds what holds where a log outlives its hubs and keeps more than they do,
//! `log_suite!(MyEngine, durable, shared)` also what holds where several hubs are on it at a time.
//!
//! Each module is a part of the contract, each function in it a promise, in the words of its name. What
//! is drawn at random is drawn by seeds, which failures name.

mod client;
mod engine;
mod publisher;

#[allow(missing_docs, reason = "each name is a promise in full")]
pub mod behind_memory;
#[allow(missing_docs, reason = "each name is a promise in full")]
pub mod delivery;
#[allow(missing_docs, reason = "each name is a promise in full")]
pub mod families;
#[allow(missing_docs, reason = "each name is a promise in full")]
pub mod idempotence;
#[allow(missing_docs, reason = "each name is a promise in full")]
pub mod nodes;
#[allow(missing_docs, reason = "each name is a promise in full")]
pub mod restart;
#[allow(missing_docs, reason = "each name is a promise in full")]
pub mod resume;

pub use client::Client;
pub use engine::{Engine, Memory, Settings};
pub use publisher::{entry, publish, publish_all};

/// Makes a test of each promise in the suite, for an [`Engine`].
#[macro_export]
macro_rules! log_suite {
    ($engine:ty) => {
        $crate::log_suite! { @tests $engine;
            delivery {
                an_event_is_acknowledged_with_its_id_and_seen_once
                ids_rise_over_all_topics
                events_are_in_the_order_of_the_calls
                a_thousand_publishers_at_once_lose_nothing
                all_clients_see_the_same_order
                events_of_every_kind_survive
                what_is_no_event_is_refused_before_the_log
                a_closed_hub_ends_its_streams_behind_what_was_published
            }
            resume {
                a_client_resumes_behind_every_event
                random_cuts_lose_and_double_nothing
                a_position_of_the_future_is_a_reset
                an_id_of_another_history_is_a_reset
                a_client_whose_next_event_is_gone_is_reset
            }
            families {
                an_event_comes_once_however_many_families_it_belongs_to
                topics_that_come_into_being_are_heard_of
                a_client_of_families_resumes_behind_every_event
                random_cuts_of_families_lose_and_double_nothing
                a_fresh_client_of_a_family_gets_what_its_topics_retain
                a_client_of_a_family_whose_next_event_is_gone_is_reset
                what_a_vanished_topic_had_is_missed_by_its_family
                a_client_of_a_family_that_reads_slowly_gets_all_that_is_kept
                who_leaves_a_family_takes_nothing_from_others
            }
            idempotence {
                a_retried_publication_is_not_doubled
                a_publication_that_is_retried_at_once_is_not_doubled
                a_key_holds_for_the_whole_hub
            }
        }
    };
    ($engine:ty, durable) => {
        $crate::log_suite!($engine);
        $crate::log_suite! { @tests $engine;
            behind_memory {
                a_client_resumes_from_behind_the_memory_of_its_hub
                a_client_of_a_family_resumes_from_behind_the_memory_of_its_hub
                random_cuts_behind_memory_lose_and_double_nothing
                random_cuts_of_families_behind_memory_lose_and_double_nothing
                events_of_every_kind_are_read_back_as_they_were
                large_events_are_read_back_page_by_page
                many_topics_of_a_family_are_read_back_page_by_page
                a_client_of_a_quiet_topic_is_not_reset
                a_client_that_reads_slowly_is_caught_up_from_the_log
            }
            restart {
                a_client_resumes_after_a_restart_of_its_node
                ids_go_on_after_a_restart
                many_restarts_lose_and_double_nothing
                many_restarts_lose_and_double_nothing_of_families
                a_publication_that_is_retried_after_a_restart_is_not_doubled
                a_key_can_be_used_again_behind_its_window
                a_log_that_was_wiped_resets_its_clients
            }
        }
    };
    ($engine:ty, durable, shared) => {
        $crate::log_suite!($engine, durable);
        $crate::log_suite! { @tests $engine;
            nodes {
                all_nodes_show_one_order
                clients_hop_between_nodes_and_lose_and_double_nothing
                clients_of_families_hop_between_nodes_and_lose_and_double_nothing
                a_family_that_is_wanted_late_misses_nothing
                a_client_that_comes_to_a_node_that_is_behind_is_resumed
                a_publication_that_is_retried_on_another_node_is_not_doubled
                a_node_that_comes_late_serves_what_was_before_it
                a_node_that_ends_takes_nothing_with_it
            }
        }
    };
    (@tests $engine:ty; $($module:ident { $($promise:ident)+ })+) => {
        $(mod $module {
            use super::*;

            $(
                #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    $crate::log::$module::$promise::<$engine>().await;
                }
            )+
        })+
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::log_suite!(Memory);

    #[test]
    fn the_macro_lists_every_promise() {
        let (macro_rules, _) = include_str!("log.rs").split_once("(@tests").unwrap();
        let listed: Vec<_> = macro_rules.split_whitespace().collect();
        let modules = [
            include_str!("log/behind_memory.rs"),
            include_str!("log/delivery.rs"),
            include_str!("log/families.rs"),
            include_str!("log/idempotence.rs"),
            include_str!("log/nodes.rs"),
            include_str!("log/restart.rs"),
            include_str!("log/resume.rs"),
        ];
        for line in modules.into_iter().flat_map(str::lines) {
            if let Some(function) = line.strip_prefix("pub async fn ") {
                let (promise, _) = function.split_once('<').unwrap();
                assert!(listed.contains(&promise), "{promise} is not run");
            }
        }
    }
}
