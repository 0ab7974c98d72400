//! From the bytes of a stream to the messages that a client dispatches.

mod typed;

use std::{collections::VecDeque, mem, time::Duration};

use bytestring::ByteString;
use memchr::{memchr, memchr2};

use crate::error::DecodeError;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
const DEFAULT_MAX_EVENT_BYTES: usize = 64 * 1024 * 1024;

/// Decodes an event stream that arrives in pieces.
///
/// It follows the HTML standard, 9.2.5 "Parsing an event stream" and 9.2.6 "Interpreting an event stream". How the
/// bytes are cut into chunks makes no difference to what comes out, and the work is proportional to their number.
/// Invalid UTF-8 is read as U+FFFD, as the Encoding standard has it.
///
/// One decoder reads one response. When the response ends, drop the decoder: the standard discards an event that was
/// not ended by a blank line, and its id with it. [`last_event_id`](Self::last_event_id) is then what to send as
/// `Last-Event-ID`.
///
/// ```
/// use tidings::Decoder;
///
/// let mut decoder = Decoder::new();
/// decoder.feed(b"id: 7\nevent: note\nda")?;
/// assert_eq!(decoder.next_message(), None);
///
/// decoder.feed(b"ta: two\r\ndata: lines\r\n\r\n")?;
/// let message = decoder.next_message().unwrap();
/// assert_eq!(message.event(), "note");
/// assert_eq!(message.data(), "two\nlines");
/// assert_eq!(message.last_event_id(), "7");
/// # Ok::<(), tidings::error::DecodeError>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    max_event_bytes: usize,
    failed: bool,
    completed: VecDeque<Message>,
    retry: Option<Duration>,
    last_event_id: ByteString,

    /// How many bytes of a byte order mark the stream began with, as long as it may still turn out to be one.
    byte_order_mark: Option<usize>,
    /// The last byte was a CR: an LF that follows belongs to the same line break.
    after_cr: bool,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,

    // The three buffers of the standard. They hold the current block, except that an id stays until the next one.
    // Data is kept as bytes: a line break cannot be part of a character, so it is enough to decode them all at the end.
    data: Vec<u8>,
    event: ByteString,
    id: ByteString,
    /// The current block has an `id` line.
    has_id: bool,

    work: Work,
}

