//! The suite of `serve`, which every adapter has: what its server does besides sending streams.
//!
//! An adapter's tests say how an [`App`] is served, and get a test for each promise: see
//! [`serving_suite!`](crate::serving_suite).

mod site;

#[allow(missing_docs, reason = "each name states its promise")]
pub mod bodies;
#[allow(missing_docs, reason = "each name states its promise")]
pub mod ends;
#[allow(missing_docs, reason = "each name states its promise")]
pub mod limits;
#[cfg(unix)]
#[allow(missing_docs, reason = "each name states its promise")]
pub mod signals;
#[allow(missing_docs, reason = "each name states its promise")]
pub mod stall;
#[allow(missing_docs, reason = "each name states its promise")]
pub mod tls;

use std::io;
use std::net::{SocketAddr, TcpListener};

use crate::adapter::App;

pub use crate::adapter::run;

/// An adapter's `serve`.
pub trait Serving: 'static {
    /// The server that it sets up.
    type Server: tidings_net::Server<Addr = SocketAddr>;

    /// Serves an application with the default settings.
    ///
    /// [`App::answer`] answers GET requests to every path; a POST request is answered with its own body. The listener
    /// does not block.
    ///
    /// # Errors
    ///
    /// When the framework does not take the listener.
    fn serve(app: App, listener: TcpListener) -> io::Result<tidings_net::Serve<Self::Server>>;
}

/// Makes a test of each promise of `serve`, for a [`Serving`]. The package needs its feature `tls`.
#[macro_export]
macro_rules! serving_suite {
    ($serving:ty) => {
        $crate::suite_tests! { serving for $serving;
            bodies {
                an_answer_reaches_a_client_that_still_sends_its_body
                a_shutdown_does_not_cut_off_a_client_that_still_sends_its_body
                the_rest_of_a_body_is_not_taken_for_a_head
                what_follows_a_body_that_is_not_read_has_a_time_limit
                a_body_that_is_not_read_keeps_no_window_from_other_streams
            }
            ends {
                a_response_may_take_longer_than_a_connection_may_be_idle
                a_shutdown_ends_the_streams_of_all_hubs
                a_shutdown_drains_the_hubs_and_answers_meanwhile
                streams_end_by_reset_where_the_application_wants_it
                a_server_says_where_it_listens
            }
            limits {
                #[cfg(target_os = "linux")]
                an_address_has_a_limit_of_its_own
                requests_count_for_the_client_that_a_proxy_names
                #[cfg(target_os = "linux")]
                a_proxy_names_the_client_and_nobody_else_does
                #[cfg(target_os = "linux")]
                a_proxy_of_the_proxy_protocol_begins_with_its_client
                a_head_that_is_too_large_is_refused
                a_head_of_http_2_that_is_too_large_is_refused
            }
            signals {
                #[cfg(unix)]
                this_is_the_server_of_the_other_tests
                #[cfg(unix)]
                a_signal_completes_the_request_in_flight_and_ends_streams_and_process
                #[cfg(unix)]
                a_second_signal_ends_the_process_at_once
                #[cfg(unix)]
                a_signal_ends_the_process_at_once_when_the_application_has_begun_the_shutdown
                #[cfg(unix)]
                a_signal_has_its_default_action_under_a_shutdown_of_the_application
                #[cfg(unix)]
                disabled_signals_have_their_default_action
            }
            stall {
                a_stream_without_a_window_is_reset_and_no_other
                a_stream_that_waits_for_the_window_of_the_connection_is_reset
                a_response_whose_end_waits_for_a_window_is_reset
            }
            tls {
                the_client_chooses_the_protocol
                events_arrive_over_http_1_1_and_http_2
                new_certificates_are_for_new_connections
                a_handshake_that_does_not_end_is_let_go
                #[cfg(target_os = "linux")]
                a_connection_that_sends_nothing_costs_no_more_than_2_kib
            }
        }
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_macro_lists_every_promise() {
        crate::suite::assert_all_listed("serving");
    }
}
