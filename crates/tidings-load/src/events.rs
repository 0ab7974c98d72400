//! Events, read from the body of a response as it arrives.
//!
//! It is a second decoder besides the one of `tidings` because it has another job: it borrows what
//! it can, holds nothing between two events, and tells an event that *set* an id from one that has
//! it from the event before. Tests compare the two.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// What a server can make a client hold.
const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;
/// A client that held a long event gives the memory back.
const KEPT_BYTES: usize = 1024;

/// An event longer than 16 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

/// A block: the lines up to a blank one (HTML standard, 9.2.6). Not all of them are events: that
/// takes data.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Block<'a> {
    /// Empty if there is none, which means `message`.
    pub(crate) name: &'a [u8],
    pub(crate) data: Option<Cow<'a, [u8]>>,
    /// Only what this block sets, not what is left from blocks before.
    pub(crate) id: Option<&'a [u8]>,
    /// Milliseconds.
    pub(crate) retry: Option<u64>,
}

/// Cuts a stream into blocks.
#[derive(Debug)]
pub(crate) struct Events {
    /// The beginning of a block whose end has not come yet.
    held: Vec<u8>,
    /// Up to where `held` was searched for its end: the start of a line.
    searched: usize,
    at_start: bool,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self { held: Vec::new(), searched: 0, at_start: true }
    }

    /// Takes the next bytes of the stream, and hands out each block that they complete.
    pub(crate) fn feed(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(Block<'_>),
    ) -> Result<(), TooLong> {
        if self.held.is_empty() {
            let (rest, searched) = self.blocks(bytes, 0, &mut each);
            self.held.extend_from_slice(rest);
            self.searched = searched;
        } else {
            let mut held = std::mem::take(&mut self.held);
            held.extend_from_slice(bytes);
            let (rest, searched) = self.blocks(&held, self.searched, &mut each);
            let used = held.len() - rest.len();
            held.drain(..used);
            if held.capacity() > KEPT_BYTES && held.is_empty() {
                held = Vec::new();
            }
            self.held = held;
            self.searched = searched;
        }
        if self.held.len() > MAX_EVENT_BYTES { Err(TooLong) } else { Ok(()) }
    }

    /// Hands out the complete blocks; returns the rest, and up to where the rest was searched.
    fn blocks<'a>(
        &mut self,
        mut bytes: &'a [u8],
        mut searched: usize,
        each: &mut impl FnMut(Block<'_>),
    ) -> (&'a [u8], usize) {
        loop {
            match block_end(bytes, searched) {
                Ok(end) => {
                    let (mut block, rest) = bytes.split_at(end);
                    if std::mem::take(&mut self.at_start) {
                        block = block.strip_prefix(BYTE_ORDER_MARK).unwrap_or(block);
                    }
                    let block = interpret(block);
                    if block != Block::default() {
                        each(block);
                    }
                    bytes = rest;
                    searched = 0;
                }
                Err(searched) => return (bytes, searched),
            }
        }
    }
}

/// Where the first block ends; or else from where to search on, when there is more.
fn block_end(bytes: &[u8], mut line: usize) -> Result<usize, usize> {
    loop {
        let Some(rest) = bytes.get(line..) else { return Err(line) };
        let Some(length) = memchr2(b'\n', b'\r', rest) else { return Err(line) };
        let after = match rest.get(length..) {
            Some([b'\r', b'\n', ..]) => 2,
            // An LF may follow, which belongs to it. After a blank line that does not matter: it
            // would be one more blank line.
            Some([b'\r']) if length > 0 => return Err(line),
            _ => 1,
        };
        let next = line + length + after;
        if length == 0 {
            return Ok(next);
        }
        line = next;
    }
}

