//! Tests of an application on actix-web.

use std::time::Duration;

use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{App, HttpRequest, HttpResponse, error, test};
use tidings_actix_web::{Event, Hub, Sse, SseRequest};
use tidings_test::Status::{Fresh, Resumed};
use tidings_test::TestClient;

/// What the application and its tests configure.
fn routes(hub: &Hub) -> impl FnOnce(&mut ServiceConfig) + use<> {
    async fn events(
        hub: Data<Hub>,
        http: HttpRequest,
        request: SseRequest,
    ) -> Result<Sse, actix_web::Error> {
        let session = http.cookie("session").ok_or_else(|| error::ErrorUnauthorized("log in"))?;
        Ok(request.subscribe(&hub, session.value()).into())
    }
    let hub = Data::new(hub.clone());
    move |config| {
        config
            .app_data(hub)
            .route("/events", web::get().to(events))
            .route("/over", web::get().to(async || HttpResponse::NoContent()))
            .route("/echo", web::post().to(async |text: String| text));
    }
}

#[actix_web::test]
async fn a_client_gets_what_it_missed() {
    let hub = Hub::new();
    let app = test::init_service(App::new().configure(routes(&hub))).await;
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

#[actix_web::test]
async fn refusals_and_other_responses_can_be_looked_at() {
    let hub = Hub::new();
    let app = test::init_service(App::new().configure(routes(&hub))).await;
    let client = TestClient::get(&app, "/events").connect().await;
    assert_eq!(client.status_code(), 401);
    assert_eq!(client.text(), "log in");
    let client = TestClient::get(&app, "/over").connect().await;
    assert_eq!((client.status_code().as_u16(), client.text()), (204, ""));
}

#[actix_web::test]
async fn a_service_is_taken_by_value_too() {
    let app = test::init_service(App::new().configure(routes(&Hub::new()))).await;
    let client = TestClient::post(app, "/echo").body("hello").connect().await;
    assert_eq!(client.text(), "hello");
}
