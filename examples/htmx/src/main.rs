//! A page of htmx, with its extension for server-sent events, on actix-web: the orders of a kitchen.
//!
//! The events are HTML: what the page shows, whole. So the newest one is enough for a page that is opened, comes back, or has
//! missed some, and the extension need not know of ids and resets. There is one from the start, for pages that were there
//! before a restart.

use std::{collections::BTreeMap, io, time::Duration};

use actix_web::http::StatusCode;
use actix_web::web::{self, Data, Form, FormConfig, Html, Path};
use actix_web::{App, HttpResponse, Responder};
use page_example::escaped;
use serde::Deserialize;
use tidings_actix_web::tidings::HubBuilder;
use tidings_actix_web::{Error, Event, History, Hub, Retention, Sse, SseRequest};
use tokio::sync::Mutex;

const ORDERS: &str = "orders";

/// With these, the list is never too large for an event.
const MAX_OPEN: usize = 100;
const MAX_FORM_BYTES: usize = 1024;

/// The orders that are not served. An application has a database for them.
#[derive(Default)]
struct Kitchen {
    last_number: u32,
    open: BTreeMap<u32, String>,
}

impl Kitchen {
    fn render(&self) -> String {
        let render = |(number, dish): (&u32, &String)| {
            let dish = escaped(dish);
            format!(
                r#"<li><span>{number}</span> {dish} <button class="quiet" hx-post="/orders/{number}/served" hx-swap="none">Served</button></li>"#
            )
        };
        self.open.iter().map(render).collect()
    }
}

#[derive(Deserialize)]
struct Order {
    dish: String,
}

/// Keeps the newest list for as long as nobody orders: a page shows nothing else.
fn hub() -> HubBuilder {
    Hub::builder().retention(Retention::default().events(1).age(Duration::MAX))
}

async fn events(hub: Data<Hub>, request: SseRequest) -> Sse {
    request.subscribe(&hub, ORDERS).history(History::Last(1)).into()
}

async fn order(
    hub: Data<Hub>,
    kitchen: Data<Mutex<Kitchen>>,
    Form(order): Form<Order>,
) -> Result<impl Responder, Error> {
    change(&hub, &kitchen, |kitchen| {
        if kitchen.open.len() == MAX_OPEN {
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        kitchen.last_number += 1;
        kitchen.open.insert(kitchen.last_number, order.dish);
        Ok(())
    })
    .await
}

async fn serve(
    hub: Data<Hub>,
    kitchen: Data<Mutex<Kitchen>>,
    number: Path<u32>,
) -> Result<impl Responder, Error> {
    change(&hub, &kitchen, |kitchen| {
        kitchen.open.remove(&number);
        Ok(())
    })
    .await
}

/// Changes are published in the order in which they are made: the lock is held until then.
async fn change(
    hub: &Hub,
    kitchen: &Mutex<Kitchen>,
    change: impl FnOnce(&mut Kitchen) -> Result<(), StatusCode>,
) -> Result<HttpResponse, Error> {
    let mut kitchen = kitchen.lock().await;
    if let Err(status) = change(&mut kitchen) {
        return Ok(HttpResponse::new(status));
    }
    publish(hub, &kitchen).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn publish(hub: &Hub, kitchen: &Kitchen) -> Result<(), Error> {
    hub.publish(ORDERS, Event::named("orders", kitchen.render())?).await?;
    Ok(())
}

async fn page() -> Html {
    Html::new(include_str!("page.html"))
}

#[actix_web::main]
async fn main() -> io::Result<()> {
    let (hub, kitchen) = (hub().build(), Kitchen::default());
    publish(&hub, &kitchen).await.map_err(io::Error::other)?;
    let (topics, kitchen) = (Data::new(hub.clone()), Data::new(Mutex::new(kitchen)));
    let app = move || {
        App::new()
            .app_data(topics.clone())
            .app_data(kitchen.clone())
            .app_data(FormConfig::default().limit(MAX_FORM_BYTES))
            .route("/", web::get().to(page))
            .configure(page_example::actix_web::files)
            .route("/events", web::get().to(events))
            .route("/orders", web::post().to(order))
            .route("/orders/{number}/served", web::post().to(serve))
    };

    tidings_actix_web::serve(page_example::listen().await?, app, &hub).await
}

#[cfg(test)]
mod tests {
    use tidings::clock::ManualClock;

    use super::*;

    #[actix_web::test]
    async fn the_list_stays_while_nobody_orders() -> Result<(), Error> {
        let clock = ManualClock::new();
        let hub = hub().clock(&clock).build();
        publish(&hub, &Kitchen::default()).await?;
        clock.advance(Duration::from_secs(11 * 60));
        assert_eq!(hub.history(ORDERS, History::Last(1)).await?.events.len(), 1);
        Ok(())
    }
}
