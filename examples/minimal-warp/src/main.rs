//! The least that an event server needs, on warp.

use std::{env, error::Error, time::Duration};

use tidings_warp::{Event, Hub, Sse, SseRequest, tidings::error::PublishError};
use tokio::{net::TcpListener, time::sleep};
use warp::Filter;

/// A client subscribes, or comes back and gets what it missed.
fn events(hub: &Hub, request: SseRequest) -> Sse {
    request.subscribe(hub, "count").into()
}

/// Publishes an event every second.
async fn count(hub: Hub) -> Result<(), PublishError> {
    for n in 1_u64.. {
        hub.publish("count", Event::new(n.to_string())).await?;
        sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let hub = Hub::new();
    tokio::spawn(count(hub.clone()));
    let topics = hub.clone();
    let page = warp::path::end().map(|| warp::reply::html(include_str!("page.html")));
    let events = warp::path!("events")
        .and(tidings_warp::request())
        .map(move |request| events(&topics, request));
    let app = warp::get().and(page.or(events));

    let address = env::args().nth(1).unwrap_or("127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("http://{}/", listener.local_addr()?);
    tidings_warp::serve(listener, app, &hub).await?;
    Ok(())
}
