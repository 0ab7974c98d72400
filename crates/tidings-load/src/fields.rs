//! What an event's data tells the load generator: when the event was sent, and its number.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::LoadError;

/// Which fields of an event's data are read.
///
/// The data is a JSON object, or begins with a number, which is then the time. A time is a whole
/// number since the Unix epoch; its magnitude tells milliseconds, microseconds and nanoseconds
/// apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Fields {
    /// When the event was sent. Default `at`.
    pub timestamp: String,
    /// The event's number, one more than that of the previous event in its stream. Default `n`.
    pub sequence: String,
    /// The name of a stream with separate numbers, in addition to the event's name. Default
    /// `stream`.
    pub stream: String,
    /// A field and the text that it must have; an event with another text, or without the field,
    /// is foreign. Default none: nothing is foreign.
    pub expected: Option<(String, String)>,
    /// The stream of the load's own publisher.
    pub(crate) published: Option<String>,
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            timestamp: "at".into(),
            sequence: "n".into(),
            stream: "stream".into(),
            expected: None,
            published: None,
        }
    }
}

/// What one event's data says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Microseconds since the Unix epoch.
    pub(crate) at: Option<u64>,
    pub(crate) number: Option<u64>,
    /// A hash of the stream's name.
    pub(crate) stream: u64,
    /// It is of the load's own publisher.
    pub(crate) is_published: bool,
    pub(crate) foreign: bool,
}

impl Fields {
    /// Reads `name=text`, for [`expected`](Self::expected).
    ///
    /// # Errors
    ///
    /// [`LoadErrorKind::Settings`](crate::LoadErrorKind::Settings) if the name or the `=` is missing.
    pub fn parse_expected(text: &str) -> Result<(String, String), LoadError> {
        match text.split_once('=') {
            Some((name, text)) if !name.is_empty() => Ok((name.to_owned(), text.to_owned())),
            _ => Err(LoadError::settings("expect: must be a field and its text, name=text")),
        }
    }

    pub(crate) fn read(&self, name: &str, data: &str) -> Reading {
        let mut reading = Reading {
            at: None,
            number: None,
            stream: hash(HASH_START, name),
            is_published: false,
            foreign: false,
        };
        let mut is_expected = self.expected.is_none();
        let members = Members(|key: &str, value: &str| {
            if key == self.timestamp {
                reading.at = number(value).and_then(micros);
            } else if key == self.sequence {
                reading.number = number(value);
            } else if key == self.stream {
                reading.stream = hash(reading.stream, value);
                reading.is_published = self.published.as_deref() == Some(unquoted(value));
            }
            if let Some((field, expected)) = &self.expected {
                is_expected |= key == field && unquoted(value) == expected;
            }
        });
        // What comes before a mistake in the JSON counts; if it is not an object, nothing does.
        if serde_json::Deserializer::from_str(data).deserialize_map(members).is_err() {
            reading.at = reading.at.or_else(|| number(data).and_then(micros));
        }
        reading.foreign = !is_expected;
        reading
    }
}

/// Hands out the members of a JSON object, values as they are written.
struct Members<F>(F);

impl<'de, F: FnMut(&str, &'de str)> Visitor<'de> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        #[derive(Deserialize)]
        struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

        while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
            (self.0)(&key, value.get());
        }
        Ok(())
    }
}

const HASH_START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a: names are short.
pub(crate) fn hash(start: u64, text: &str) -> u64 {
    // A byte that no text has keeps ("a", "bc") and ("ab", "c") apart.
    text.bytes()
        .chain([0xff])
        .fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

pub(crate) fn hash_of(text: &str) -> u64 {
    hash(HASH_START, text)
}

/// The whole number that the value begins with.
fn number(value: &str) -> Option<u64> {
    let value = unquoted(value).trim_ascii_start().bytes();
    let mut digits = value.take_while(u8::is_ascii_digit).peekable();
    digits.peek()?;
    digits
        .try_fold(0_u64, |number, digit| number.checked_mul(10)?.checked_add((digit - b'0').into()))
}

/// A time since the Unix epoch in microseconds. From 1973 until 5138, the magnitudes of the three
/// units do not overlap.
fn micros(time: u64) -> Option<u64> {
    match time {
        0..100_000_000_000 => None,
        100_000_000_000..100_000_000_000_000 => Some(time * 1000),
        100_000_000_000_000..100_000_000_000_000_000 => Some(time),
        _ => Some(time / 1000),
    }
}

fn unquoted(value: &str) -> &str {
    let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    inner.unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(data: &str) -> Reading {
        Fields::default().read("", data)
    }

    #[test]
    fn the_magnitude_of_a_time_decides_on_its_unit() {
        let micros = Some(1_700_000_000_123_000);
        assert_eq!(read(r#"{"at":1700000000123}"#).at, micros);
        assert_eq!(read(r#"{"at":1700000000123000}"#).at, micros);
        assert_eq!(read(r#"{"at":"1700000000123000999"}"#).at, micros);
        assert_eq!(read("1700000000123000 hello").at, micros);
        assert_eq!(read("1700000000123").at, micros);
        for no_time in ["{\"at\":17}", "17", "", "hello", "{\"at\":null}", "{}", "{\"at\":-5}"] {
            assert_eq!(read(no_time).at, None, "{no_time}");
        }
    }

    #[test]
    fn only_members_of_the_outer_object_count() {
        let data = r#" { "x" : {"n":1,"at":[2,"}"]} , "y\"n":"\\", "n" : 7 , "z":[{"n":8}] } "#;
        assert_eq!(read(data).number, Some(7));
    }

    #[test]
    fn what_comes_before_the_data_is_cut_off_is_read() {
        let data = r#"{"at":1700000000123,"n":7,"s":"a\"b","o":{"a":[1,2]}}"#;
        let readings = (0..data.len()).map(|end| read(&data[..end]).number);
        assert_eq!(readings.max(), Some(Some(7)));
    }

    #[test]
    fn name_and_field_tell_streams_apart() {
        let fields = Fields::default();
        let stream = |name: &str, data: &str| fields.read(name, data).stream;
        assert_eq!(stream("a", r#"{"n":1}"#), stream("a", r#"{"n":2}"#));
        assert_ne!(stream("a", r#"{"n":1}"#), stream("b", r#"{"n":1}"#));
        assert_ne!(stream("a", r#"{"stream":"x"}"#), stream("a", r#"{"stream":"y"}"#));
    }

    #[test]
    fn an_event_without_the_expected_field_is_foreign() {
        let expected = Some(("topic".to_owned(), "load".to_owned()));
        let fields = Fields { expected, ..Fields::default() };
        assert!(!fields.read("", r#"{"topic":"load"}"#).foreign);
        assert!(fields.read("", r#"{"topic":"other"}"#).foreign);
        assert!(fields.read("", "17").foreign);
    }
}
