//! Streams with common layers, and in routers of every shape, on axum's own server and on Tidings'.

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
use tower_http::compression::predicate::SizeAbove;
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

/// axum's own server and Tidings', each with a hub and its routes, of which `app` makes the application.
fn servers(app: impl Fn(Router, &Hub) -> Router) -> [Site; 2] {
    [false, true].map(|is_ours| {
        let hub = Hub::new();
        let (router, served) = (app(routes(&hub), &hub), hub.clone());
        let server = Server::start(async move |listener, shutdown| {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            match is_ours {
                true => {
                    let serve = tidings_axum::serve(listener, router, &served);
                    serve.with_graceful_shutdown(shutdown).await
                }
                false => axum::serve(listener, router).with_graceful_shutdown(shutdown).await,
            }
        });
        Site { hub, server, is_ours }
    })
}

/// An application that is served.
struct Site {
    hub: Hub,
    server: Server,
    is_ours: bool,
}

impl Site {
    async fn get(&self, target: &str) -> Response {
        Response::to(self.server.addr(), browser(target)).await
    }

    async fn publish(&self, data: &str) {
        self.hub.publish("a", Event::new(data)).await.expect("it is published");
    }

    /// Opens a stream, and asserts that events arrive unchanged, one by one; from Tidings' server by the direct transport,
    /// which has no task.
    async fn flows(&self, target: &str) -> Response {
        let mut stream = self.get(target).await;
        assert_eq!(stream.status(), 200);
        assert_eq!(stream.header("content-type"), Some("text/event-stream; charset=utf-8"));
        assert_eq!(stream.header("x-accel-buffering"), Some("no"));
        assert_eq!(stream.header("content-encoding"), None);
        assert_eq!(stream.header("content-length"), None);
        assert_eq!(stream.next_message().await.event(), STATUS_EVENT);
        if self.is_ours {
            eventually("the stream is direct", || self.server.tasks() == 0).await;
        }
        for n in 0..10 {
            let data = n.to_string();
            self.publish(&data).await;
            assert_eq!(stream.next_message().await.data(), data);
        }
        stream
    }
}

/// A browser's request.
fn browser(target: &str) -> Request {
    Request::get(target)
        .header("accept", "text/event-stream")
        .header("accept-encoding", "gzip, deflate, br, zstd")
        .header("cache-control", "no-cache")
        .header("origin", "https://example.org")
}

#[tokio::test]
async fn compression_compresses_other_responses_but_not_streams() {
    for site in servers(|router, _| router.layer(CompressionLayer::new())) {
        let stream = site.flows("/events").await;
        let text = site.get("/text").await;
        assert_eq!(text.header("content-encoding"), Some("gzip"), "the layer compresses");
        stream.reset();
    }
}

#[tokio::test]
async fn a_stream_that_is_compressed_all_the_same_is_compressed_by_every_server() {
    let all = CompressionLayer::new().compress_when(SizeAbove::new(0));
    for site in servers(|router, _| router.layer(all.clone())) {
        let mut stream = site.get("/events").await;
        assert_eq!(stream.header("content-encoding"), Some("gzip"));
        stream.read_until("its first bytes", |stream| stream.body().len() >= 2).await;
        // RFC 1952, section 2.3.1.
        assert_eq!(stream.body()[..2], [0x1f, 0x8b]);
    }
}

#[tokio::test]
async fn a_limit_on_the_time_to_the_response_does_not_end_streams() {
    let limit = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, HEARTBEAT * 2);
    for site in servers(|router, _| router.layer(limit)) {
        let mut stream = site.flows("/events").await;
        let length = stream.body().len();
        // Six heartbeats take three times as long as the limit.
        stream.read_until("six heartbeats", |stream| stream.body().len() >= length + 6 * 3).await;
        site.publish("still here").await;
        assert_eq!(stream.next_message().await.data(), "still here");
    }
}

#[tokio::test]
async fn tracing_changes_nothing() {
    for site in servers(|router, _| router.layer(TraceLayer::new_for_http())) {
        let mut stream = site.flows("/events").await;
        site.hub.close();
        assert_eq!(stream.read_to_end().await, Ending::Whole);
    }
}

