//! The clean end of streams under servers that are not Tidings' own. Each is a process: this test binary again.

#![cfg(unix)]

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::ExitStatusExt;
use std::sync::LazyLock;
use std::time::Duration;

use actix_web::HttpServer;
use actix_web::web::{self, Data};
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use axum_server::tls_rustls::RustlsConfig;
use rustix::process::Signal;
use tidings::{Hub, STATUS_EVENT};
use tidings_testkit::adapter::Server;
use tidings_testkit::process::Process;
use tidings_testkit::tls::Certificate;
use tidings_testkit::wire::{Connection, Ending, Request};
use warp::Filter;

/// Which server a process of this binary is.
const SERVER: &str = "TIDINGS_TEST_OTHER_SERVER";

/// Where it has its certificate from.
const CERTIFICATE: &str = "TIDINGS_TEST_CERTIFICATE";

/// A hub whose streams no shutdown ends: they keep a server from its end.
static ENDLESS: LazyLock<Hub> = LazyLock::new(Hub::new);

#[tokio::test]
async fn this_is_the_server_of_the_other_tests() {
    let Ok(name) = std::env::var(SERVER) else { return };
    let server = Server::start(async move |listener, _| {
        let hub = Hub::new();
        match &*name {
            "axum" => axum(listener, hub).await,
            "axum-server" => axum_server(listener, hub).await,
            "warp" => warp(listener, hub).await,
            _ => actix_web(listener, hub).await,
        }
    });
    println!("http://{}/", server.addr());
    server.ended().await;
    std::process::exit(0);
}

fn router(hub: &Hub) -> Router {
    use tidings_axum::{Sse, SseRequest};

    async fn events(State(hub): State<Hub>, request: SseRequest) -> Sse {
        request.subscribe(&hub, "a").into()
    }

    Router::new()
        .route("/events", get(events))
        .with_state(hub.clone())
        .route("/endless", get(events))
        .with_state(ENDLESS.clone())
}

async fn axum(listener: TcpListener, hub: Hub) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let app = router(&hub).into_make_service_with_connect_info::<SocketAddr>();
    let stop = tidings_axum::shutdown_signal(&hub);
    axum::serve(listener, app).with_graceful_shutdown(stop).await
}

async fn axum_server(listener: TcpListener, hub: Hub) -> io::Result<()> {
    let pem = std::env::var(CERTIFICATE).expect("a certificate");
    let (certificate, key) = pem.split_once("|").expect("with its key");
    let tls = RustlsConfig::from_pem(certificate.into(), key.into()).await?;
    let handle = axum_server::Handle::new();
    let (server, stop) = (handle.clone(), tidings_axum::shutdown_signal(&hub));
    tokio::spawn(async move {
        stop.await;
        server.graceful_shutdown(Some(Duration::from_secs(10)));
    });
    axum_server::from_tcp_rustls(listener, tls)?
        .handle(handle)
        .serve(router(&hub).into_make_service_with_connect_info::<SocketAddr>())
        .await
}

async fn warp(listener: TcpListener, hub: Hub) -> io::Result<()> {
    use tidings_warp::{Sse, SseRequest};

    let listener = tokio::net::TcpListener::from_std(listener)?;
    let served = hub.clone();
    let events =
        warp::path!(String).and(tidings_warp::request()).map(move |path, request: SseRequest| {
            let hub = if path == "endless" { &*ENDLESS } else { &served };
            Sse::from(request.subscribe(hub, "a"))
        });
    let stop = tidings_warp::shutdown_signal(&hub);
    warp::serve(events).incoming(listener).graceful(stop).run().await;
    Ok(())
}

async fn actix_web(listener: TcpListener, hub: Hub) -> io::Result<()> {
    use tidings_actix_web::{Sse, SseRequest};

    async fn events(hub: Data<Hub>, request: SseRequest) -> Sse {
        request.subscribe(&hub, "a").into()
    }

    async fn endless(request: SseRequest) -> Sse {
        request.subscribe(&ENDLESS, "a").into()
    }

    let stop = tidings_actix_web::shutdown_signal(&hub);
    let data = Data::new(hub);
    HttpServer::new(move || {
        actix_web::App::new()
            .app_data(data.clone())
            .route("/events", web::get().to(events))
            .route("/endless", web::get().to(endless))
    })
    .workers(2)
    .h1_allow_half_closed(false)
    .shutdown_signal(stop)
    .shutdown_timeout(10)
    .listen(listener)?
    .run()
    .await
}

/// Runs a server, and ends it with an open stream: by one signal in an orderly way, and by another signal at once.
async fn ends_cleanly(name: &str) {
    let certificate = Certificate::new();
    let pem = certificate.pem().join("|");
    let environment = [(SERVER, name), (CERTIFICATE, &*pem)];
    let filter = "this_is_the_server_of_the_other_tests";
    for second in [None, Some(Signal::INT)] {
        let mut server = Process::of_this_test_binary(filter, &environment).await;
        let addr = server.addr();
        let follow = async |target| {
            let connection = match name {
                "axum-server" => Connection::open_tls(addr, certificate.client(&[])).await,
                _ => Connection::open(addr).await,
            };
            let mut stream = connection.send(&Request::get(target)).await;
            assert_eq!(stream.next_message().await.event(), STATUS_EVENT);
            stream
        };
        let endless = follow("/endless").await;
        let mut stream = follow("/events").await;
        server.signal(Signal::TERM);
        assert_eq!(stream.read_to_end().await, Ending::Whole);
        stream.close().await;
        if let Some(second) = second {
            server.signal(second);
            assert_eq!(server.ended().await.signal(), Some(second.as_raw()), "{name}");
        } else {
            endless.reset();
            assert!(server.ended().await.success(), "{name}");
        }
    }
}

#[tokio::test]
async fn axum_ends_streams_and_process_at_a_signal() {
    ends_cleanly("axum").await;
}

#[tokio::test]
async fn axum_server_ends_streams_and_process_at_a_signal() {
    ends_cleanly("axum-server").await;
}

#[tokio::test]
async fn warp_ends_streams_and_process_at_a_signal() {
    ends_cleanly("warp").await;
}

#[tokio::test]
async fn actix_web_ends_streams_and_process_at_a_signal() {
    ends_cleanly("actix-web").await;
}