fn interpret(block: &[u8]) -> Block<'_> {
    let mut read = Block::default();
    let mut rest = block;
    while !rest.is_empty() {
        let length = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let (line, after) = rest.split_at(length);
        rest = after.strip_prefix(b"\r\n").or(after.get(1..)).unwrap_or_default();
        let (name, value) = match memchr(b':', line) {
            Some(colon) => {
                let (name, value) = line.split_at(colon);
                let value = value.get(1..).unwrap_or_default();
                (name, value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &b""[..]),
        };
        match name {
            b"data" => match &mut read.data {
                None => read.data = Some(Cow::Borrowed(value)),
                Some(data) => {
                    let data = data.to_mut();
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
            },
            b"event" => read.name = value,
            b"id" if memchr(0, value).is_none() => read.id = Some(value),
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                let digits = std::str::from_utf8(value).unwrap_or_default();
                read.retry = Some(digits.parse().unwrap_or(u64::MAX));
            }
            _ => {}
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tidings::Decoder;

    use super::*;

    /// Name, data and the last id of each event.
    type Seen = Vec<(String, String, String)>;

    fn text(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    fn read(stream: &[u8], size: usize) -> Seen {
        let mut events = Events::new();
        let mut seen = Vec::new();
        let mut last_id = String::new();
        for part in stream.chunks(size) {
            events
                .feed(part, |block| {
                    if let Some(id) = block.id {
                        last_id = text(id);
                    }
                    if let Some(data) = block.data {
                        let name = if block.name.is_empty() { &b"message"[..] } else { block.name };
                        seen.push((text(name), text(&data), last_id.clone()));
                    }
                })
                .unwrap();
        }
        seen
    }

    fn decode(stream: &[u8]) -> Seen {
        let mut decoder = Decoder::new();
        decoder.feed(stream).unwrap();
        std::iter::from_fn(|| decoder.next_message())
            .map(|message| {
                let (name, id) = (message.event().to_owned(), message.last_event_id().to_owned());
                (name, message.into_data(), id)
            })
            .collect()
    }

    #[test]
    fn an_event_without_an_id_sets_none() {
        let mut ids = Vec::new();
        let mut events = Events::new();
        let each = |block: Block<'_>| ids.push(block.id.map(text));
        events.feed(b"id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n", each).unwrap();
        assert_eq!(ids, [Some("1".to_owned()), None, Some(String::new())]);
    }

    #[test]
    fn an_event_is_handed_out_as_soon_as_its_last_byte_is_there() {
        for blank in ["\n\n", "\r\r", "\r\n\r\n"] {
            let stream = format!("data: a{blank}");
            // The LF of a CR LF may be missing.
            let stream = stream.strip_suffix("\r\n").map_or(stream.clone(), |s| format!("{s}\r"));
            assert_eq!(read(stream.as_bytes(), 1).len(), 1, "{blank:?}");
        }
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut events = Events::new();
        let part = vec![b'x'; 1024 * 1024];
        let fed = (0..17).try_for_each(|_| events.feed(&part, |_| {}));
        assert_eq!(fed, Err(TooLong));
    }

    #[test]
    fn retry_is_digits() {
        let mut retries = Vec::new();
        let mut events = Events::new();
        let each = |block: Block<'_>| retries.push(block.retry);
        events.feed(b"retry: 20\n\nretry: 2x\n\nretry: 99999999999999999999\n\n", each).unwrap();
        assert_eq!(retries, [Some(20), Some(u64::MAX)]);
    }

    proptest! {
        #[test]
        fn it_reads_what_the_decoder_of_the_core_reads(
            lines in prop::collection::vec(
                ("\u{feff}?(data|event|id|retry|dat|)(: ?[a-z\u{e9}: ]{0,4})?", "\r|\n|\r\n"),
                0..24,
            ),
            size in 1_usize..20,
        ) {
            let stream: String = lines.into_iter().flat_map(|(line, end)| [line, end]).collect();
            prop_assert_eq!(read(stream.as_bytes(), size), decode(stream.as_bytes()));
        }
    }
}
