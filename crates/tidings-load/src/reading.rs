//! What an event's data says to the load generator: when it was sent, and its number.

use serde::{Deserialize, Serialize};

use crate::LoadError;

/// Which fields of an event's data are read.
///
/// The data is a JSON object, or begins with a number, which is then the time. A time is a whole
/// number since the Unix epoch; its magnitude tells milliseconds, microseconds and nanoseconds
/// apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fields {
    /// When the event was sent. Default `at`.
    pub timestamp: String,
    /// The event's number, one more than that of the event before in its stream. Default `n`.
    pub sequence: String,
    /// What tells streams with numbers of their own apart, besides the event's name. Default
    /// `stream`.
    pub stream: String,
    /// A field and the text it must have; events that say otherwise are somebody else's. Default
    /// none: nothing is foreign.
    pub expected: Option<(String, String)>,
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            timestamp: "at".into(),
            sequence: "n".into(),
            stream: "stream".into(),
            expected: None,
        }
    }
}

/// What one event's data says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Microseconds since the Unix epoch.
    pub(crate) at: Option<u64>,
    pub(crate) number: Option<u64>,
    /// A hash of what names the stream.
    pub(crate) stream: u64,
    pub(crate) foreign: bool,
}

impl Fields {
    /// Reads `name=text`, for [`expected`](Self::expected).
    ///
    /// # Errors
    ///
    /// [`LoadErrorKind::Settings`](crate::LoadErrorKind::Settings) if there is no name or no `=`.
    pub fn parse_expected(text: &str) -> Result<(String, String), LoadError> {
        match text.split_once('=') {
            Some((name, text)) if !name.is_empty() => Ok((name.to_owned(), text.to_owned())),
            _ => Err(LoadError::settings("expect: must be a field and its text, name=text")),
        }
    }

    pub(crate) fn read(&self, name: &[u8], data: &[u8]) -> Reading {
        let mut reading =
            Reading { at: None, number: None, stream: hash(HASH_START, name), foreign: false };
        let mut as_expected = self.expected.is_none();
        let is_object = members(data, |key, value| {
            if key == self.timestamp.as_bytes() {
                reading.at = number(value).and_then(micros);
            } else if key == self.sequence.as_bytes() {
                reading.number = number(value);
            } else if key == self.stream.as_bytes() {
                reading.stream = hash(reading.stream, value);
            }
            if let Some((field, expected)) = &self.expected {
                as_expected |= key == field.as_bytes() && unquoted(value) == expected.as_bytes();
            }
        });
        if !is_object {
            reading.at = number(data).and_then(micros);
        }
        reading.foreign = !as_expected;
        reading
    }
}

/// The text of one member of a JSON object.
pub(crate) fn member<'a>(data: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut found = None;
    members(data, |key, value| {
        if key == name.as_bytes() {
            found = Some(unquoted(value));
        }
    });
    found
}

const HASH_START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a: names are short.
pub(crate) fn hash(start: u64, bytes: &[u8]) -> u64 {
    // A byte that no text has keeps ("a", "bc") and ("ab", "c") apart.
    bytes
        .iter()
        .chain(&[0xff])
        .fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

pub(crate) fn hash_of(bytes: &[u8]) -> u64 {
    hash(HASH_START, bytes)
}

/// The whole number that the value begins with.
fn number(value: &[u8]) -> Option<u64> {
    let value = unquoted(value).trim_ascii_start();
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(value.get(..digits)?).ok()?.parse().ok()
}

/// A time since the Unix epoch in microseconds. From 1973 on, and until 5138, the magnitudes of the
/// three units do not touch.
fn micros(time: u64) -> Option<u64> {
    match time {
        0..100_000_000_000 => None,
        100_000_000_000..100_000_000_000_000 => Some(time * 1000),
        100_000_000_000_000..100_000_000_000_000_000 => Some(time),
        _ => Some(time / 1000),
    }
}

fn unquoted(value: &[u8]) -> &[u8] {
    let inner = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    inner.unwrap_or(value)
}

/// Calls `each` with the members of a JSON object, values as they are written, keys without their
/// quotes and not unescaped. False if it is no object. What is inside a value is skipped and not
/// checked: this is for data that comes a hundred thousand times a second.
fn members<'a>(data: &'a [u8], mut each: impl FnMut(&'a [u8], &'a [u8])) -> bool {
    let Some(mut rest) = data.trim_ascii_start().strip_prefix(b"{") else { return false };
    loop {
        rest = rest.trim_ascii_start();
        let Some(key_end) = string_end(rest) else { return true };
        let (key, after) = rest.split_at(key_end);
        let Some(value) = after.trim_ascii_start().strip_prefix(b":") else { return true };
        let value = value.trim_ascii_start();
        let (value, after) = value.split_at(value_end(value));
        each(unquoted(key), value.trim_ascii_end());
        match after.strip_prefix(b",") {
            Some(next) => rest = next,
            None => return true,
        }
    }
}

/// The length of the string that begins here.
fn string_end(bytes: &[u8]) -> Option<usize> {
    bytes.strip_prefix(b"\"")?;
    let mut at = 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes.get(at) == Some(&b'"') {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The length of the value that begins here, up to the comma or bracket behind it.
fn value_end(bytes: &[u8]) -> usize {
    let mut depth = 0_u32;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let rest = bytes.get(at..).unwrap_or_default();
                at += string_end(rest).unwrap_or(rest.len());
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' | b',' if depth == 0 => return at,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(data: &str) -> Reading {
        Fields::default().read(b"", data.as_bytes())
    }

    #[test]
    fn the_unit_of_a_time_is_told_by_its_magnitude() {
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
        assert_eq!(member(data.as_bytes(), "y\\\"n"), Some(&b"\\\\"[..]));
    }

    #[test]
    fn what_is_cut_off_is_no_panic() {
        let data = r#"{"at":1700000000123,"n":7,"s":"a\"b","o":{"a":[1,2]}}"#;
        for end in 0..data.len() {
            read(&data[..end]);
        }
    }

    #[test]
    fn streams_are_told_apart_by_name_and_field() {
        let fields = Fields::default();
        let stream = |name: &str, data: &str| fields.read(name.as_bytes(), data.as_bytes()).stream;
        assert_eq!(stream("a", r#"{"n":1}"#), stream("a", r#"{"n":2}"#));
        assert_ne!(stream("a", r#"{"n":1}"#), stream("b", r#"{"n":1}"#));
        assert_ne!(stream("a", r#"{"stream":"x"}"#), stream("a", r#"{"stream":"y"}"#));
    }

    #[test]
    fn what_does_not_say_what_is_expected_is_foreign() {
        let expected = Some(("topic".to_owned(), "load".to_owned()));
        let fields = Fields { expected, ..Fields::default() };
        assert!(!fields.read(b"", br#"{"topic":"load"}"#).foreign);
        assert!(fields.read(b"", br#"{"topic":"other"}"#).foreign);
        assert!(fields.read(b"", b"17").foreign);
    }
}
