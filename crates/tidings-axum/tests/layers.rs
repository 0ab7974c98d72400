//! Streams with common layers, and in routers of every shape, on axum's own server.

use std::time::Duration;

use axum::Router;
use axum::extract::{Request as AxumRequest, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use axum::routing::get;
use futures_util::{StreamExt, stream};
use tidings_axum::tidings::{Event, Hub, STATUS_EVENT, error::EventError};
use tidings_axum::{Sse, SseRequest};
use tidings_testkit::adapter::Server;
use tidings_testkit::limit::eventually;
use tidings_testkit::wire::{Ending, Request, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

/// Short enough for several of them in a test.
const HEARTBEAT: Duration = Duration::from_millis(50);

async fn events(State(hub): State<Hub>, request: SseRequest) -> Sse {
    request.subscribe(&hub, "a").heartbeat(HEARTBEAT).retry(None).into()
}

async fn panics_in_the_handler() -> Sse {
    panic!("on purpose, in a handler")
}

async fn panics_in_the_stream() -> Sse {
    let one = stream::iter([Ok::<_, EventError>(Event::new("one"))]);
    Sse::new(one.chain(stream::once(async {
        tokio::task::yield_now().await;
        panic!("on purpose, in a stream")
    })))
}

fn routes(hub: &Hub) -> Router {
    Router::new()
        .route("/events", get(events))
        .route("/text", get("text ".repeat(1_000)))
        .route("/panics/handler", get(panics_in_the_handler))
        .route("/panics/stream", get(panics_in_the_stream))
        .with_state(hub.clone())
}

fn serve(router: Router) -> Server {
    Server::start(async |listener, shutdown| {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        axum::serve(listener, router).with_graceful_shutdown(shutdown).await
    })
}

/// A browser's request.
fn browser(target: &str) -> Request {
    Request::get(target)
        .header("accept", "text/event-stream")
        .header("accept-encoding", "gzip, deflate, br, zstd")
        .header("cache-control", "no-cache")
        .header("origin", "https://example.org")
}

/// Opens a stream, and asserts that events arrive unchanged, one by one.
async fn flows(server: &Server, hub: &Hub, target: &str) -> Response {
    let mut stream = Response::to(server.addr(), browser(target)).await;
    assert_eq!(stream.status(), 200);
    assert_eq!(stream.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(stream.header("x-accel-buffering"), Some("no"));
    assert_eq!(stream.header("content-encoding"), None);
    assert_eq!(stream.header("content-length"), None);
    assert_eq!(stream.next_message().await.event(), STATUS_EVENT);
    for n in 0..10 {
        let data = n.to_string();
        hub.publish("a", Event::new(&*data)).await.expect("it is published");
        assert_eq!(stream.next_message().await.data(), data);
    }
    stream
}

#[tokio::test]
async fn compression_compresses_other_responses_but_not_streams() {
    let hub = Hub::new();
    let server = serve(routes(&hub).layer(CompressionLayer::new()));
    flows(&server, &hub, "/events").await;
    let text = Response::to(server.addr(), browser("/text")).await;
    assert_eq!(text.header("content-encoding"), Some("gzip"), "the layer compresses");
}

#[tokio::test]
async fn a_limit_on_the_time_to_the_response_does_not_end_streams() {
    let hub = Hub::new();
    let limit = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, HEARTBEAT * 2);
    let server = serve(routes(&hub).layer(limit));
    let mut stream = flows(&server, &hub, "/events").await;
    let length = stream.body().len();
    // Six heartbeats take three times as long as the limit.
    stream.read_until("six heartbeats", |stream| stream.body().len() >= length + 6 * 3).await;
    hub.publish("a", Event::new("still here")).await.expect("it is published");
    assert_eq!(stream.next_message().await.data(), "still here");
}

#[tokio::test]
async fn tracing_changes_nothing() {
    let hub = Hub::new();
    let server = serve(routes(&hub).layer(TraceLayer::new_for_http()));
    let mut stream = flows(&server, &hub, "/events").await;
    hub.close();
    assert_eq!(stream.read_to_end().await, Ending::Whole);
}

#[tokio::test]
async fn pages_of_other_origins_can_be_allowed() {
    let hub = Hub::new();
    let server = serve(routes(&hub).layer(CorsLayer::very_permissive()));
    let stream = flows(&server, &hub, "/events").await;
    assert_eq!(stream.header("access-control-allow-origin"), Some("https://example.org"));
    assert_eq!(stream.header("access-control-allow-credentials"), Some("true"));
    // EventSource needs no preflight, but clients that set headers do.
    let preflight = Request::new("OPTIONS", "/events")
        .header("origin", "https://example.org")
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "authorization, last-event-id");
    let response = Response::to(server.addr(), preflight).await;
    assert_eq!(response.status(), 200);
    let allowed = response.header("access-control-allow-headers");
    assert_eq!(allowed, Some("authorization, last-event-id"));
}

#[tokio::test]
async fn a_layer_may_set_headers() {
    let hub = Hub::new();
    let name = HeaderName::from_static("x-served-by");
    let router = routes(&hub)
        .layer(SetResponseHeaderLayer::overriding(
            CACHE_CONTROL,
            HeaderValue::from_static("no-store, no-transform"),
        ))
        .layer(SetResponseHeaderLayer::appending(name, HeaderValue::from_static("one")));
    let server = serve(router);
    let stream = flows(&server, &hub, "/events").await;
    assert_eq!(stream.header("cache-control"), Some("no-store, no-transform"));
    assert_eq!(stream.header("x-served-by"), Some("one"));
}

#[tokio::test]
async fn a_panic_is_500_in_a_handler_and_a_cut_in_a_stream() {
    let hub = Hub::new();
    let server = serve(routes(&hub).layer(CatchPanicLayer::new()));
    let response = Response::to(server.addr(), browser("/panics/handler")).await;
    assert_eq!(response.status(), 500);
    let mut response = Response::to(server.addr(), browser("/panics/stream")).await;
    assert_eq!(response.status(), 200);
    assert_ne!(response.read_to_end().await, Ending::Whole);
    assert_eq!(response.text(), "data: one\n\n");
    flows(&server, &hub, "/events").await;
}

#[tokio::test]
async fn a_layer_that_drops_the_response_leaves_no_client() {
    async fn refuse(request: AxumRequest, next: Next) -> impl IntoResponse {
        drop(next.run(request).await);
        StatusCode::SERVICE_UNAVAILABLE
    }

    let hub = Hub::new();
    let server = serve(routes(&hub).layer(from_fn(refuse)));
    for _ in 0..10 {
        assert_eq!(Response::to(server.addr(), browser("/events")).await.status(), 503);
    }
    assert_eq!(hub.clients().count(), 0);
}

#[tokio::test]
async fn all_layers_together_pass_streams() {
    let hub = Hub::new();
    let router = routes(&hub)
        .layer(CatchPanicLayer::new())
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, HEARTBEAT * 2))
        .layer(CompressionLayer::new())
        .layer(CorsLayer::very_permissive())
        .layer(TraceLayer::new_for_http());
    let server = serve(router);
    let mut stream = flows(&server, &hub, "/events").await;
    stream.read_until("heartbeats", |stream| stream.text().matches(":\n\n").count() >= 6).await;
    stream.reset();
    eventually("no client is left", || hub.clients().count() == 0).await;
}

#[tokio::test]
async fn routers_of_every_shape_serve_streams() {
    let hub = Hub::new();
    let router = Router::new()
        .nest("/api", Router::new().nest("/v1", routes(&hub)))
        .nest_service("/service", routes(&hub))
        .merge(Router::new().route("/merged", get(events)).with_state(hub.clone()))
        .fallback_service(Router::new().route("/fallback", get(events)).with_state(hub.clone()));
    let server = serve(router);
    for target in ["/api/v1/events", "/service/events", "/merged", "/fallback"] {
        let stream = flows(&server, &hub, target).await;
        // The adapter finds the query in every router.
        let target = format!("{target}?lastEventId={}", stream.last_event_id());
        stream.reset();
        hub.publish("a", Event::new("missed")).await.expect("it is published");
        let mut stream = Response::to(server.addr(), browser(&target)).await;
        assert!(stream.next_message().await.data().contains("resumed"), "{target}");
        assert_eq!(stream.next_message().await.data(), "missed");
    }
}
