//! Tests of an application on warp.

use std::time::Duration;

use tidings_test::Status::{Fresh, Resumed};
use tidings_test::TestClient;
use tidings_warp::{Event, Hub, Sse, SseRequest};
use warp::http::StatusCode;
use warp::{Filter, Rejection, Reply};

fn app(
    hub: &Hub,
) -> impl Filter<Extract = (impl Reply + use<>,), Error = Rejection> + Clone + use<> {
    let hub = hub.clone();
    let events = warp::path!("events")
        .and(warp::get())
        .and(warp::cookie("session"))
        .and(tidings_warp::request())
        .map(move |user: String, request: SseRequest| Sse::from(request.subscribe(&hub, [user])));
    let over = warp::path!("over").map(|| StatusCode::NO_CONTENT);
    let echo = warp::path!("echo")
        .and(warp::post())
        .and(warp::body::content_length_limit(9))
        .and(warp::body::bytes());
    let echo = echo.map(|bytes: bytes::Bytes| bytes.to_vec());
    events.or(over).or(echo)
}

#[tokio::test]
async fn a_client_gets_what_it_missed() {
    let hub = Hub::new();
    let app = app(&hub);
    let mut client = TestClient::get(&app, "/events").cookie("session", "ada").connect().await;
    client.expect_status(Fresh).await;
    hub.publish("ada", Event::named("created", "7").unwrap()).await.unwrap();
    assert_eq!(client.expect("created").await.data(), "7");

    client.disconnect();
    assert_eq!(hub.clients().count(), 0);
    hub.publish("ada", Event::named("done", "7").unwrap()).await.unwrap();
    client.reconnect().await;
    client.expect_status(Resumed).await;
    client.expect("done").await;
    client.expect_silence(Duration::from_millis(1)).await;
    hub.close();
    client.expect_end().await;
}

#[tokio::test]
async fn rejections_and_other_responses_can_be_looked_at() {
    let hub = Hub::new();
    // By value.
    let client = TestClient::get(app(&hub), "/events").connect().await;
    assert_eq!(client.status_code(), 400);
    assert_eq!(client.text(), r#"Invalid request header "cookie""#);
    let client = TestClient::get(app(&hub), "/over").connect().await;
    assert_eq!((client.status_code(), client.text()), (StatusCode::NO_CONTENT, ""));
    let client = TestClient::post(app(&hub), "/echo").body("hello").connect().await;
    assert_eq!(client.text(), "hello");
}