impl Decoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_event_bytes: DEFAULT_MAX_EVENT_BYTES,
            failed: false,
            completed: VecDeque::new(),
            retry: None,
            last_event_id: ByteString::new(),
            byte_order_mark: Some(0),
            after_cr: false,
            line: Vec::new(),
            data: Vec::new(),
            event: ByteString::new(),
            id: ByteString::new(),
            has_id: false,
            work: Work::default(),
        }
    }

    /// Limits what a server can make the decoder hold for one event: the bytes of its data so far and of the line
    /// that is being received. The default is 64 MiB.
    ///
    /// The event's name and id come on top; each is no longer than a line.
    #[must_use]
    pub fn max_event_bytes(mut self, limit: usize) -> Self {
        self.max_event_bytes = limit;
        self
    }

    /// Takes the next bytes of the stream. What they complete waits in [`next_message`](Self::next_message); take it
    /// out before the next call, for completed messages do not count towards the limit.
    ///
    /// # Errors
    ///
    /// [`DecodeErrorKind::TooLarge`](crate::error::DecodeErrorKind::TooLarge) if an event outgrows
    /// [`max_event_bytes`](Self::max_event_bytes). The decoder has then lost its place in the stream: it drops the
    /// unfinished event, and every later call fails in the same way. Messages completed before can still be taken,
    /// and [`last_event_id`](Self::last_event_id) belongs to the last complete block.
    ///
    /// ```
    /// use tidings::{error::DecodeErrorKind, Decoder};
    ///
    /// let mut decoder = Decoder::new().max_event_bytes(10);
    /// decoder.feed(b"data: 1234\n\n")?;
    /// let error = decoder.feed(b"data: 12345").unwrap_err();
    /// assert_eq!(error.kind(), DecodeErrorKind::TooLarge);
    /// assert_eq!(decoder.next_message().unwrap().data(), "1234");
    /// # Ok::<(), tidings::error::DecodeError>(())
    /// ```
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), DecodeError> {
        if self.failed {
            return Err(DecodeError::too_large(self.max_event_bytes));
        }
        let mut rest = self.skip_byte_order_mark(chunk);
        while !rest.is_empty() {
            if mem::take(&mut self.after_cr)
                && let Some(after_lf) = rest.strip_prefix(b"\n")
            {
                rest = after_lf;
                continue;
            }
            let end = find_line_end(rest, &mut self.work);
            let (part, after) = rest.split_at(end.unwrap_or(rest.len()));
            self.check_room(part.len())?;
            match after.split_first() {
                Some((&line_end, after)) => {
                    self.after_cr = line_end == b'\r';
                    self.end_line(part);
                    rest = after;
                }
                None => {
                    append(&mut self.line, part, &mut self.work);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Takes out the oldest message that is complete.
    pub fn next_message(&mut self) -> Option<Message> {
        self.completed.pop_front()
    }

    /// The id that a client would send as `Last-Event-ID` if the stream ended now; empty if there is none.
    ///
    /// Blocks that dispatch nothing set it too. It is ahead of messages that were not taken out yet; each of those
    /// has its own in [`Message::last_event_id`].
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// How long the server wants clients to wait before they reconnect, if it said so.
    #[must_use]
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Takes a byte order mark off the start of the stream, which may come in several chunks.
    fn skip_byte_order_mark<'a>(&mut self, chunk: &'a [u8]) -> &'a [u8] {
        let Some(seen) = self.byte_order_mark else {
            return chunk;
        };
        let expected = BYTE_ORDER_MARK.iter().skip(seen);
        let matching = expected.zip(chunk).take_while(|(a, b)| a == b).count();
        let (mark, rest) = chunk.split_at(matching);
        let seen = seen + mark.len();
        if seen == BYTE_ORDER_MARK.len() {
            self.byte_order_mark = None;
        } else if rest.is_empty() {
            self.byte_order_mark = Some(seen);
        } else {
            // It only looked like one. What was held back begins the first line.
            self.byte_order_mark = None;
            self.line.extend(BYTE_ORDER_MARK.iter().take(seen));
        }
        rest
    }

    /// Fails if the current line, made longer by `more`, does not fit beside the data.
    fn check_room(&mut self, more: usize) -> Result<(), DecodeError> {
        let held = self.data.len().saturating_add(self.line.len());
        if held.saturating_add(more) <= self.max_event_bytes {
            return Ok(());
        }
        self.failed = true;
        self.line = Vec::new();
        self.data = Vec::new();
        Err(DecodeError::too_large(self.max_event_bytes))
    }

    /// Handles a line whose last bytes are `part`.
    fn end_line(&mut self, part: &[u8]) {
        if self.line.is_empty() {
            self.interpret(part);
            return;
        }
        append(&mut self.line, part, &mut self.work);
        // Taken, not cleared: one long line should not hold its memory for the rest of the stream.
        let line = mem::take(&mut self.line);
        self.interpret(&line);
    }

    fn interpret(&mut self, line: &[u8]) {
        if line.is_empty() {
            self.end_block();
        } else if let Some(value) = value_of(b"data", line) {
            append(&mut self.data, value, &mut self.work);
            append(&mut self.data, b"\n", &mut self.work);
        } else if let Some(value) = value_of(b"event", line) {
            self.event = to_text(value.to_vec(), &mut self.work).into();
        } else if let Some(value) = value_of(b"id", line) {
            self.work.add(value.len());
            if memchr(0, value).is_none() {
                self.id = to_text(value.to_vec(), &mut self.work).into();
                self.has_id = true;
            }
        } else if let Some(value) = value_of(b"retry", line) {
            self.work.add(value.len());
            self.retry = to_millis(value).map(Duration::from_millis).or(self.retry);
        }
        // A comment, or a field that the standard does not know.
    }

    fn end_block(&mut self) {
        self.last_event_id = self.id.clone();
        let has_id = mem::take(&mut self.has_id);
        let event = mem::take(&mut self.event);
        let mut data = mem::take(&mut self.data);
        // Each data line left an LF, so that no LF at all means no data: nothing is dispatched.
        if data.pop().is_none() {
            return;
        }
        self.completed.push_back(Message {
            event: if event.is_empty() { ByteString::from_static("message") } else { event },
            data: to_text(data, &mut self.work),
            last_event_id: self.last_event_id.clone(),
            has_id,
        });
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

/// A message as a client dispatches it (HTML standard, 9.2.6 "Interpreting an event stream").
// No public fields: ids are shared between messages, for a server may set a long one and send many short events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    event: ByteString,
    data: String,
    last_event_id: ByteString,
    has_id: bool,
}

impl Message {
    /// The event's name, `message` if it was sent without one.
    #[must_use]
    pub fn event(&self) -> &str {
        &self.event
    }

    /// The data, its lines joined by LF.
    #[must_use]
    pub fn data(&self) -> &str {
        &self.data
    }

    /// The data, taken out.
    #[must_use]
    pub fn into_data(self) -> String {
        self.data
    }

    /// The last id that was set on the stream, by this event or one before it; empty if there is none.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// The id that this event has set; `None` if it only inherits one.
    ///
    /// ```
    /// use tidings::Decoder;
    ///
    /// let mut decoder = Decoder::new();
    /// decoder.feed(b"id: 7\ndata: a\n\ndata: b\n\n")?;
    /// let ids = std::iter::from_fn(|| decoder.next_message());
    /// let ids: Vec<_> = ids.map(|message| message.id().map(str::to_owned)).collect();
    /// assert_eq!(ids, [Some("7".to_owned()), None]);
    /// # Ok::<(), tidings::error::DecodeError>(())
    /// ```
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.has_id.then_some(&*self.last_event_id)
    }
}

/// The value of a line that has this field name, without the one space that may begin it.
///
/// Only the name is compared, whatever the line's length. A line without a colon is a name with an empty value.
fn value_of<'a>(name: &[u8], line: &'a [u8]) -> Option<&'a [u8]> {
    let rest = line.strip_prefix(name)?;
    if rest.is_empty() {
        return Some(rest);
    }
    let value = rest.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

