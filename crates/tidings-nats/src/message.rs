//! Events as messages, and back.
//!
//! The payload is the data. The other fields of an event are headers.

use async_nats::HeaderMap;
use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use tidings::backend::{Append, Record, RecordError};

/// The headers, and the fields of a record that they hold.
const HEADERS: [(&str, &str); 8] = [
    ("Tidings-Event", "event"),
    ("Tidings-Retry", "retry"),
    ("Tidings-Comment", "comment"),
    ("Tidings-Event-Key", "event_key"),
    ("Tidings-Removes-Key", "removes_key"),
    ("Tidings-Is-Last", "is_last"),
    ("Tidings-Attributes", "attributes"),
    (SEEN, "seen"),
];

/// See [`Record::seen`].
const SEEN: &str = "Tidings-Seen";

/// Is `none` for an event without data, which is not the same as empty data.
const DATA: &str = "Tidings-Data";
const NO_DATA: &str = "none";

/// Clients trim the values of headers, and some allow only ASCII.
const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'%');

/// The headers of an event.
pub(crate) fn headers(append: &Append) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (field, value) in append.fields() {
        if let Some((header, _)) = HEADERS.iter().find(|(_, name)| *name == field) {
            headers.insert(*header, utf8_percent_encode(&value, ESCAPED).to_string());
        }
    }
    if append.event.data().is_none() {
        headers.insert(DATA, NO_DATA);
    }
    if let Some(seen) = append.seen {
        headers.insert(SEEN, seen.to_string());
    }
    headers
}

/// The payload of an event.
pub(crate) fn payload(append: &Append) -> Bytes {
    append.event.data().map(|data| Bytes::copy_from_slice(data.as_bytes())).unwrap_or_default()
}

/// The bytes of headers, as a server counts them.
pub(crate) fn size_of_headers(headers: &HeaderMap) -> usize {
    let header = |name: &str, value: &str| name.len() + value.len() + ": \r\n".len();
    let headers = headers.iter().flat_map(|(name, values)| {
        values.iter().map(move |value| header(name.as_ref(), value.as_str()))
    });
    headers.sum()
}

/// Reads an event of a topic, published by a hub or by any client.
pub(crate) fn record(
    position: u64,
    at: u64,
    topic: &str,
    headers: Option<&HeaderMap>,
    payload: &[u8],
) -> Result<Record, RecordError> {
    let is = |name, value: &str| {
        headers.is_some_and(|map| map.get(name).is_some_and(|found| found.as_str() == value))
    };
    let has_data = !payload.is_empty() || !is(DATA, NO_DATA);
    let values = HEADERS.iter().flat_map(|(header, field)| {
        let values = headers.into_iter().flat_map(|map| map.get_all(*header));
        values.map(|value| (*field, percent_decode_str(value.as_str()).collect()))
    });
    let values: Vec<(&str, Vec<u8>)> = values.collect();
    let fields = [("topic", topic.as_bytes())]
        .into_iter()
        .chain(has_data.then_some(("data", payload)))
        .chain(values.iter().map(|(field, value)| (*field, &**value)));
    Record::from_fields(position, at, fields.map(|(field, value)| (field.as_bytes(), value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tidings::{Comment, Event, EventKey, EventName, Topic};

    #[test]
    fn an_event_is_read_as_it_was_written() {
        let named = |name: &str| Event::new("").with_name(EventName::new(name).unwrap());
        let full = named("créé ")
            .with_data("a\r\nb")
            .with_retry(Duration::from_millis(1_500))
            .with_comment(Comment::new(" 100% \t").unwrap())
            .with_key(EventKey::new("ключ \u{3000}").unwrap())
            .with_attribute("role", "a \"b\"\r\n")
            .unwrap();
        for event in [full, named("\u{3000}a\0"), Event::new(""), Event::new("x")] {
            let append = Append::new(Topic::new("t").unwrap(), event, None);
            let (headers, payload) = (headers(&append), payload(&append));
            let record = record(7, 9, "t", Some(&headers), &payload).unwrap();
            assert_eq!((record.position, record.at), (7, 9));
            assert_eq!((record.topic, record.event), (append.topic, append.event));
        }
    }

    #[test]
    fn no_data_is_not_empty_data() {
        let append =
            Record::from_fields(1, 2, [(&b"topic"[..], &b"t"[..]), (b"event", b"tick")]).unwrap();
        let append = Append::new(append.topic, append.event, None);
        let read = record(1, 2, "t", Some(&headers(&append)), b"").unwrap();
        assert_eq!(read.event.data(), None);
        let read = record(1, 2, "t", None, b"").unwrap();
        assert_eq!(read.event, Event::new(""));
    }

    #[test]
    fn a_message_that_is_not_an_event_is_refused() {
        let error = |headers: &[(&str, &str)], payload: &[u8]| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, *value);
            }
            record(1, 2, "t", Some(&map), payload).unwrap_err().to_string()
        };
        assert!(error(&[], b"\xff").starts_with("data is not UTF-8"));
        assert_eq!(
            error(&[("Tidings-Event", "a"), ("Tidings-Event", "b")], b"x"),
            "event is given more than once",
        );
        assert_eq!(
            error(&[("Tidings-Event", "a%0Ab")], b"x"),
            "event name contains '\\n' at byte 1",
        );
    }
}
