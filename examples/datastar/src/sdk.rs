//! `/test`: answers a list of events with these events, as Datastar's tests of servers want it.

use std::fmt;
use std::time::Duration;

use futures_util::stream;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use tidings_warp::Sse;
use tidings_warp::tidings::{Event, EventId, EventStream};
use warp::http::StatusCode;
use warp::reply::Response;
use warp::{Filter, Rejection, Reply};

use crate::patch::{Attributes, Patch};

#[derive(Deserialize)]
struct Signals {
    events: Vec<Wanted>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    event_id: Option<String>,
    retry_duration: Option<u64>,
    #[serde(flatten)]
    patch: Patch,
}

/// Signals come in the parameter `datastar`, or in the body.
pub(crate) fn route() -> impl Filter<Extract = (Response,), Error = Rejection> + Clone {
    let query = warp::get().and(warp::query::raw()).map(|query: String| {
        let signals = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "datastar");
        signals.map(|(_, signals)| signals.into_owned().into_bytes()).unwrap_or_default()
    });
    let body = warp::body::content_length_limit(64 * 1024)
        .and(warp::body::bytes())
        .map(|body: bytes::Bytes| body.to_vec());
    warp::path!("test").and(query.or(body).unify()).map(|signals: Vec<u8>| answer(&signals))
}

fn answer(signals: &[u8]) -> Response {
    let events: Option<Vec<Event>> = serde_json::from_slice(signals)
        .ok()
        .and_then(|Signals { events }| events.iter().map(Wanted::event).collect());
    match events {
        Some(events) => {
            Sse::from(EventStream::new(stream::iter(events)).heartbeat(None)).into_response()
        }
        None => StatusCode::BAD_REQUEST.into_response(),
    }
}

impl Wanted {
    fn event(&self) -> Option<Event> {
        let event = self.patch.event().ok()?;
        let event = match &self.event_id {
            Some(id) => event.with_id(EventId::new(id).ok()?),
            None => event,
        };
        // What a client does anyway is not said.
        Some(match self.retry_duration.filter(|millis| *millis != 1_000) {
            Some(millis) => event.with_retry(Duration::from_millis(millis)),
            None => event,
        })
    }
}

impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Ordered;
        impl<'de> Visitor<'de> for Ordered {
            type Value = Attributes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Attributes, A::Error> {
                let mut attributes = Vec::new();
                while let Some(attribute) = map.next_entry()? {
                    attributes.push(attribute);
                }
                Ok(Attributes(attributes))
            }
        }
        deserializer.deserialize_map(Ordered)
    }
}