/// Reads a number that is nothing but ASCII digits. One that is too large is taken for the largest.
fn to_millis(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| byte - b'0')?;
        Some(number.saturating_mul(10).saturating_add(digit.into()))
    })
}

// `from_utf8_lossy` replaces what the Encoding standard replaces: each maximal part of a sequence that cannot be
// completed becomes one U+FFFD. Valid text, the usual case, is checked but not copied.
fn to_text(bytes: Vec<u8>, work: &mut Work) -> String {
    work.add(bytes.len());
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn find_line_end(bytes: &[u8], work: &mut Work) -> Option<usize> {
    let end = memchr2(b'\r', b'\n', bytes);
    work.add(end.unwrap_or(bytes.len()));
    end
}

fn append(buffer: &mut Vec<u8>, bytes: &[u8], work: &mut Work) {
    let capacity = buffer.capacity();
    buffer.reserve(bytes.len());
    if buffer.capacity() != capacity {
        work.add(buffer.len());
    }
    buffer.extend_from_slice(bytes);
    work.add(bytes.len());
}

/// In tests, counts the bytes that are looked at or moved. Elsewhere it is nothing.
#[derive(Debug, Default)]
struct Work {
    #[cfg(test)]
    bytes: usize,
}

impl Work {
    #[inline]
    fn add(&mut self, _bytes: usize) {
        #[cfg(test)]
        {
            self.bytes += _bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn decode(stream: &[u8]) -> Decoder {
        let mut decoder = Decoder::new();
        decoder.feed(stream).unwrap();
        decoder
    }

    #[test]
    fn retry_is_ascii_digits_and_nothing_else() {
        let retry = |stream: &[u8]| decode(stream).retry().map(|wait| wait.as_millis());
        assert_eq!(retry(b"retry: 1500\n"), Some(1500));
        assert_eq!(retry(b"retry:007\n"), Some(7));
        assert_eq!(retry(b"retry: 0\n"), Some(0));
        assert_eq!(retry(b"data\n"), None);
        for refused in ["", "+1", "-1", "1.5", "1x", " 1", "1 ", "0x1", "\u{661}"] {
            let stream = format!("retry: 20\nretry: {refused}\n");
            assert_eq!(retry(stream.as_bytes()), Some(20), "{refused:?}");
        }
    }

    #[test]
    fn invalid_utf8_is_replaced_part_by_part() {
        // The example of the Unicode standard, table 3-8 and its neighbours.
        let mut decoder = decode(
            b"data:\xE1\x80\xE2\xF0\x91\x92\xF1\xBFA\xED\xA0\x80\xC0\xAF\ndata:\xF0\x9F\n\n",
        );
        let expected =
            "\u{fffd}\u{fffd}\u{fffd}\u{fffd}A\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\n\u{fffd}";
        assert_eq!(decoder.next_message().unwrap().data(), expected);
    }

    #[test]
    fn a_decoder_that_overflowed_stays_failed() {
        let mut decoder = Decoder::new().max_event_bytes(8);
        let error = decoder.feed(b"id:1\ndata:a\n\nid:2\ndata:bcd\n:x\n: 3456789").unwrap_err();
        assert_eq!(error.to_string(), "event is larger than the limit of 8 bytes");
        assert_eq!(decoder.feed(b"\n\ndata:c\n\n"), Err(error.clone()));
        assert_eq!(decoder.feed(b""), Err(error));
        assert_eq!(decoder.next_message().unwrap().data(), "a");
        assert_eq!(decoder.next_message(), None);
        assert_eq!(decoder.last_event_id(), "1");
    }

    #[test]
    fn many_lines_of_data_reach_the_limit_together() {
        // Each line leaves "x\n", and the next one needs 6 bytes beside them.
        let accepted = |lines: usize| {
            Decoder::new().max_event_bytes(12).feed("data:x\n".repeat(lines).as_bytes()).is_ok()
        };
        assert!(accepted(4));
        assert!(!accepted(5));
    }

    #[test]
    fn comments_between_events_never_reach_the_limit() {
        let mut decoder = Decoder::new().max_event_bytes(16);
        for _ in 0..100 {
            decoder.feed(b": still here\n").unwrap();
        }
    }

    // A line that comes in pieces is searched once, moved twice (into `line` and `data`), twice more at most by the
    // growth of each of the two, and checked once.
    const MOST_WORK_PER_BYTE: usize = 8;

    /// Feeds the stream in chunks of several sizes and counts the bytes that are looked at or moved.
    #[track_caller]
    fn assert_work_is_linear(stream: &[u8]) {
        for size in [1, 7, 4096, stream.len()] {
            let mut decoder = Decoder::new();
            let mut fed = 0;
            for chunk in stream.chunks(size) {
                decoder.feed(chunk).unwrap();
                fed += chunk.len();
                // At every step, for work that is not linear would not come to an end in a reasonable time.
                let work = decoder.work.bytes;
                assert!(
                    work <= fed * MOST_WORK_PER_BYTE,
                    "{work} for {fed} bytes in chunks of {size}"
                );
            }
            assert!(decoder.next_message().is_some());
        }
    }

    #[test]
    fn the_work_for_one_long_line_is_linear() {
        let mut stream = b"data: ".to_vec();
        stream.resize(10 * 1024 * 1024, b'x');
        stream.extend(b"\n\n");
        assert_work_is_linear(&stream);
    }

    #[test]
    fn the_work_for_many_lines_of_one_event_is_linear() {
        let mut stream = b"data: x\r\n".repeat(100_000);
        stream.extend(b"\r\n");
        assert_work_is_linear(&stream);
    }

    #[test]
    fn many_messages_share_one_long_id() {
        let mut stream = b"id: ".to_vec();
        stream.resize(1024 * 1024, b'x');
        stream.extend(b"\n");
        stream.extend(b"data\n\n".repeat(1000));
        let mut decoder = decode(&stream);
        let first = decoder.next_message().unwrap();
        let second = decoder.next_message().unwrap();
        assert_eq!(first.last_event_id().as_ptr(), second.last_event_id().as_ptr());
    }
}
