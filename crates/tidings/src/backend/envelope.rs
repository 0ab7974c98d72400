use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::key::IdempotencyKey;
use super::record::{Append, Record, RecordError};
use crate::topic::Topic;

/// The format of the messages that a bridge reads, from services that do not know the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Envelope {
    /// A message is an event's data: UTF-8 text.
    #[default]
    Raw,
    /// A message is a JSON object:
    ///
    /// | field | |
    /// |---|---|
    /// | `data` | text; any other JSON value becomes the event's data as it is written |
    /// | `event` | the event's name, if it has one; such an event needs no data |
    /// | `retry` | milliseconds: see [`Event::with_retry`](crate::Event::with_retry) |
    /// | `topic` | the topic, in place of the one to which the bridge would publish |
    /// | `key` | an [`IdempotencyKey`]: several messages with one key are one event |
    /// | `attributes` | an object of the event's [attributes](crate::Event::with_attribute): text, whole numbers, truth values |
    /// | `event_key` | the event's [key](crate::Event::keyed) |
    ///
    /// A field that is `null` counts as missing. Other fields are ignored.
    Json,
}

impl Envelope {
    /// Reads a message: the event to publish, to `topic` unless the message names another one.
    ///
    /// # Errors
    ///
    /// When the message does not have this format, or a field is not valid.
    ///
    /// ```
    /// use tidings::Topic;
    /// use tidings::backend::Envelope;
    ///
    /// let topic = Topic::new("orders")?;
    /// let append = Envelope::Raw.open(&topic, b"order 17")?;
    /// assert_eq!(append.event.data(), Some("order 17"));
    ///
    /// let append = Envelope::Json.open(&topic, br#"{"event":"created","data":{"order":17}}"#)?;
    /// assert_eq!(append.event.name().unwrap().as_str(), "created");
    /// assert_eq!(append.event.data(), Some(r#"{"order":17}"#));
    ///
    /// let error = Envelope::Json.open(&topic, br#"{"topic":"two words","data":""}"#).unwrap_err();
    /// assert_eq!(error.to_string(), "topic contains ' ' at byte 3");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(self, topic: &Topic, message: &[u8]) -> Result<Append, RecordError> {
        match self {
            Self::Raw => append(topic.as_str(), [("data", message)], None),
            Self::Json => open_json(topic, message),
        }
    }
}

/// Borrowed if possible: text without escapes.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default)]
    topic: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    event: Option<Cow<'a, str>>,
    // Not a `Value`, which would put the fields of objects in order, and round large numbers.
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    retry: Option<u64>,
    #[serde(default)]
    key: Option<String>,
    // As they are written: `Record::from_fields` reads them.
    #[serde(borrow, default)]
    attributes: Option<&'a RawValue>,
    #[serde(borrow, default)]
    event_key: Option<Cow<'a, str>>,
}

fn open_json(topic: &Topic, message: &[u8]) -> Result<Append, RecordError> {
    let not_json = |error| RecordError::new("envelope", format_args!("is not valid JSON: {error}"));
    let fields: Fields<'_> = serde_json::from_slice(message).map_err(not_json)?;
    let data = match fields.data.map(RawValue::get) {
        None => None,
        Some(text) if text.starts_with('"') => {
            Some(serde_json::from_str::<String>(text).map_err(not_json)?)
        }
        Some(json) => Some(json.to_owned()),
    };
    let key = fields.key.map(IdempotencyKey::new).transpose()?;
    let retry = fields.retry.map(|millis| millis.to_string());
    let event = [
        ("event", fields.event.as_deref()),
        ("data", data.as_deref()),
        ("retry", retry.as_deref()),
        ("attributes", fields.attributes.map(RawValue::get)),
        ("event_key", fields.event_key.as_deref()),
    ];
    let event = event.into_iter().filter_map(|(name, value)| Some((name, value?.as_bytes())));
    append(fields.topic.as_deref().unwrap_or(topic.as_str()), event, key)
}

