//! The suite that every adapter must pass.
//!
//! An adapter's tests say how the framework serves an [`App`], and get a test for each promise:
//!
//! ```
//! use std::io;
//! use std::net::TcpListener;
//!
//! use tidings_testkit::adapter::{Adapter, App, Shutdown};
//! use tidings_testkit::tls::tokio_rustls::rustls::ServerConfig;
//!
//! struct MyFramework;
//!
//! impl Adapter for MyFramework {
//!     const TASKS_PER_STREAM: Option<usize> = Some(1);
//!
//!     async fn serve(app: App, listener: TcpListener, shutdown: Shutdown) -> io::Result<()> {
//!         // Respond to every GET and HEAD request with `app.answer(path, query, resume)`.
//! #       let _ = (app, listener);
//! #       Ok(shutdown.await)
//!     }
//!
//!     async fn serve_tls(app: App, listener: TcpListener, tls: ServerConfig) -> io::Result<()> {
//!         // The same, over TLS.
//! #       let _ = (app, listener, tls);
//! #       std::future::pending().await
//!     }
//! }
//!
//! tidings_testkit::adapter_suite!(MyFramework);
//! # fn main() {}
//! ```
//!
//! Each module is a part of the contract. Each function in it is a promise, and its name says which.

mod app;
mod server;
mod site;

pub mod errors;

#[allow(missing_docs, reason = "each name states its promise")]
pub mod delivery;
#[allow(missing_docs, reason = "each name states its promise")]
pub mod filters;
#[allow(missing_docs, reason = "each name states its promise")]
pub mod finish;
#[allow(missing_docs, reason = "each name states its promise")]
pub mod http2;
#[allow(missing_docs, reason = "each name states its promise")]
pub mod limits;
#[allow(missing_docs, reason = "each name states its promise")]
pub mod patterns;
#[allow(missing_docs, reason = "each name states its promise")]
pub mod pinned;
#[allow(missing_docs, reason = "each name states its promise")]
pub mod presence;
#[allow(missing_docs, reason = "each name states its promise")]
pub mod refusal;
#[allow(missing_docs, reason = "each name states its promise")]
pub mod registry;
#[allow(missing_docs, reason = "each name states its promise")]
pub mod response;
#[allow(missing_docs, reason = "each name states its promise")]
pub mod resume;
#[allow(missing_docs, reason = "each name states its promise")]
pub mod rights;
#[allow(missing_docs, reason = "each name states its promise")]
pub mod shutdown;
#[allow(missing_docs, reason = "each name states its promise")]
pub mod stall;
#[allow(missing_docs, reason = "each name states its promise")]
pub mod stream;
#[allow(missing_docs, reason = "each name states its promise")]
pub mod tls;

pub use app::{Answer, App, AppStream, Plain};
pub use server::{Adapter, Left, Server, Shutdown};

