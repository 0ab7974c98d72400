//! The least that an event server needs, on actix-web.

use std::{env, io, net::TcpListener, time::Duration};

use actix_web::{App, rt, web, web::Html};
use tidings_actix_web::{Event, Hub, Sse, SseRequest, tidings::error::PublishError};

/// The page that listens.
async fn page() -> Html {
    Html::new(include_str!("page.html"))
}

/// A client subscribes, or comes back and gets what it missed.
async fn events(hub: web::Data<Hub>, request: SseRequest) -> Sse {
    request.subscribe(&hub, "count").into()
}

/// Publishes an event every second.
async fn count(hub: Hub) -> Result<(), PublishError> {
    for n in 1_u64.. {
        hub.publish("count", Event::new(n.to_string())).await?;
        rt::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

#[actix_web::main]
async fn main() -> io::Result<()> {
    let hub = Hub::new();
    rt::spawn(count(hub.clone()));
    let data = web::Data::new(hub.clone());
    let app = move || {
        App::new()
            .app_data(data.clone())
            .route("/", web::get().to(page))
            .route("/events", web::get().to(events))
    };

    let address = env::args().nth(1).unwrap_or("127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(address)?;
    println!("http://{}/", listener.local_addr()?);
    tidings_actix_web::serve(listener, app, &hub).await
}
