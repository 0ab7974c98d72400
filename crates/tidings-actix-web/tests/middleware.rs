//! Streams under actix-web's own middleware.

use std::time::Duration;

use actix_web::App;
use actix_web::middleware::{Compress, DefaultHeaders, NormalizePath};
use actix_web::web::{Data, get};
use tidings_actix_web::tidings::{Event, Hub};
use tidings_actix_web::{Sse, SseRequest, serve};
use tidings_testkit::adapter::Server;
use tidings_testkit::limit::within;
use tidings_testkit::wire::{Request, Response};

async fn events(hub: Data<Hub>, request: SseRequest) -> Sse {
    request.subscribe(&hub, "news").status(false).heartbeat(None).into()
}

async fn page() -> String {
    "a page that is worth compressing ".repeat(1000)
}

fn server(hub: &Hub) -> Server {
    let hub = hub.clone();
    Server::start(async move |listener, begun| {
        let data = Data::new(hub.clone());
        let app = move || {
            App::new()
                .wrap(NormalizePath::trim())
                .wrap(DefaultHeaders::new().add(("x-from", "middleware")))
                .wrap(Compress::default())
                .app_data(data.clone())
                .route("/events", get().to(events))
                .route("/page", get().to(page))
        };
        serve(listener, app, &hub)
            .workers(1)
            .with_graceful_shutdown(begun)
            .shutdown_timeout(Duration::from_secs(1))
            .await
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_neither_compressed_nor_held_back() {
    let hub = Hub::builder().retry(None).build();
    let server = server(&hub);
    for accepted in ["gzip, br", "gzip;q=1.0, *;q=0.5", "identity"] {
        let request = Request::get("/events/").header("accept-encoding", accepted);
        let mut response = Response::to(server.addr(), request).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.header("content-type"), Some("text/event-stream; charset=utf-8"));
        assert_eq!(response.header("content-encoding"), Some("identity"));
        assert_eq!(response.header("x-from"), Some("middleware"));
        response.read_exactly(3).await;
        let mut expected = response.text().to_owned();
        for n in 0..10 {
            // Each arrives before the next is published.
            let publish = hub.publish("news", Event::new(n.to_string()));
            let id = within("publishing", publish).await.expect("a good event").id().to_string();
            assert_eq!(response.next_message().await.data(), n.to_string());
            expected.push_str(&format!("data: {n}\nid: {id}\n\n"));
        }
        assert_eq!(response.text(), expected);
        response.reset();
    }
    // The same middleware compresses pages.
    let request = Request::get("/page").header("accept-encoding", "gzip");
    let mut page = Response::to(server.addr(), request).await;
    assert_eq!(page.header("content-encoding"), Some("gzip"));
    page.read_until("some of the page", |page| !page.body().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conditional_or_range_request_gets_the_whole_stream() {
    let hub = Hub::builder().retry(None).build();
    let server = server(&hub);
    for (name, value) in [("if-none-match", "*"), ("range", "bytes=0-10")] {
        let request = Request::get("/events").header(name, value).header("accept-encoding", "gzip");
        let mut response = Response::to(server.addr(), request).await;
        assert_eq!(response.status(), 200);
        let publish = hub.publish("news", Event::new("longer than eleven bytes"));
        within("publishing", publish).await.expect("a good event");
        assert_eq!(response.next_message().await.data(), "longer than eleven bytes");
    }
}