/// Makes a test of each promise in the suite, for an [`Adapter`].
#[macro_export]
macro_rules! adapter_suite {
    ($adapter:ty) => {
        $crate::suite_tests! { adapter for $adapter;
            response {
                the_response_is_200_with_exactly_the_headers_of_the_contract
                the_content_type_is_the_first_header_where_the_framework_keeps_their_order
                a_stream_without_a_hub_has_the_same_headers
                the_first_bytes_leave_at_once_when_there_is_no_event
                a_head_request_gets_the_headers_and_leaves_no_client
                a_conditional_or_range_request_gets_the_whole_stream
                an_http_1_0_client_gets_a_body_without_chunks
                a_response_without_content_has_neither_a_body_nor_its_length
            }
            delivery {
                events_arrive_one_by_one_as_they_are_published
                the_body_is_byte_for_byte_what_the_subscription_yields
                events_of_any_size_arrive_whole
                concurrent_publications_have_one_order_for_all
                an_idle_stream_sends_heartbeats
                a_heartbeat_may_be_an_event_which_does_not_change_where_a_client_resumes
                a_stream_without_a_hub_may_have_events_as_heartbeats
                a_bare_stream_has_nothing_but_events
                a_client_that_does_not_read_delays_nobody
                the_buffer_of_a_client_that_does_not_read_is_bounded
            }
            resume {
                a_client_resumes_by_the_header
                a_client_resumes_by_the_query
                the_header_takes_precedence_over_the_query
                a_cut_after_every_byte_loses_and_doubles_nothing
                a_client_that_was_away_too_long_is_reset_to_what_is_retained
                a_hostile_last_event_id_is_answered_in_the_stream
                a_client_that_cannot_be_told_of_a_gap_is_cut_before_it
            }
            patterns {
                a_cut_after_every_byte_loses_and_doubles_nothing
                many_pattern_subscribers_come_and_go_and_lose_nothing
                slow_pattern_subscribers_are_reset_and_quick_ones_are_not
            }
            filters {
                a_cut_after_every_byte_loses_and_doubles_nothing
                streams_of_different_roles_come_and_go_and_lose_nothing
                a_stream_from_which_all_is_hidden_sends_its_position
            }
            refusal {
                a_subscription_that_cannot_be_opened_is_400_with_a_sentence
                a_refusal_has_the_form_that_accept_prefers
                a_connection_serves_requests_after_a_refusal
                pipelined_requests_are_answered_in_order
            }
            finish {
                all_streams_of_a_finished_topic_end_and_do_not_come_back
                a_client_that_comes_back_gets_the_rest_and_then_204
                a_client_that_reads_slowly_gets_everything_up_to_the_end
                streams_of_http_2_end_and_do_not_come_back
            }
            registry {
                a_client_is_listed_with_its_address_and_topics
                a_client_that_closes_its_connection_is_gone
                a_client_that_resets_its_connection_is_gone
                a_client_that_leaves_before_the_response_is_gone
                a_response_that_is_never_sent_leaves_no_client
                a_client_that_is_closed_by_its_id_gets_a_whole_response
                all_streams_of_a_principal_can_be_closed
                clients_that_vanish_leave_no_task
            }
            presence {
                those_who_connect_are_present_until_they_leave
            }
            rights {
                a_stream_whose_right_expires_says_so_and_leaves_its_connection
                a_stream_whose_right_expires_says_so_over_http_2
                a_stream_whose_client_is_refused_later_ends
                an_open_stream_changes_its_topics_and_others_do_not
                many_streams_change_their_topics_under_constant_publishing
            }
            stream {
                a_stream_is_sent_to_its_end
                a_stream_goes_on_where_its_client_left_off
                events_of_a_stream_are_sent_one_by_one
                a_connection_serves_requests_after_a_stream
                an_error_cuts_the_response_after_the_last_whole_event
                a_panic_cuts_its_response_and_no_other
                a_stream_is_dropped_when_its_client_leaves
            }
            limits {
                one_stream_too_many_is_told_to_come_later
                one_stream_too_many_is_429_where_the_application_wants_that
                the_oldest_stream_of_a_principal_makes_room_where_the_application_wants_that
            }
            shutdown {
                a_shutdown_ends_all_streams_and_the_server
                a_hub_that_drains_turns_new_streams_away_and_ends_the_others
                a_shutdown_has_a_time_limit
                a_server_outlives_its_hub
                what_was_published_before_the_end_still_arrives
                a_client_that_comes_to_a_closed_hub_gets_what_it_missed
                streams_that_end_by_reset_are_cut_after_everything_that_was_published
            }
            http2 {
                the_response_has_exactly_the_headers_of_the_contract
                a_head_request_gets_the_same_headers_and_no_body
                a_response_without_content_has_neither_a_body_nor_its_length
                a_304_or_an_answer_to_head_keeps_the_length_that_the_application_says
                a_response_after_which_another_would_come_is_500
                a_target_that_is_not_escaped_is_answered
                the_body_is_the_same_as_over_http_1_1
                many_streams_share_a_connection
                a_stream_that_is_not_read_stalls_no_other
                a_stream_that_is_cancelled_leaves_the_registry
                a_connection_that_ends_ends_its_streams
                a_stalled_stream_that_is_cancelled_leaves_the_registry
                the_end_of_the_hub_ends_all_streams_and_not_the_connection
                an_error_resets_its_stream_after_the_last_whole_event
                a_shutdown_ends_all_streams_of_a_connection
                streams_that_end_by_reset_are_reset
            }
            pinned {
                clients_that_stall_on_different_events_hold_no_more_than_the_limit
                streams_of_http_2_that_stall_hold_no_more_than_the_limit
            }
            tls {
                the_client_chooses_the_protocol
                events_arrive_one_by_one_over_http_1_1_and_http_2
                a_client_resumes_over_both_with_the_same_body
            }
            stall {
                #[cfg(target_os = "linux")]
                a_stalled_client_is_evicted
                #[cfg(target_os = "linux")]
                a_client_that_has_vanished_is_ended_though_the_kernel_takes_all_events
                a_slow_client_stays
                a_slow_client_gets_the_last_value_of_each_key_and_few_before_it
            }
        }
    };
}

/// Runs a promise.
pub async fn run<F: Future<Output = ()>>(promise: impl FnOnce() -> F) {
    promise().await;
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_macro_lists_every_promise() {
        crate::suite::assert_all_listed("adapter");
    }
}
