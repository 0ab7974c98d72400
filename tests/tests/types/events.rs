//! Enums of events, as an application has them, with values of each variant.

use std::collections::BTreeMap;

use serde::Serialize;
use tidings::error::{EventError, TypesError};
use tidings::openapi::StreamSchema;
use tidings::ts::TopicTypes;
use tidings::{Event, EventKey};
use ts_rs::TS;
use utoipa::ToSchema;

/// What one of the tests publishes: a topic, and events.
pub(crate) type Published = (&'static str, Vec<Event>);

/// A test about the shapes of variants has all of them.
#[derive(Debug, Serialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OrderEvent {
    /// Somebody has ordered.
    Created(Order),
    Moved(u8, String),
    Noted(Option<String>),
    Shipped {
        number: u32,
        /// Who brings it | "nobody", }.
        carrier: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tracking: Option<String>,
    },
    AllClosed,
    #[serde(rename = "order.returned")]
    Returned {
        #[serde(flatten)]
        order: Number,
        #[serde(rename = "order-id")]
        id: i8,
    },
    Changed(Change<Order>),
    Counted(BTreeMap<String, u64>),
    Emptied {},
}

/// An order, with all that belongs to it.
#[derive(Debug, Clone, Serialize, TS, ToSchema)]
pub(crate) struct Order {
    number: u64,
    note: Option<String>,
    address: Address,
    lines: Vec<Line>,
    urgency: Urgency,
}

#[derive(Debug, Clone, Serialize, TS, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Address {
    street: String,
    is_business: bool,
}

#[derive(Debug, Clone, Serialize, TS, ToSchema)]
pub(crate) struct Line {
    article: String,
    price: f64,
}

#[derive(Debug, Clone, Serialize, TS, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Urgency {
    Normal,
    High { above: u8 },
}

#[derive(Debug, Clone, Serialize, TS, ToSchema)]
pub(crate) struct Number {
    number: u32,
}

#[derive(Debug, Serialize, TS, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Change<T> {
    Replaced { old: Option<T>, new: T },
    Removed(u32),
}

/// For topics that match a pattern; tagged internally.
#[derive(Debug, Serialize, TS, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase")]
pub(crate) enum RoomEvent {
    Said { by: String, text: String },
    JoinedBy(Member),
    Closed,
}

#[derive(Debug, Serialize, TS, ToSchema)]
pub(crate) struct Member {
    name: String,
}

/// Current values, by key.
#[derive(Debug, Serialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PriceEvent {
    Price { pair: String, price: f64 },
    Delisted { pair: String },
}

/// Tagged adjacently, and generic.
#[derive(Debug, Serialize, TS)]
#[serde(tag = "t", content = "c")]
pub(crate) enum Log<T> {
    Line(T),
    Pair(T, T),
    Both { old: Option<T>, new: T },
    Cut,
}

pub(crate) fn types() -> Result<TopicTypes, TypesError> {
    TopicTypes::new()
        .topic::<OrderEvent>("orders")?
        .topic::<RoomEvent>("room:*")?
        .topic::<PriceEvent>("prices")?
        .topic::<Log<Line>>("log/*")
}

/// The streams of the API.
pub(crate) fn schemas() -> Result<[(&'static str, StreamSchema); 3], TypesError> {
    Ok([
        ("/orders", StreamSchema::new().events::<OrderEvent>()?),
        ("/room", StreamSchema::new().events::<RoomEvent>()?),
        ("/prices", StreamSchema::new().events::<PriceEvent>()?),
    ])
}

/// Values of all variants, with what may be missing there and missing.
pub(crate) fn published() -> Result<Vec<Published>, EventError> {
    let order = |note: Option<&str>, urgency| Order {
        number: 1 << 53,
        note: note.map(str::to_owned),
        address: Address { street: "Main \"St\"\n1".to_owned(), is_business: true },
        lines: vec![Line { article: "tea".to_owned(), price: 4.5 }],
        urgency,
    };
    let plain = || order(None, Urgency::Normal);
    let orders = [
        OrderEvent::Created(order(Some("now"), Urgency::High { above: 3 })),
        OrderEvent::Created(plain()),
        OrderEvent::Moved(1, "shelf".to_owned()),
        OrderEvent::Noted(Some("a note".to_owned())),
        OrderEvent::Noted(None),
        OrderEvent::Shipped { number: 1, carrier: None, tracking: None },
        OrderEvent::Shipped {
            number: 1,
            carrier: Some("a".to_owned()),
            tracking: Some("b".to_owned()),
        },
        OrderEvent::AllClosed,
        OrderEvent::Returned { order: Number { number: 1 }, id: -1 },
        OrderEvent::Changed(Change::Replaced { old: None, new: plain() }),
        OrderEvent::Changed(Change::Replaced { old: Some(plain()), new: plain() }),
        OrderEvent::Changed(Change::Removed(1)),
        OrderEvent::Counted(BTreeMap::from([("tea".to_owned(), 3)])),
        OrderEvent::Counted(BTreeMap::new()),
        OrderEvent::Emptied {},
    ];
    let room = [
        RoomEvent::Said { by: "ada".to_owned(), text: "hello".to_owned() },
        RoomEvent::JoinedBy(Member { name: "bob".to_owned() }),
        RoomEvent::Closed,
    ];
    let line = |article: &str| Line { article: article.to_owned(), price: 1.0 };
    let log = [
        Log::Line(line("a")),
        Log::Pair(line("a"), line("b")),
        Log::Both { old: None, new: line("b") },
        Log::Both { old: Some(line("a")), new: line("b") },
        Log::Cut,
    ];
    let pair = || "EUR/USD".to_owned();
    let keyed = |event: &PriceEvent, key: &str| {
        Ok::<_, EventError>(Event::typed(event)?.with_key(EventKey::new(key)?))
    };
    let gone = Event::typed(&PriceEvent::Delisted { pair: pair() })?;
    let name = gone.name().cloned().expect("a typed event has a name");
    let prices = vec![
        keyed(&PriceEvent::Price { pair: "old".to_owned(), price: 1.0 }, "EUR/CHF")?,
        keyed(&PriceEvent::Price { pair: pair(), price: 1.09 }, "EUR/CHF")?,
        Event::remove_key("EUR/USD", gone.data().unwrap_or_default())?.with_name(name),
    ];
    Ok(vec![
        ("orders", orders.iter().map(Event::typed).collect::<Result<_, _>>()?),
        ("room:lobby", room.iter().map(Event::typed).collect::<Result<_, _>>()?),
        ("log/1", log.iter().map(Event::typed).collect::<Result<_, _>>()?),
        ("prices", prices),
    ])
}
