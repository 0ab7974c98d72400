//! Errors are responses.

use actix_web::App;
use actix_web::web::{Data, Path, get};
use tidings_actix_web::{Error, Hub, Sse, SseRequest};
use tidings_testkit::adapter::Server;
use tidings_testkit::adapter::errors::{assert_errors_are_responses, event, hub};

async fn subscribe(hub: Data<Hub>, topic: Path<String>, request: SseRequest) -> Result<Sse, Error> {
    Ok(request.subscribe(&hub, topic.as_str()).open()?.into())
}

async fn publish(hub: Data<Hub>, topic: Path<String>) -> Result<String, Error> {
    Ok(hub.publish(topic.as_str(), event(&topic)).await?.id().to_string())
}

async fn publish_as_asked(
    hub: Data<Hub>,
    topic: Path<String>,
    request: SseRequest,
) -> Result<String, Error> {
    let published = hub.publish(topic.as_str(), event(&topic)).await;
    Ok(published.map_err(|error| request.error(error))?.id().to_string())
}

#[tokio::test]
async fn a_handler_ends_with_a_question_mark() {
    let hub = hub();
    let served = hub.clone();
    let server = Server::start(async move |listener, begun| {
        let data = Data::new(served.clone());
        let app = move || {
            App::new()
                .app_data(data.clone())
                .route("/subscribe/{topic}", get().to(subscribe))
                .route("/publish/{topic}", get().to(publish))
                .route("/publish-as-asked/{topic}", get().to(publish_as_asked))
        };
        let serve = tidings_actix_web::serve(listener, app, &served);
        serve.workers(1).with_graceful_shutdown(begun).await
    });
    assert_errors_are_responses(&server, &hub).await;
}
