//! Properties of the encoder and the decoder, over events and bytes that nobody would write by hand.
//!
//! The decoder is compared with [`reference`], which holds the whole stream, takes the standard step by step and shares
//! no code with it but the replacement of invalid UTF-8.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helper functions too")]

use std::time::Duration;

use proptest::{collection::vec, option, prelude::*};
use tidings::{Comment, Decoder, Event, EventId, EventName};

/// What is left when a stream has ended. All of it is compared.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    messages: Vec<Dispatched>,
    last_event_id: String,
    retry: Option<Duration>,
}

#[derive(Debug, PartialEq)]
struct Dispatched {
    event: String,
    data: String,
    last_event_id: String,
}

fn decode<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut decoder = Decoder::new();
    for chunk in chunks {
        decoder.feed(chunk).unwrap();
    }
    drain(decoder)
}

fn drain(mut decoder: Decoder) -> Outcome {
    let messages = std::iter::from_fn(|| decoder.next_message())
        .map(|message| Dispatched {
            event: message.event().to_owned(),
            data: message.data().to_owned(),
            last_event_id: message.last_event_id().to_owned(),
        })
        .collect();
    Outcome { messages, last_event_id: decoder.last_event_id().to_owned(), retry: decoder.retry() }
}

/// Cuts the bytes into chunks of the given sizes, over and over.
fn cut<'a>(mut bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut sizes = sizes.iter().copied().cycle();
    let mut chunks = Vec::new();
    while !bytes.is_empty() {
        let size = sizes.next().unwrap_or(bytes.len()).min(bytes.len());
        let (chunk, rest) = bytes.split_at(size);
        chunks.push(chunk);
        bytes = rest;
    }
    chunks
}

mod reference {
    use super::{Dispatched, Duration, Outcome};

    /// HTML standard, 9.2.6 "Interpreting an event stream", paragraph by paragraph.
    pub(crate) fn decode(bytes: &[u8]) -> Outcome {
        // "UTF-8 decode" of the Encoding standard, which replaces as `from_utf8_lossy` does.
        let text = String::from_utf8_lossy(bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes));
        let mut outcome = Outcome::default();
        let mut data_buffer = String::new();
        let mut event_type_buffer = String::new();
        let mut last_event_id_buffer = String::new();

        for line in lines(&text) {
            if line.is_empty() {
                outcome.last_event_id.clone_from(&last_event_id_buffer);
                let mut data = std::mem::take(&mut data_buffer);
                let mut event = std::mem::take(&mut event_type_buffer);
                if data.is_empty() {
                    continue;
                }
                if data.ends_with('\n') {
                    data.truncate(data.len() - 1);
                }
                if event.is_empty() {
                    event.push_str("message");
                }
                outcome.messages.push(Dispatched {
                    event,
                    data,
                    last_event_id: last_event_id_buffer.clone(),
                });
                continue;
            }
            let (field, value) = match line.find(':') {
                Some(0) => continue,
                Some(colon) => {
                    let value = &line[colon + 1..];
                    (&line[..colon], value.strip_prefix(' ').unwrap_or(value))
                }
                None => (line.as_str(), ""),
            };
            match field {
                "event" => event_type_buffer = value.to_owned(),
                "data" => {
                    data_buffer.push_str(value);
                    data_buffer.push('\n');
                }
                "id" if !value.contains('\0') => last_event_id_buffer = value.to_owned(),
                "retry" if !value.is_empty() && value.chars().all(|c| c.is_ascii_digit()) => {
                    // All digits, so that only a number too large for the type can fail to parse.
                    let millis = value.parse().unwrap_or(u64::MAX);
                    outcome.retry = Some(Duration::from_millis(millis));
                }
                _ => {}
            }
        }
        outcome
    }

    /// Only lines that have ended: what comes after the last line break is never interpreted.
    fn lines(text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        let mut line = String::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\r' | '\n' => {
                    if c == '\r' && chars.peek() == Some(&'\n') {
                        chars.next();
                    }
                    lines.push(std::mem::take(&mut line));
                }
                c => line.push(c),
            }
        }
        lines
    }
}

/// Any text, thick with the characters that a careless encoder or decoder trips over.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => any::<char>().prop_map(String::from),
        4 => prop::sample::select(vec![
            "\r", "\n", "\r\n", " ", ":", "\0", "\t", "\u{b}", "\u{c}", "\u{85}", "\u{2028}", "\u{2029}", "\u{feff}",
            "data:", "data: x", "event: x", "id: 1", "retry: 1", "\n\n",
        ])
        .prop_map(str::to_owned),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn without(text: &str, refused: &[char]) -> String {
    text.replace(|c| refused.contains(&c), "")
}

fn name() -> impl Strategy<Value = EventName> {
    text().prop_filter_map("a name is not empty", |text| {
        EventName::new(without(&text, &['\r', '\n'])).ok()
    })
}

fn id() -> impl Strategy<Value = EventId> {
    text().prop_map(|text| EventId::new(without(&text, &['\r', '\n', '\0'])).unwrap())
}

fn comment() -> impl Strategy<Value = Comment> {
    text().prop_map(|text| Comment::new(without(&text, &['\r', '\n'])).unwrap())
}

