//! The least that an event server needs, on axum.

use std::{env, error::Error, time::Duration};

use axum::{Router, extract::State, routing::get};
use tidings_axum::tidings::{Event, Hub, error::PublishError};
use tidings_axum::{Sse, SseRequest};
use tokio::{net::TcpListener, time::sleep};

/// A client subscribes, or comes back and gets what it missed.
async fn events(State(hub): State<Hub>, request: SseRequest) -> Sse {
    request.subscribe(&hub, "count").into()
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
    let app = Router::new().route("/events", get(events)).with_state(hub.clone());

    let address = env::args().nth(1).unwrap_or("127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("curl -N http://{}/events", listener.local_addr()?);
    tidings_axum::serve(listener, app, &hub).await?;
    Ok(())
}
