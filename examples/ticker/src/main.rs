//! A ticker, on warp: a thousand prices a second, of which a page gets the newest of each symbol, ten times a second.
//!
//! A page that is opened gets the newest price of each symbol. One that was away gets the newest of each that has changed.

use std::{error::Error, time::Duration};

use serde::Serialize;
use tidings_warp::tidings::EventKey;
use tidings_warp::tidings::error::FieldError;
use tidings_warp::{Event, History, Hub, Retention, Sse, SseRequest};
use tokio::time::interval;
use warp::Filter;
use warp::reply::html;

const PRICES: &str = "prices";
const SYMBOLS: [(&str, f64); 8] = [
    ("AMBR", 41.2),
    ("BOLT", 188.0),
    ("CRNE", 12.75),
    ("DUNE", 63.4),
    ("ELMS", 305.1),
    ("FJRD", 27.9),
    ("GLCR", 96.6),
    ("HUSK", 5.32),
];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Ticker<'a> {
    Price {
        symbol: &'a str,
        price: f64,
    },
    /// It is not traded any more, until it has a price again.
    Suspended {
        symbol: &'a str,
    },
}

fn hub() -> Result<Hub, FieldError> {
    Ok(Hub::builder()
        .retain(PRICES, Retention::latest_per_key())?
        .at_most_every(PRICES, Duration::from_millis(100))?
        .build())
}

fn events(hub: &Hub, request: SseRequest) -> Sse {
    request.subscribe(hub, PRICES).history(History::All).into()
}

/// Trades at random.
async fn trade(hub: Hub) -> Result<(), tidings_warp::Error> {
    let mut prices = SYMBOLS;
    let mut millis = interval(Duration::from_millis(1));
    loop {
        millis.tick().await;
        let (symbol, price) = &mut prices[fastrand::usize(..SYMBOLS.len())];
        let key = EventKey::new(*symbol)?;
        let event = match fastrand::u32(..10_000) {
            0 => Event::typed(&Ticker::Suspended { symbol })?.with_removed_key(key),
            _ => {
                *price *= 1.0 + (fastrand::f64() - 0.5) / 500.0;
                Event::typed(&Ticker::Price { symbol, price: *price })?.with_key(key)
            }
        };
        hub.publish(PRICES, event).await?;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let hub = hub()?;
    tokio::spawn(trade(hub.clone()));
    let topics = hub.clone();
    let page = warp::path::end().map(|| html(include_str!("page.html")));
    let events = warp::path!("events")
        .and(tidings_warp::request())
        .map(move |request| events(&topics, request));
    let app = warp::get().and(page.or(page_example::warp::files()).or(events));

    tidings_warp::serve(page_example::listen().await?, app, &hub).await?;
    Ok(())
}
