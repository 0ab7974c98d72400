//! Tests of an application on axum, and what fails them.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::{FutureExt as _, StreamExt as _, stream};
use tidings_axum::{Event, Hub, Sse, SseRequest};
use tidings_test::Status::{Fresh, Reset, Resumed};
use tidings_test::{ManualClock, ResetReason, TestClient};

/// As an application has it: who has no session is refused before the stream.
fn app(hub: &Hub) -> Router {
    async fn events(State(hub): State<Hub>, headers: HeaderMap, request: SseRequest) -> Response {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        if text(header::AUTHORIZATION) == Some("Bearer ada")
            || text(header::COOKIE) == Some("theme=dark; session=ada")
        {
            Sse::from(request.subscribe(&hub, "jobs")).into_response()
        } else {
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], "log in")
                .into_response()
        }
    }
    Router::new()
        .route("/events", get(events))
        .route("/over", get(async || StatusCode::NO_CONTENT))
        .with_state(hub.clone())
}

async fn publish(hub: &Hub, name: &str, data: &str) {
    let event = Event::named(name, data).expect("a good name");
    hub.publish("jobs", event).await.expect("it is published");
}

/// The message of the panic that this ends with.
async fn failure(future: impl Future) -> String {
    let panic = AssertUnwindSafe(future).catch_unwind().await.err().expect("it should panic");
    *panic.downcast::<String>().expect("a message")
}

