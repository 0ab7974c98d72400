//! What is published on a channel, as an event.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use tidings::{Event, EventName, IdempotencyKey};

/// How a payload becomes an event.
#[derive(Debug, Clone)]
pub(crate) enum Payload {
    /// It is the data.
    Raw(Option<EventName>),
    /// It is an [`Envelope`].
    Json,
}

/// A payload that says more than data.
#[derive(Debug, Deserialize)]
struct Envelope<'a> {
    topic: Option<String>,
    event: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    retry: Option<u64>,
    key: Option<String>,
}

/// What is to be published.
#[derive(Debug, PartialEq)]
pub(crate) struct Message {
    /// If the payload says so; else the channel decides.
    pub(crate) topic: Option<String>,
    pub(crate) event: Event,
    pub(crate) key: Option<IdempotencyKey>,
}

impl Payload {
    /// Reads a payload, or says why that is not one.
    pub(crate) fn read(&self, payload: &[u8]) -> Result<Message, String> {
        match self {
            Self::Raw(name) => {
                let data = std::str::from_utf8(payload).map_err(|error| field("data", error))?;
                let event = Event::new(data);
                let event = match name {
                    Some(name) => event.with_name(name.clone()),
                    None => event,
                };
                Ok(Message { topic: None, event, key: None })
            }
            Self::Json => envelope(payload),
        }
    }
}

fn envelope(payload: &[u8]) -> Result<Message, String> {
    let envelope: Envelope<'_> =
        serde_json::from_slice(payload).map_err(|error| field("envelope", error))?;
    let data = envelope.data.ok_or_else(|| field("data", "is missing"))?.get();
    // A string is what it says; everything else is its JSON, as it was written.
    let data = serde_json::from_str::<String>(data).unwrap_or_else(|_| data.to_owned());
    let mut event = Event::new(data);
    if let Some(name) = envelope.event {
        event = event.with_name(EventName::new(name).map_err(|error| error.to_string())?);
    }
    if let Some(retry) = envelope.retry {
        event = event.with_retry(Duration::from_millis(retry));
    }
    let key = envelope.key.map(IdempotencyKey::new).transpose();
    let key = key.map_err(|error| error.to_string())?;
    Ok(Message { topic: envelope.topic, event, key })
}

fn field(name: &str, cause: impl std::fmt::Display) -> String {
    format!("{name}: {cause}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_payload_is_the_data() {
        let raw = |name: Option<&str>| Payload::Raw(name.map(|name| EventName::new(name).unwrap()));
        let message = raw(None).read("{\"data\": 1}\n ä".as_bytes()).unwrap();
        assert_eq!(message.event, Event::new("{\"data\": 1}\n ä"));
        let message = raw(Some("tick")).read(b"").unwrap();
        assert_eq!(message.event, Event::named("tick", "").unwrap());
        assert!(raw(None).read(b"\xff").unwrap_err().starts_with("data: "));
    }

    #[test]
    fn an_envelope_says_all_that_an_event_has() {
        let text = r#"{"topic":"a","event":"e","data":"d\nd","retry":1500,"key":"k","more":[]}"#;
        let message = Payload::Json.read(text.as_bytes()).unwrap();
        let event = Event::named("e", "d\nd").unwrap().with_retry(Duration::from_millis(1_500));
        assert_eq!(message.event, event);
        assert_eq!(message.topic.as_deref(), Some("a"));
        assert_eq!(message.key, Some(IdempotencyKey::new("k").unwrap()));
    }

    #[test]
    fn data_that_is_no_string_stays_as_it_was_written() {
        for data in [r#"{"b": 1, "a": 1.0e99}"#, "12345678901234567890123", "null", "[ ]"] {
            let text = format!(r#"{{"data":{data}}}"#);
            let message = Payload::Json.read(text.as_bytes()).unwrap();
            assert_eq!(message.event.data(), Some(data));
        }
    }

    #[test]
    fn what_is_no_envelope_is_refused_with_the_field_and_the_cause() {
        for (payload, error) in [
            ("", "envelope: EOF"),
            ("[1]", "envelope: "),
            ("{}", "data: is missing"),
            (r#"{"data":"","event":"a\nb"}"#, "event name: contains a line break at byte 1"),
            (r#"{"data":"","key":"a b"}"#, "idempotency key: contains white space"),
            (r#"{"data":"","retry":-1}"#, "envelope: invalid value"),
        ] {
            let refused = Payload::Json.read(payload.as_bytes()).unwrap_err();
            assert!(refused.starts_with(error), "{payload}: {refused}");
        }
    }
}
