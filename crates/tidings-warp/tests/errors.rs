//! Errors are responses.

use tidings_testkit::adapter::Server;
use tidings_testkit::adapter::errors::{assert_errors_are_responses, event, hub};
use tidings_warp::{Error, Hub, Sse, SseRequest};
use warp::Filter;
use warp::reject::{Rejection, custom};

#[tokio::test]
async fn a_handler_ends_with_a_question_mark() {
    let hub = hub();
    let with_hub = || {
        let hub = hub.clone();
        warp::any().map(move || hub.clone())
    };
    let subscribe = warp::path!("subscribe" / String)
        .and(with_hub())
        .and(tidings_warp::request())
        .map(|topic: String, hub: Hub, request: SseRequest| -> Result<Sse, Error> {
            Ok(request.subscribe(&hub, topic).open()?.into())
        });
    // As a rejection.
    let publish = warp::path!("publish" / String)
        .and(with_hub())
        .and_then(async |topic: String, hub: Hub| -> Result<String, Rejection> {
            let published = hub.publish(&*topic, event(&topic)).await.map_err(Error::from);
            Ok(published.map_err(custom)?.id().to_string())
        })
        .recover(tidings_warp::recover);
    let publish_as_asked = warp::path!("publish-as-asked" / String)
        .and(with_hub())
        .and(tidings_warp::request())
        .then(async |topic: String, hub: Hub, request: SseRequest| -> Result<String, Error> {
            let published = hub.publish(&*topic, event(&topic)).await;
            Ok(published.map_err(|error| request.error(error))?.id().to_string())
        });
    let served = hub.clone();
    let routes = subscribe.or(publish).or(publish_as_asked);
    let server = Server::start(async move |listener, begun| {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        tidings_warp::serve(listener, routes, &served).with_graceful_shutdown(begun).await
    });
    assert_errors_are_responses(&server, &hub).await;
}
