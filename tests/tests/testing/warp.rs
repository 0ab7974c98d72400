use tidings_test::{Status::Resumed, TestClient};
use tidings_warp::{Event, Hub, Sse, SseRequest};
use warp::{Filter, Rejection};

fn app(hub: &Hub) -> impl Filter<Extract = (Sse,), Error = Rejection> + Clone + use<> {
    let hub = hub.clone();
    warp::path!("events")
        .and(tidings_warp::request())
        .map(move |request: SseRequest| Sse::from(request.subscribe(&hub, "jobs")))
}

#[tokio::test]
async fn a_client_gets_what_it_missed() {
    let hub = Hub::new();
    let mut client = TestClient::get(app(&hub), "/events").connect().await;
    hub.publish("jobs", Event::named("created", "7").unwrap()).await.unwrap();
    assert_eq!(client.expect("created").await.data(), "7");

    client.disconnect();
    hub.publish("jobs", Event::named("done", "7").unwrap()).await.unwrap();
    client.reconnect().await;
    client.expect_status(Resumed).await;
    client.expect("done").await;
}
