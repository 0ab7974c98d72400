use actix_web::web::{self, Data};
use actix_web::{App, test};
use tidings_actix_web::{Event, Hub, Sse, SseRequest};
use tidings_test::{Status::Resumed, TestClient};

async fn events(hub: Data<Hub>, request: SseRequest) -> Sse {
    request.subscribe(&hub, "jobs").into()
}

#[actix_web::test]
async fn a_client_gets_what_it_missed() {
    let hub = Hub::new();
    let app = App::new().app_data(Data::new(hub.clone())).route("/events", web::get().to(events));
    let app = test::init_service(app).await;
    let mut client = TestClient::get(&app, "/events").connect().await;
    hub.publish("jobs", Event::named("created", "7").unwrap()).await.unwrap();
    assert_eq!(client.expect("created").await.data(), "7");

    client.disconnect();
    hub.publish("jobs", Event::named("done", "7").unwrap()).await.unwrap();
    client.reconnect().await;
    client.expect_status(Resumed).await;
    client.expect("done").await;
}