/// Every event there can be: any set of fields but the empty one.
fn event() -> impl Strategy<Value = Event> {
    let wait = || any::<u64>().prop_map(Duration::from_millis);
    let begun = prop_oneof![
        6 => text().prop_map(Event::new),
        1 => wait().prop_map(Event::reconnect_after),
        1 => comment().prop_map(|comment| Event::comment(comment).unwrap()),
    ];
    let more = (option::of(name()), option::of(id()), option::of(wait()), option::of(comment()));
    (begun, more).prop_map(|(event, (name, id, wait, comment))| {
        let event = name.into_iter().fold(event, Event::with_name);
        let event = id.into_iter().fold(event, Event::with_id);
        let event = wait.into_iter().fold(event, Event::with_retry);
        comment.into_iter().fold(event, Event::with_comment)
    })
}

/// Bytes that look enough like a stream to reach every branch of a decoder.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        2 => vec(any::<u8>(), 0..4),
        8 => prop::sample::select(vec![
            &b"\r"[..], b"\n", b"\r\n", b"\n\n", b"\r\r", b":", b": ", b" ", b"\0", b"data", b"event", b"id", b"retry",
            b"data:", b"data: x", b"event:x", b"event: ", b"id: 7", b"id:", b"retry: 15", b"retry:x", b"Data", b"9",
            b"99999999999999999999", b"\xEF\xBB\xBF", b"\xEF\xBB", b"\xEF", b"\xE2\x82\xAC", b"\xE2\x82", b"\xED\xA0",
            b"\x80", b"\xF0\x9F\xA6\x80", b"\xF0\x9F\xA6", b"\xF4\x90", b"\xFF",
        ])
        .prop_map(<[u8]>::to_vec),
    ];
    // Only the very first bytes can be a byte order mark.
    let start = prop::sample::select(vec![&b""[..], b"\xEF\xBB\xBF", b"\xEF\xBB", b"\xEF"]);
    (start, vec(piece, 0..40)).prop_map(|(start, pieces)| [start, &pieces.concat()].concat())
}

fn chunk_sizes() -> impl Strategy<Value = Vec<usize>> {
    // The last size is never 0, so that cutting comes to an end.
    (vec(0_usize..8, 0..6), 1_usize..64).prop_map(|(mut sizes, last)| {
        sizes.push(last);
        sizes
    })
}

fn normalised(data: &str) -> String {
    data.replace("\r\n", "\n").replace('\r', "\n")
}

/// What a client makes of the events, said from their fields alone.
fn expected(events: &[Event]) -> Outcome {
    let mut outcome = Outcome::default();
    for event in events {
        if let Some(id) = event.id() {
            outcome.last_event_id = id.to_string();
        }
        outcome.retry = event.retry_after().or(outcome.retry);
        if event.is_dispatched() {
            outcome.messages.push(Dispatched {
                event: event.name().map_or("message", EventName::as_str).to_owned(),
                data: normalised(event.data().unwrap_or_default()),
                last_event_id: outcome.last_event_id.clone(),
            });
        }
    }
    outcome
}

proptest! {
    // Failures become tests of their own, with a name that says what was wrong.
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn events_one_after_another_are_read_back_as_themselves(events in vec(event(), 0..6), sizes in chunk_sizes()) {
        let wire: Vec<u8> = events.iter().flat_map(Event::encode).collect();
        prop_assert_eq!(decode(cut(&wire, &sizes)), expected(&events));
    }

    #[test]
    fn an_encoding_has_the_lines_of_its_fields_and_no_other(event in event()) {
        let wire = event.encode();
        let wire = std::str::from_utf8(&wire).unwrap();
        prop_assert!(!wire.contains('\r'));

        let mut expected = Vec::new();
        expected.extend(event.comment_text().map(|_| ""));
        expected.extend(event.name().map(|_| "event"));
        expected.extend(event.retry_after().map(|_| "retry"));
        if event.is_dispatched() {
            let data = normalised(event.data().unwrap_or_default());
            expected.extend(data.split('\n').map(|_| "data"));
        }
        expected.extend(event.id().map(|_| "id"));
        let lines = wire.strip_suffix("\n\n").unwrap().split('\n');
        let fields: Vec<_> = lines.map(|line| line.split_once(':').map_or(line, |(field, _)| field)).collect();
        prop_assert_eq!(fields, expected);
    }

    #[test]
    fn any_bytes_are_read_as_the_standard_reads_them(stream in stream(), sizes in chunk_sizes()) {
        let expected = reference::decode(&stream);
        prop_assert_eq!(&decode([&stream[..]]), &expected);
        prop_assert_eq!(&decode(stream.chunks(1)), &expected);
        prop_assert_eq!(&decode(cut(&stream, &sizes)), &expected);
    }

    #[test]
    fn the_limit_is_reached_at_the_same_byte_however_the_stream_is_cut(
        stream in stream(),
        sizes in chunk_sizes(),
        limit in 0_usize..24,
    ) {
        let limited = |chunks: Vec<&[u8]>| {
            let mut decoder = Decoder::new().max_event_bytes(limit);
            let outcome = chunks.into_iter().try_for_each(|chunk| decoder.feed(chunk));
            (outcome, drain(decoder))
        };
        let whole = limited(vec![&stream]);
        prop_assert_eq!(&limited(stream.chunks(1).collect()), &whole);
        prop_assert_eq!(&limited(cut(&stream, &sizes)), &whole);
    }
}
