//! From an event to the bytes on the wire (HTML standard, 9.2.5 "Parsing an event stream").
//!
//! Every line is `name: value`, or `name:` where the value is empty. The space is always written: a client removes one,
//! so a value that begins with a space keeps it.

use bytes::Bytes;
use memchr::memchr2;

use crate::Event;

const ID: &[u8] = b"id:";
const COMMENT: &[u8] = b":";
const NAME: &[u8] = b"event:";
const RETRY: &[u8] = b"retry:";
const DATA: &[u8] = b"data:";

impl Event {
    /// The event as it is sent, with the blank line that ends it.
    ///
    /// The order of the lines is id, comment, name, reconnection time, data. Encodings can be joined: a stream is
    /// nothing but one encoded event after another.
    ///
    /// ```
    /// use tidings::Event;
    ///
    /// let event = Event::new("one\r\n two\n");
    /// assert_eq!(event.encode(), "data: one\ndata:  two\ndata:\n\n");
    /// ```
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let id = self.id().map(|id| id.as_str());
        let id_len = id.map_or(0, |id| line_len(ID, id.as_bytes()));
        let mut out = Vec::with_capacity(id_len + encoded_len_without_id(self));
        if let Some(id) = id {
            encode_id(id, &mut out);
        }
        encode_without_id(self, &mut out);
        out.into()
    }
}

/// Appends the `id` line. `id` is the text of an [`EventId`](crate::EventId), or such as could be one.
pub(crate) fn encode_id(id: &str, out: &mut Vec<u8>) {
    write_line(ID, id.as_bytes(), out);
}

/// Appends all but the `id` line, with the blank line that ends the event.
///
/// Reserves nothing: the caller, who knows what else goes into `out`, does that once with
/// [`encoded_len_without_id`].
pub(crate) fn encode_without_id(event: &Event, out: &mut Vec<u8>) {
    for_each_line(event, |name, value| write_line(name, value, out));
    out.push(b'\n');
}

/// The exact number of bytes that [`encode_without_id`] appends.
pub(crate) fn encoded_len_without_id(event: &Event) -> usize {
    let mut len = 1;
    for_each_line(event, |name, value| len += line_len(name, value));
    len
}

/// The lines of an event but for its id, in the order in which they are sent.
///
/// Measuring and writing both go through here, which is why the measure is exact. Looking for the line breaks twice
/// costs less than growing the buffer once.
fn for_each_line(event: &Event, mut line: impl FnMut(&'static [u8], &[u8])) {
    if let Some(comment) = event.comment_text() {
        line(COMMENT, comment.as_str().as_bytes());
    }
    if let Some(name) = event.name() {
        line(NAME, name.as_str().as_bytes());
    }
    if let Some(millis) = event.retry_millis() {
        line(RETRY, itoa::Buffer::new().format(millis).as_bytes());
    }
    if event.is_dispatched() {
        // A name without data is sent with empty data: clients dispatch no event without a `data` line.
        let data = event.data().unwrap_or_default().as_bytes();
        for value in (Lines { rest: Some(data) }) {
            line(DATA, value);
        }
    }
}

fn line_len(name: &[u8], value: &[u8]) -> usize {
    let space = usize::from(!value.is_empty());
    name.len() + space + value.len() + 1
}

fn write_line(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    if !value.is_empty() {
        out.push(b' ');
        out.extend_from_slice(value);
    }
    out.push(b'\n');
}

/// The lines of a text: CRLF, LF and CR each end one, and what follows the last break is a line even if it is empty.
///
/// `str::lines` knows no CR and drops a last empty line.
struct Lines<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let text = self.rest.take()?;
        let Some(end) = memchr2(b'\r', b'\n', text) else {
            return Some(text);
        };
        let (line, rest) = text.split_at(end);
        self.rest = rest.strip_prefix(b"\r\n").or_else(|| rest.get(1..));
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Comment, EventId};

    #[track_caller]
    fn encodes_to(event: Event, wire: &str) {
        assert_eq!(event.encode(), wire);
        // A buffer that was measured wrong has grown, or was never filled.
        let buffer = event.encode().try_into_mut().unwrap();
        assert_eq!(buffer.capacity(), wire.len());

        let mut without_id = Vec::new();
        encode_without_id(&event, &mut without_id);
        assert_eq!(encoded_len_without_id(&event), without_id.len());
        assert!(wire.as_bytes().ends_with(&without_id));
    }

    #[test]
    fn fields_are_sent_in_a_fixed_order() {
        let event = Event::named("tick", "1")
            .unwrap()
            .with_retry(Duration::from_secs(3))
            .with_comment(Comment::new("c").unwrap())
            .with_id(EventId::new("7").unwrap());
        encodes_to(event, "id: 7\n: c\nevent: tick\nretry: 3000\ndata: 1\n\n");
    }

    #[test]
    fn each_kind_of_line_break_is_one_line_break() {
        encodes_to(
            Event::new("a\r\nb\nc\rd"),
            "data: a\ndata: b\ndata: c\ndata: d\n\n",
        );
        encodes_to(Event::new("a\n\rb"), "data: a\ndata:\ndata: b\n\n");
        encodes_to(Event::new("a\r\r\nb"), "data: a\ndata:\ndata: b\n\n");
    }

    #[test]
    fn a_trailing_line_break_is_an_empty_last_line() {
        encodes_to(Event::new("a\n"), "data: a\ndata:\n\n");
        encodes_to(Event::new("a\r\n"), "data: a\ndata:\n\n");
        encodes_to(Event::new("\r"), "data:\ndata:\n\n");
    }

    #[test]
    fn leading_spaces_are_kept_apart_from_the_separator() {
        encodes_to(Event::new("  x\n "), "data:   x\ndata:  \n\n");
    }

    #[test]
    fn empty_values_are_sent() {
        encodes_to(Event::new(""), "data:\n\n");
        encodes_to(Event::comment("").unwrap(), ":\n\n");
        encodes_to(
            Event::new("a").with_id(EventId::new("").unwrap()),
            "id:\ndata: a\n\n",
        );
    }

    #[test]
    fn a_name_without_data_is_sent_with_empty_data() {
        let event = Event::comment("c").unwrap();
        let event = event.with_name("tick".parse().unwrap());
        encodes_to(event, ": c\nevent: tick\ndata:\n\n");
    }

    #[test]
    fn fields_that_are_not_dispatched_bring_no_data() {
        let event = Event::reconnect_after(Duration::MAX).with_id(EventId::new("7").unwrap());
        encodes_to(event, "id: 7\nretry: 18446744073709551615\n\n");
    }
}