#[tokio::test]
async fn a_client_gets_what_it_missed() {
    let hub = Hub::new();
    let app = app(&hub);
    let mut client = TestClient::get(&app, "/events").bearer("ada").connect().await;
    client.expect_status(Fresh).await;
    publish(&hub, "created", r#"{"job":7}"#).await;
    let created = client.expect("created").await;
    assert_eq!(created.json::<serde_json::Value>().unwrap()["job"], 7);

    client.disconnect();
    assert_eq!(hub.clients().count(), 0);
    publish(&hub, "done", "7").await;
    client.reconnect().await;
    client.expect_status(Resumed).await;
    assert_eq!(client.expect("done").await.data(), "7");
    client.expect_silence(Duration::from_millis(1)).await;
}

#[tokio::test]
async fn cookies_open_the_stream_and_refusals_can_be_read() {
    let hub = Hub::new();
    let cookies = TestClient::get(app(&hub), "/events").cookie("theme", "dark");
    let client = cookies.cookie("session", "ada").connect().await;
    assert_eq!(client.status_code(), 200);
    assert_eq!(client.header("cache-control"), Some("no-cache, no-transform"));
    assert_eq!(client.text(), "");

    let client = TestClient::get(app(&hub), "/events").bearer("eve").connect().await;
    assert_eq!(client.status_code(), 401);
    assert_eq!(client.headers()[header::WWW_AUTHENTICATE], "Bearer");
    assert_eq!(client.text(), "log in");
}

#[tokio::test]
async fn several_clients_are_open_at_once_and_go_when_they_are_dropped() {
    let hub = Hub::new();
    let app = app(&hub);
    let connect = || TestClient::get(&app, "/events").bearer("ada").connect();
    let mut clients = Vec::new();
    // More than the publisher wakes itself.
    for _ in 0..20 {
        clients.push(connect().await);
    }
    assert_eq!(hub.clients().count(), 20);
    publish(&hub, "created", "7").await;
    for client in &mut clients {
        client.expect("created").await;
    }
    let [one, other, ..] = &mut clients[..] else { unreachable!() };
    let publisher = publish(&hub, "done", "7");
    tokio::join!(one.expect("done"), other.expect("done"), publisher);
    clients.truncate(1);
    assert_eq!(hub.clients().count(), 1);
    drop(clients);
    assert_eq!(hub.clients().count(), 0);
}

#[tokio::test]
async fn a_cut_comes_after_what_the_test_has_taken() {
    let hub = Hub::new();
    let mut client = TestClient::get(app(&hub), "/events").bearer("ada").connect().await;
    for name in ["one", "two", "three"] {
        publish(&hub, name, "").await;
    }
    client.expect("one").await;
    client.reconnect().await;
    client.expect("two").await;
    client.disconnect();
    client.reconnect().await;
    client.expect_status(Resumed).await;
    client.expect("three").await;
}

#[tokio::test]
async fn a_status_event_that_is_there_counts_as_received() {
    let hub = Hub::new();
    let mut client = TestClient::get(app(&hub), "/events").bearer("ada").connect().await;
    publish(&hub, "one", "").await;
    client.disconnect();
    client.reconnect().await;
    client.expect_status(Resumed).await;
    client.expect("one").await;
}

#[tokio::test]
async fn an_event_without_an_id_leaves_the_client_where_it_was() {
    async fn events(State(hub): State<Hub>, request: SseRequest) -> Sse {
        request.subscribe(&hub, "jobs").principal("ada").into()
    }
    let hub = Hub::builder().streams_per_principal(1).build();
    let app = Router::new().route("/events", get(events)).with_state(hub.clone());
    let mut client = TestClient::get(&app, "/events").connect().await;
    publish(&hub, "created", "7").await;
    client.expect("created").await;
    client.disconnect();

    // Takes the only place.
    let other = TestClient::get(&app, "/events").connect().await;
    client.reconnect().await;
    client.expect("tidings:end").await;
    client.expect_end().await;
    drop(other);
    client.reconnect().await;
    client.expect_status(Resumed).await;
}

#[tokio::test]
async fn an_id_of_another_server_is_a_reset_which_is_not_skipped() {
    let hub = Hub::new();
    let connect = TestClient::get(app(&hub), "/events").bearer("ada").last_event_id("0-0");
    let mut client = connect.connect().await;
    publish(&hub, "created", "7").await;
    let message = failure(client.expect("created")).await;
    assert!(message.contains(r#"but next is event "tidings:status""#), "{message}");

    let mut client =
        TestClient::get(app(&hub), "/events").bearer("ada").last_event_id("0-0").connect().await;
    client.expect_status(Reset(ResetReason::Unknown)).await;
    client.expect("created").await;
}

#[tokio::test]
async fn the_hub_s_time_is_the_test_s() {
    let clock = ManualClock::new();
    let hub = Hub::builder().clock(clock.clock()).build();
    let mut client = TestClient::get(app(&hub), "/events").bearer("ada").connect().await;
    client.expect_silence(Duration::ZERO).await;
    clock.advance(Duration::from_secs(16));
    assert_eq!(client.expect_comment().await, "");
}

#[tokio::test(start_paused = true)]
async fn a_paused_clock_ends_no_wait_and_silence_takes_no_time() {
    async fn ticks() -> Sse {
        Sse::new(stream::unfold(0, async |n| {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            Some((Event::named("tick", n.to_string()).unwrap(), n + 1))
        }))
    }
    let began = tokio::time::Instant::now();
    let app = Router::new().route("/ticks", get(ticks));
    let mut client = TestClient::get(&app, "/ticks").connect().await;
    // Longer than the limit, which is in the machine's time.
    assert_eq!(client.expect("tick").await.data(), "0");
    assert_eq!(began.elapsed(), Duration::from_secs(3_600));
    client.expect_silence(Duration::from_secs(3_599)).await;
    let message = failure(client.expect_silence(Duration::from_secs(2))).await;
    assert!(
        message.contains(r#"expected silence for 2s, but next is event "tick": 1"#),
        "{message}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_event_from_another_thread_comes_although_the_clock_is_paused() {
    let hub = Hub::new();
    let mut client = TestClient::get(app(&hub), "/events").bearer("ada").connect().await;
    client.expect_status(Fresh).await;
    let publisher = std::thread::spawn({
        let hub = hub.clone();
        move || hub.publish("jobs", Event::named("created", "7").unwrap()).wait().unwrap()
    });
    client.expect("created").await;
    publisher.join().unwrap();
}

#[tokio::test]
async fn a_failure_says_where_and_what_came() {
    let hub = Hub::new();
    let mut client = TestClient::get(app(&hub), "/events").bearer("ada").connect().await;
    publish(&hub, "failed", r#"{"job":7}"#).await;
    let line = line!() + 1;
    let message = failure(client.expect("done")).await;
    let id = client.last_event_id();
    for expected in [
        &format!("tests/axum.rs:{line}:"),
        &format!(r#"expected event "done", but next is event "failed", id {id}: {{"job":7}}"#),
        "\nGET /events → 200 OK\n   1. event \"tidings:status\"",
        &format!("\n   2. event \"failed\", id {id}: {{\"job\":7}}\n      the stream is open"),
    ] {
        assert!(message.contains(expected), "{expected:?} is not in: {message}");
    }
}

#[tokio::test]
async fn a_wait_that_is_too_long_says_what_came_before() {
    let hub = Hub::new();
    let connect = TestClient::get(app(&hub), "/events").bearer("ada");
    let mut client = connect.limit(Duration::from_millis(10)).connect().await;
    let message = failure(client.expect("done")).await;
    assert!(message.contains("nothing came within 10ms"), "{message}");
    assert!(message.contains(r#"{"status":"fresh""#), "{message}");

    let app = Router::new().route("/", get(async || std::future::pending::<()>().await));
    let connect = TestClient::get(&app, "/").limit(Duration::from_millis(10)).connect();
    let message = failure(connect).await;
    assert!(message.contains("GET /: the application did not answer within 10ms"), "{message}");
}

/// Parts of a body: long enough for a limit, and an end for a client that does not keep it.
const MANY: usize = 10_000_000;

/// A body that is always ready. Counts what is read of it.
fn parts(part: &'static str, read: Arc<AtomicUsize>) -> Body {
    let parts = stream::repeat(Ok::<_, Infallible>(part)).take(MANY);
    Body::from_stream(parts.inspect(move |_| {
        read.fetch_add(1, Ordering::Relaxed);
    }))
}

#[tokio::test]
async fn a_stream_that_is_always_ready_is_cut_at_once() {
    async fn comments(State(read): State<Arc<AtomicUsize>>) -> impl IntoResponse {
        ([(header::CONTENT_TYPE, "text/event-stream")], parts(": x\n\n", read))
    }
    let read = Arc::new(AtomicUsize::new(0));
    let app = Router::new().route("/", get(comments)).with_state(read.clone());
    let mut client = TestClient::get(&app, "/").connect().await;
    client.disconnect();
    assert!(read.load(Ordering::Relaxed) < 1_000, "{read:?}");
}

#[tokio::test]
async fn a_refusal_without_end_does_not_outlast_the_limit() {
    async fn refusal(State(read): State<Arc<AtomicUsize>>) -> impl IntoResponse {
        (StatusCode::NOT_FOUND, parts("no", read))
    }
    let read = Arc::new(AtomicUsize::new(0));
    let app = Router::new().route("/", get(refusal)).with_state(read.clone());
    let connect = TestClient::get(&app, "/").limit(Duration::from_millis(10)).connect();
    let message = failure(connect).await;
    assert!(message.contains("the body has no end within 10ms"), "{message}");
    assert!(read.load(Ordering::Relaxed) < MANY, "{read:?}");
}

#[tokio::test]
async fn what_is_expected_of_a_refusal_fails_with_its_body() {
    let hub = Hub::new();
    let mut client = TestClient::get(app(&hub), "/events").connect().await;
    let message = failure(client.expect("created")).await;
    assert!(message.contains("the response's status is not 200"), "{message}");
    assert!(message.contains("401 Unauthorized: log in"), "{message}");
    let message = failure(client.reconnect()).await;
    assert!(message.contains("a browser does not connect again"), "{message}");
}

#[tokio::test]
async fn a_browser_that_is_answered_204_stays_away() {
    let hub = Hub::new();
    let mut client = TestClient::get(app(&hub), "/over").connect().await;
    assert_eq!(client.status_code(), 204);
    failure(client.reconnect()).await;
}

#[tokio::test]
async fn the_end_of_the_hub_is_an_orderly_end_and_errors_are_not() {
    let hub = Hub::new();
    let mut client = TestClient::get(app(&hub), "/events").bearer("ada").connect().await;
    publish(&hub, "last", "").await;
    hub.close();
    let message = failure(client.expect_end()).await;
    assert!(message.contains(r#"but next is event "last""#), "{message}");
    client.expect_end().await;

    async fn fails() -> Sse {
        Sse::new(stream::iter([Ok(Event::new("one")), Err("no more words")]))
    }
    let app = Router::new().route("/fails", get(fails));
    let mut client = TestClient::get(&app, "/fails").connect().await;
    client.expect("message").await;
    assert!(client.expect_error().await.contains("no more words"));
    let message = failure(client.expect_end()).await;
    assert!(message.contains("ended with an error"), "{message}");
}

#[tokio::test]
async fn a_post_has_its_body_each_time_and_retry_is_known() {
    async fn echo(Query(query): Query<Vec<(String, String)>>, text: String) -> Sse {
        let event = Event::new(format!("{}: {text}", query[0].1));
        tidings_axum::tidings::EventStream::new(stream::iter([event]))
            .retry(Duration::from_secs(1))
            .into()
    }
    let app = Router::new().route("/answer", post(echo));
    let mut client = TestClient::post(&app, "/answer?to=ada").body("hello").connect().await;
    assert_eq!(client.next_message().await.data(), "ada: hello");
    let retry = client.retry().expect("it was sent");
    assert!((800..=1_200).contains(&retry.as_millis()), "{retry:?}");
    client.expect_end().await;
    client.reconnect().await;
    assert_eq!(client.expect("message").await.data(), "ada: hello");
}
