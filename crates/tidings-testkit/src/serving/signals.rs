//! What a server does at SIGTERM and SIGINT. It is a process of its own: this test binary again.

use std::os::unix::process::ExitStatusExt;

use rustix::process::Signal;
use tidings::Hub;
use tidings_net::Serve;
use tokio::signal::unix::{SignalKind, signal};

use super::Serving;
use super::site::follow;
use crate::adapter::{App, Server};
use crate::limit::within;
use crate::process::Process;
use crate::tls::Certificate;
use crate::wire::{Connection, Ending, Request, Response};

/// The environment variables that make a test a server.
const SERVING: &str = "TIDINGS_TEST_SERVING";
const SETTING: &str = "TIDINGS_TEST_SETTING";

/// What the application has set.
const NOTHING: &str = "nothing";
/// Its own signal for the shutdown, SIGUSR1.
const OWN_SHUTDOWN: &str = "own shutdown";
/// Its own handler of SIGTERM for the shutdown.
const OWN_SIGTERM: &str = "own SIGTERM";
const NO_SIGNALS: &str = "no signals";
const TLS: &str = "TLS";

pub async fn this_is_the_server_of_the_other_tests<A: Serving>() {
    if std::env::var(SERVING).is_ok_and(|name| name == std::any::type_name::<A>()) {
        let setting = std::env::var(SETTING).expect("a setting");
        let server = Server::start(async move |listener, _| {
            let serve = A::serve(App::new(Hub::new()), listener)?;
            match &*setting {
                OWN_SHUTDOWN => shut_down_at(serve, SignalKind::user_defined1())?.await,
                OWN_SIGTERM => shut_down_at(serve, SignalKind::terminate())?.await,
                NO_SIGNALS => serve.disable_signals().await,
                TLS => serve.tls(Certificate::new().server(&[])).await,
                _ => serve.await,
            }
        });
        println!("http://{}/", server.addr());
        server.ended().await;
        std::process::exit(0);
    }
}

/// Shuts down at a signal that the application handles.
fn shut_down_at<S: tidings_net::Server>(
    serve: Serve<S>,
    kind: SignalKind,
) -> std::io::Result<Serve<S>> {
    let mut own = signal(kind)?;
    Ok(serve.with_graceful_shutdown(async move {
        own.recv().await;
    }))
}

/// A server with TLS.
pub(super) async fn start_tls<A: Serving>() -> Process {
    start::<A>(TLS).await
}

async fn start<A: Serving>(setting: &str) -> Process {
    let name = "signals::this_is_the_server_of_the_other_tests";
    let process = [(SERVING, std::any::type_name::<A>()), (SETTING, setting)];
    Process::of_this_test_binary(name, &process).await
}

/// Begins a request, whose handler waits for ten bytes of body.
async fn begin_request(server: &Process) -> Connection {
    let request = Request::new("POST", "/echo").header("content-length", "10");
    let request = request.header("expect", "100-continue");
    let mut response = Connection::open(server.addr()).await.send(&request).await;
    assert_eq!(response.status(), 100);
    assert_eq!(response.read_to_end().await, Ending::Whole);
    response.into_connection()
}

/// Reads a stream to its end, which is the sign that a shutdown has begun.
async fn shutdown_begins(mut stream: Response) {
    assert_eq!(stream.read_to_end().await, Ending::Whole);
    stream.close().await;
}

pub async fn a_signal_completes_the_request_in_flight_and_ends_streams_and_process<A: Serving>() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = start::<A>(NOTHING).await;
        let mut connection = begin_request(&server).await;
        let stream = follow(server.addr(), "/events?topic=a").await;
        server.signal(signal);
        shutdown_begins(stream).await;
        connection.write(b"hello, you").await;
        let mut response = connection.response().await;
        assert_eq!(response.read_to_end().await, Ending::Whole);
        assert_eq!(response.text(), "hello, you");
        assert!(server.ended().await.success(), "after {signal:?}");
    }
}

pub async fn a_second_signal_ends_the_process_at_once<A: Serving>() {
    for [first, second] in [[Signal::TERM, Signal::TERM], [Signal::TERM, Signal::INT]] {
        let mut server = start::<A>(NOTHING).await;
        let in_flight = begin_request(&server).await;
        let stream = follow(server.addr(), "/events?topic=a").await;
        server.signal(first);
        shutdown_begins(stream).await;
        server.signal(second);
        assert_eq!(server.ended().await.signal(), Some(second.as_raw()));
        drop(in_flight);
    }
}

pub async fn a_signal_ends_the_process_at_once_when_the_application_has_begun_the_shutdown<
    A: Serving,
>() {
    let mut server = start::<A>(OWN_SIGTERM).await;
    let in_flight = begin_request(&server).await;
    let stream = follow(server.addr(), "/events?topic=a").await;
    server.signal(Signal::TERM);
    shutdown_begins(stream).await;
    server.signal(Signal::TERM);
    assert_eq!(server.ended().await.signal(), Some(Signal::TERM.as_raw()));
    drop(in_flight);
}

pub async fn a_signal_has_its_default_action_under_a_shutdown_of_the_application<A: Serving>() {
    has_default_action::<A>(OWN_SHUTDOWN).await;
}

pub async fn disabled_signals_have_their_default_action<A: Serving>() {
    has_default_action::<A>(NO_SIGNALS).await;
}

async fn has_default_action<A: Serving>(setting: &str) {
    let mut server = start::<A>(setting).await;
    let mut stream = follow(server.addr(), "/events?topic=a").await;
    server.signal(Signal::TERM);
    assert_ne!(within("the end of the stream", stream.read_to_end()).await, Ending::Whole);
    assert_eq!(server.ended().await.signal(), Some(Signal::TERM.as_raw()));
}
