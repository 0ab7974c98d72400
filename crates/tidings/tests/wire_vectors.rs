//! The vectors of `wire-vectors.json`, which say what any conforming implementation does.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helper functions too")]

use std::time::Duration;

use serde::Deserialize;
use tidings::{
    Comment, Decoder, Event, EventId, EventName, Message,
    error::{EventError, EventErrorKind, Field, FieldError},
};

// Unknown keys are refused throughout: a vector that this file does not run must not pass for one that does.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    #[serde(rename = "about")]
    _about: String,
    decode: Vec<DecodeVector>,
    encode: Vec<EncodeVector>,
    reject: Vec<RejectVector>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DecodeVector {
    name: String,
    stream: String,
    events: Vec<Expected>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EncodeVector {
    name: String,
    fields: Fields,
    events: Vec<Expected>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RejectVector {
    name: String,
    fields: Fields,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    event: Option<String>,
    data: Option<String>,
    id: Option<String>,
    retry: Option<u64>,
    comment: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    #[serde(default = "message")]
    event: String,
    data: String,
    // Not checked where a vector leaves it out.
    id: Option<String>,
}

fn message() -> String {
    "message".to_owned()
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("wire-vectors.json")).unwrap()
}

fn decode<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Message> {
    let mut decoder = Decoder::new();
    for chunk in chunks {
        decoder.feed(chunk).unwrap();
    }
    std::iter::from_fn(|| decoder.next_message()).collect()
}

#[track_caller]
fn assert_messages(messages: &[Message], expected: &[Expected], context: &str) {
    assert_eq!(messages.len(), expected.len(), "{context}: {messages:?}");
    for (message, expected) in messages.iter().zip(expected) {
        assert_eq!(message.event(), expected.event, "{context}");
        assert_eq!(message.data(), expected.data, "{context}");
        if let Some(id) = &expected.id {
            assert_eq!(message.last_event_id(), id, "{context}");
        }
    }
}

/// Decodes the stream in chunks of several sizes, and a short one cut in two at every byte.
#[track_caller]
fn assert_decodes_to(stream: &[u8], expected: &[Expected], name: &str) {
    for size in [1, 2, stream.len()] {
        let messages = decode(stream.chunks(size));
        assert_messages(&messages, expected, &format!("{name}, chunks of {size}"));
    }
    if stream.len() <= 256 {
        for at in 0..=stream.len() {
            let (head, tail) = stream.split_at(at);
            let messages = decode([head, tail]);
            assert_messages(&messages, expected, &format!("{name}, cut at {at}"));
        }
    }
}

fn parse<T>(text: Option<String>) -> Result<Option<T>, EventError>
where
    T: TryFrom<String, Error = FieldError>,
{
    Ok(text.map(T::try_from).transpose()?)
}

/// There is no way to make an `Event` but through parsed fields, so what is refused is refused here.
fn build(fields: Fields) -> Result<Event, EventError> {
    let event = match (fields.data, parse::<Comment>(fields.comment)?) {
        (Some(data), Some(comment)) => Event::new(data).with_comment(comment),
        (Some(data), None) => Event::new(data),
        (None, Some(comment)) => Event::comment(comment)?,
        (None, None) => Event::reconnect_after(Duration::ZERO),
    };
    let event = parse::<EventName>(fields.event)?.into_iter().fold(event, Event::with_name);
    let event = parse::<EventId>(fields.id)?.into_iter().fold(event, Event::with_id);
    let wait = fields.retry.map(Duration::from_millis);
    Ok(wait.into_iter().fold(event, Event::with_retry))
}

#[test]
fn every_decode_vector_gives_its_events_however_it_is_cut() {
    let vectors = vectors().decode;
    assert!(!vectors.is_empty());
    for vector in vectors {
        assert_decodes_to(vector.stream.as_bytes(), &vector.events, &vector.name);
    }
}

#[test]
fn every_encode_vector_is_read_back_as_its_events() {
    let vectors = vectors().encode;
    assert!(!vectors.is_empty());
    for vector in vectors {
        let event = build(vector.fields).unwrap();
        assert_decodes_to(&event.encode(), &vector.events, &vector.name);
    }
}

#[test]
fn every_reject_vector_is_refused_with_the_field_that_is_wrong() {
    let vectors = vectors().reject;
    assert!(!vectors.is_empty());
    for vector in vectors {
        let given = [
            (vector.fields.event.is_some(), Field::EventName),
            (vector.fields.id.is_some(), Field::EventId),
            (vector.fields.comment.is_some(), Field::Comment),
        ];
        let Err(error) = build(vector.fields) else {
            panic!("{}: accepted", vector.name);
        };
        assert_eq!(error.kind(), EventErrorKind::Field, "{}", vector.name);
        let source = std::error::Error::source(&error).unwrap();
        let source = source.downcast_ref::<FieldError>().unwrap();
        assert!(given.contains(&(true, source.field())), "{}: {error}", vector.name);
    }
}