fn append<'a>(
    topic: &'a str,
    event: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    key: Option<IdempotencyKey>,
) -> Result<Append, RecordError> {
    let fields = [("topic", topic.as_bytes())].into_iter().chain(event);
    let fields = fields.map(|(name, value)| (name.as_bytes(), value));
    // It has no place in any log yet.
    let Record { topic, event, .. } = Record::from_fields(0, 0, fields)?;
    Ok(Append::new(topic, event, key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, EventKey};

    fn open(envelope: Envelope, message: &[u8]) -> Result<Append, String> {
        let topic = Topic::new("channel").unwrap();
        envelope.open(&topic, message).map_err(|error| error.to_string())
    }

    #[test]
    fn a_raw_message_is_the_data() {
        for data in ["", "a\r\nb", r#"{"topic":"other"}"#] {
            let append = open(Envelope::Raw, data.as_bytes()).unwrap();
            assert_eq!(append.topic.as_str(), "channel");
            assert_eq!(append.event, Event::new(data));
            assert_eq!(append.key, None);
        }
        assert!(open(Envelope::Raw, b"\xff").unwrap_err().starts_with("data is not UTF-8"));
    }

    #[test]
    fn a_json_message_says_all_that_an_event_has() {
        let message = br#"{"topic":"o\u0072ders","event":"created","data":"a\nb","retry":1500,
            "key":"order-17","colour":"red","event_key":"o-17",
            "attributes":{"role":"admin","level":3,"draft":true}}"#;
        let append = open(Envelope::Json, message).unwrap();
        assert_eq!(append.topic.as_str(), "orders");
        let event = Event::named("created", "a\nb").unwrap();
        let event = event.with_retry(std::time::Duration::from_millis(1_500));
        let event = event.with_key(EventKey::new("o-17").unwrap());
        let event = event.with_attribute("role", "admin").unwrap();
        let event =
            event.with_attribute("level", 3).unwrap().with_attribute("draft", true).unwrap();
        assert_eq!(append.event, event);
        assert_eq!(append.key.unwrap().as_str(), "order-17");
    }

    #[test]
    fn data_that_is_not_text_stays_as_it_is_written() {
        for json in [r#"{"b": 1, "a": [2]}"#, "12345678901234567890123", "true", "[]"] {
            let message = format!(r#"{{"data":{json}}}"#);
            let append = open(Envelope::Json, message.as_bytes()).unwrap();
            assert_eq!(append.event.data(), Some(json));
        }
    }

    #[test]
    fn null_is_as_nothing() {
        let message = br#"{"topic":null,"event":"tick","data":null,"retry":null,"key":null,
            "attributes":null,"event_key":null}"#;
        let append = open(Envelope::Json, message).unwrap();
        assert_eq!((append.topic.as_str(), append.event.data()), ("channel", None));
        assert!(append.event.tags().is_none());
    }

    #[test]
    fn a_message_that_is_not_an_envelope_is_refused_with_the_field_and_the_cause() {
        for (message, start) in [
            ("hello", "envelope is not valid JSON: expected value at line 1 column 1"),
            ("{}", "data is missing, and so is the event name"),
            (r#"{"data":"x","data":"y"}"#, "envelope is not valid JSON: duplicate field `data`"),
            (
                r#"{"data":"x","retry":-1}"#,
                "envelope is not valid JSON: invalid value: integer `-1`",
            ),
            (r#"{"data":"x","event":"a\nb"}"#, "event name contains '\\n' at byte 1"),
            (r#"{"data":"x","event":"tidings:x"}"#, "event name is reserved: "),
            (r#"{"data":"x","key":"a b"}"#, "idempotency key contains ' ' at byte 1"),
            (r#"{"data":"x","event_key":""}"#, "event key is empty"),
            (
                r#"{"data":"x","attributes":{"a":[]}}"#,
                "attributes are not valid: expected text, a whole number or a truth value",
            ),
        ] {
            let error = open(Envelope::Json, message.as_bytes()).unwrap_err();
            assert!(error.starts_with(start), "{message}: {error}");
        }
    }
}
