//! A page of htmx, with its extension for server-sent events, on actix-web: the orders of a kitchen.
//!
//! The events are HTML: what the page shows, whole. So the newest one is enough for a page that is opened, comes back, or has
//! missed some, and the extension need not know of ids and resets.

use std::{collections::BTreeMap, io};

use actix_web::web::{self, Data, Form, Html, Path};
use actix_web::{App, HttpResponse, Responder};
use page_example::escaped;
use serde::Deserialize;
use tidings_actix_web::{Error, Event, History, Hub, Retention, Sse, SseRequest};
use tokio::sync::Mutex;

const ORDERS: &str = "orders";

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

async fn events(hub: Data<Hub>, request: SseRequest) -> Sse {
    request.subscribe(&hub, ORDERS).history(History::Last(1)).into()
}

async fn order(
    hub: Data<Hub>,
    kitchen: Data<Mutex<Kitchen>>,
    Form(order): Form<Order>,
) -> Result<impl Responder, Error> {
    change(&hub, &kitchen, |kitchen| {
        kitchen.last_number += 1;
        kitchen.open.insert(kitchen.last_number, order.dish);
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
    })
    .await
}

/// Changes are published in the order in which they are made: the lock is held until then.
async fn change(
    hub: &Hub,
    kitchen: &Mutex<Kitchen>,
    change: impl FnOnce(&mut Kitchen),
) -> Result<HttpResponse, Error> {
    let mut kitchen = kitchen.lock().await;
    change(&mut kitchen);
    hub.publish(ORDERS, Event::named("orders", kitchen.render())?).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn page() -> Html {
    Html::new(include_str!("page.html"))
}

#[actix_web::main]
async fn main() -> io::Result<()> {
    let retention = Retention::default().events(1);
    let hub = Hub::builder().retention(retention).build();
    let (topics, kitchen) = (Data::new(hub.clone()), Data::new(Mutex::new(Kitchen::default())));
    let app = move || {
        App::new()
            .app_data(topics.clone())
            .app_data(kitchen.clone())
            .route("/", web::get().to(page))
            .configure(page_example::actix_web::files)
            .route("/events", web::get().to(events))
            .route("/orders", web::post().to(order))
            .route("/orders/{number}/served", web::post().to(serve))
    };

    tidings_actix_web::serve(page_example::listen().await?, app, &hub).await
}
