//! From an event to the bytes on the wire (HTML standard, 9.2.5 "Parsing an event stream").
//!
//! Every line is `name: value`, or `name:` where the value is empty. The space is always written: a client removes one,
//! so a value that begins with a space keeps it.

use std::time::Duration;

use bytes::Bytes;
use memchr::memchr2;

use crate::Event;
use crate::clock::millis;
use crate::epoch::Epoch;

const ID: &[u8] = b"id:";
const COMMENT: &[u8] = b":";
const NAME: &[u8] = b"event:";
const RETRY: &[u8] = b"retry:";
const DATA: &[u8] = b"data:";

impl Event {
    /// The event as it is sent, with the blank line that ends it.
    ///
    /// The order of the lines is comment, name, reconnection time, data, id. Encodings can be joined: a stream is
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
        let id = self.id().map(|id| id.as_str().as_bytes());
        let mut out = fields_without_id(self, 1 + id.map_or(0, |id| line_len(ID, id)));
        if let Some(id) = id {
            write_line(ID, id, &mut out);
        }
        out.push(b'\n');
        out.into()
    }
}

/// The lines of an event, all but its id and the blank line that ends it, in a buffer with `room` bytes left.
///
/// Everything that takes time is done here, before a published event takes its turn: what is left to do under the
/// journal's lock is to write a number.
pub(crate) fn fields_without_id(event: &Event, room: usize) -> Vec<u8> {
    let mut len = 0;
    for_each_line(event, |name, value| len += line_len(name, value));
    let mut out = Vec::with_capacity(len + room);
    for_each_line(event, |name, value| write_line(name, value, &mut out));
    out
}

/// The same of an event that has no more than `limit` bytes, with its key and attributes.
///
/// # Errors
///
/// How many it has.
pub(crate) fn fields_within(event: &Event, room: usize, limit: usize) -> Result<Vec<u8>, usize> {
    let fields = fields_without_id(event, room);
    let size = fields.len() + event.tags().map_or(0, |tags| tags.size());
    if size > limit { Err(size) } else { Ok(fields) }
}

/// Appends the `id` line of a position.
pub(crate) fn id(epoch: &Epoch, position: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"id: ");
    out.extend_from_slice(epoch.as_str().as_bytes());
    out.push(b'-');
    out.extend_from_slice(itoa::Buffer::new().format(position).as_bytes());
    out.push(b'\n');
}

/// Appends an `id` line that leads to a reset.
pub(crate) fn id_without_position(epoch: &Epoch, out: &mut Vec<u8>) {
    write_line(ID, epoch.id_without_position().as_str().as_bytes(), out);
}

/// Appends a `retry` line, in whole milliseconds.
pub(crate) fn retry(delay: Duration, out: &mut Vec<u8>) {
    write_line(RETRY, itoa::Buffer::new().format(millis(delay)).as_bytes(), out);
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
    use super::*;
    use crate::{Comment, EventId};

    #[track_caller]
    fn encodes_to(event: Event, wire: &str) {
        assert_eq!(event.encode(), wire);
        // A buffer that was measured wrong has grown, or was never filled.
        let buffer = event.encode().try_into_mut().unwrap();
        assert_eq!(buffer.capacity(), wire.len());

        let without_id = fields_without_id(&event, 5);
        assert_eq!(without_id.capacity(), without_id.len() + 5);
        assert!(wire.as_bytes().starts_with(&without_id));
    }

    #[test]
    fn fields_are_sent_in_a_fixed_order() {
        let event = Event::named("tick", "1")
            .unwrap()
            .with_retry(Duration::from_secs(3))
            .with_comment(Comment::new("c").unwrap())
            .with_id(EventId::new("7").unwrap());
        encodes_to(event, ": c\nevent: tick\nretry: 3000\ndata: 1\nid: 7\n\n");
    }

    #[test]
    fn data_is_a_field_for_each_line_whatever_ends_the_lines() {
        for (data, wire) in [
            ("", "data:\n\n"),
            ("a\r\nb\nc\rd", "data: a\ndata: b\ndata: c\ndata: d\n\n"),
            ("a\n\rb", "data: a\ndata:\ndata: b\n\n"),
            ("a\r\r\nb", "data: a\ndata:\ndata: b\n\n"),
            // A line break at the end is an empty last line.
            ("a\n", "data: a\ndata:\n\n"),
            ("a\r\n", "data: a\ndata:\n\n"),
            ("\r", "data:\ndata:\n\n"),
            // Spaces of the data come after that of the separator.
            ("  x\n ", "data:   x\ndata:  \n\n"),
        ] {
            encodes_to(Event::new(data), wire);
        }
    }

    #[test]
    fn an_event_that_is_dispatched_has_data_and_another_has_none() {
        let comment = |text| Event::comment(text).unwrap();
        let [empty, id] = ["", "7"].map(|id| EventId::new(id).unwrap());
        for (event, wire) in [
            (comment(""), ":\n\n"),
            (comment("c").with_name("tick".parse().unwrap()), ": c\nevent: tick\ndata:\n\n"),
            (Event::new("a").with_id(empty), "data: a\nid:\n\n"),
            (
                Event::reconnect_after(Duration::MAX).with_id(id),
                "retry: 18446744073709551615\nid: 7\n\n",
            ),
        ] {
            encodes_to(event, wire);
        }
    }
}
