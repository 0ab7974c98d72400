use axum::{Router, extract::State, routing::get};
use tidings_axum::{Event, Hub, Sse, SseRequest};
use tidings_test::{Status::Resumed, TestClient};

async fn events(State(hub): State<Hub>, request: SseRequest) -> Sse {
    request.subscribe(&hub, "jobs").into()
}

fn app(hub: &Hub) -> Router {
    Router::new().route("/events", get(events)).with_state(hub.clone())
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