#[tokio::test]
async fn pages_of_other_origins_can_be_allowed() {
    for site in servers(|router, _| router.layer(CorsLayer::very_permissive())) {
        let stream = site.flows("/events").await;
        let origin = stream.header("access-control-allow-origin");
        assert_eq!(origin, Some("https://example.org"));
        assert_eq!(stream.header("access-control-allow-credentials"), Some("true"));
        // EventSource needs no preflight, but clients that set headers do.
        let preflight = Request::new("OPTIONS", "/events")
            .header("origin", "https://example.org")
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "authorization, last-event-id");
        let response = Response::to(site.server.addr(), preflight).await;
        assert_eq!(response.status(), 200);
        let allowed = response.header("access-control-allow-headers");
        assert_eq!(allowed, Some("authorization, last-event-id"));
    }
}

#[tokio::test]
async fn a_layer_may_set_headers() {
    let no_store = HeaderValue::from_static("no-store, no-transform");
    let name = HeaderName::from_static("x-served-by");
    for site in servers(|router, _| {
        router
            .layer(SetResponseHeaderLayer::overriding(CACHE_CONTROL, no_store.clone()))
            .layer(SetResponseHeaderLayer::appending(name.clone(), HeaderValue::from_static("one")))
    }) {
        let stream = site.flows("/events").await;
        assert_eq!(stream.header("cache-control"), Some("no-store, no-transform"));
        assert_eq!(stream.header("x-served-by"), Some("one"));
    }
}

#[tokio::test]
async fn a_panic_is_500_in_a_handler_and_a_cut_in_a_stream() {
    for site in servers(|router, _| router.layer(CatchPanicLayer::new())) {
        let response = site.get("/panics/handler").await;
        assert_eq!(response.status(), 500);
        response.reset();
        let mut response = site.get("/panics/stream").await;
        assert_eq!(response.status(), 200);
        assert_ne!(response.read_to_end().await, Ending::Whole);
        assert_eq!(response.text(), "data: one\n\n");
        site.flows("/events").await;
    }
}

#[tokio::test]
async fn a_layer_that_drops_the_response_leaves_no_client() {
    async fn refuse(request: AxumRequest, next: Next) -> impl IntoResponse {
        drop(next.run(request).await);
        StatusCode::SERVICE_UNAVAILABLE
    }

    for site in servers(|router, _| router.layer(from_fn(refuse))) {
        for _ in 0..10 {
            assert_eq!(site.get("/events").await.status(), 503);
        }
        assert_eq!(site.hub.clients().count(), 0);
    }
}

#[tokio::test]
async fn all_layers_together_pass_streams() {
    for site in servers(|router, _| {
        router
            .layer(CatchPanicLayer::new())
            .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, HEARTBEAT * 2))
            .layer(CompressionLayer::new())
            .layer(CorsLayer::very_permissive())
            .layer(TraceLayer::new_for_http())
    }) {
        let mut stream = site.flows("/events").await;
        stream.read_until("heartbeats", |stream| stream.text().matches(":\n\n").count() >= 6).await;
        stream.reset();
        eventually("no client is left", || site.hub.clients().count() == 0).await;
    }
}

#[tokio::test]
async fn routers_of_every_shape_serve_streams() {
    let app = |router: Router, hub: &Hub| {
        let with_events = |path: &str| -> Router {
            Router::new().route(path, get(events)).with_state(hub.clone())
        };
        Router::new()
            .nest("/api", Router::new().nest("/v1", router.clone()))
            .nest_service("/service", router)
            .merge(with_events("/merged"))
            .fallback_service(with_events("/fallback"))
    };
    for site in servers(app) {
        for target in ["/api/v1/events", "/service/events", "/merged", "/fallback"] {
            let stream = site.flows(target).await;
            // The adapter finds the query in every router.
            let target = format!("{target}?lastEventId={}", stream.last_event_id());
            stream.reset();
            site.publish("missed").await;
            let mut stream = site.get(&target).await;
            assert!(stream.next_message().await.data().contains("resumed"), "{target}");
            assert_eq!(stream.next_message().await.data(), "missed");
            stream.reset();
        }
    }
}
