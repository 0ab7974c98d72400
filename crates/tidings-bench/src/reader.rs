//! What a client of the load reads: the events in a response.

use memchr::memchr;
use tidings_load::Response;

/// What an event's data begins with, in front of the [`STAMP_DIGITS`] of its time.
pub(crate) const MARK: &str = "{\"t\":";

/// The digits of the time that an event carries.
pub(crate) const STAMP_DIGITS: usize = 14;

/// A longer line is cut off: what matters is at its beginning.
const LINE: usize = 80;

/// Reads the response of one client, in whatever pieces it comes, and counts the events of the
/// load, which begin with the mark. Status events and heartbeats are not counted.
///
/// It is not a complete decoder, which would take longer than many a server that is measured.
#[derive(Debug)]
pub(crate) struct Reader {
    response: Response,
    /// The beginning of a line that has not ended.
    partial: Vec<u8>,
    /// The time in the event that has not ended.
    stamp: Option<u64>,
    events: u64,
    id: Option<Box<str>>,
    keeps_id: bool,
}

impl Reader {
    /// `keeps_id` says whether it remembers the last event's id.
    pub(crate) fn new(keeps_id: bool) -> Self {
        Self {
            response: Response::new(),
            partial: Vec::new(),
            stamp: None,
            events: 0,
            id: None,
            keeps_id,
        }
    }

    /// Whether the head of the response has come.
    pub(crate) fn is_answered(&self) -> bool {
        self.response.head().is_some()
    }

    /// Whether the response has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.response.is_complete()
    }

    /// How many events have come.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// The last id that has come.
    pub(crate) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Reads on. Calls `received` with the time that each event carries. Fails if the response is
    /// not an event stream.
    pub(crate) fn read(
        &mut self,
        mut bytes: &[u8],
        mut received: impl FnMut(u64),
    ) -> Result<(), String> {
        loop {
            let was_answered = self.is_answered();
            let data = self.response.next_data(&mut bytes).map_err(|error| error.to_string())?;
            if let Some(head) = self.response.head().filter(|_| !was_answered)
                && (head.status != 200 || !head.is_event_stream())
            {
                return Err(format!("the response is {} {}", head.status, head.content_type));
            }
            match data {
                Some(data) => self.body(data, &mut received),
                None => return Ok(()),
            }
        }
    }

    fn body(&mut self, mut bytes: &[u8], received: &mut impl FnMut(u64)) {
        while let Some(end) = memchr(b'\n', bytes) {
            if self.partial.is_empty() {
                self.line(&bytes[..end], received);
            } else {
                let mut line = std::mem::take(&mut self.partial);
                keep(&mut line, &bytes[..end]);
                self.line(&line, received);
                line.clear();
                self.partial = line;
            }
            bytes = &bytes[end + 1..];
        }
        keep(&mut self.partial, bytes);
    }

    fn line(&mut self, line: &[u8], received: &mut impl FnMut(u64)) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            if let Some(stamp) = self.stamp.take() {
                self.events += 1;
                received(stamp);
            }
        } else if let Some(data) = line.strip_prefix(b"data:") {
            let data = data.strip_prefix(b" ").unwrap_or(data);
            if let Some(data) = data.strip_prefix(MARK.as_bytes()) {
                let digits = data.get(..STAMP_DIGITS).unwrap_or_default();
                self.stamp = std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok());
            }
        } else if let Some(id) = line.strip_prefix(b"id:").filter(|_| self.keeps_id) {
            let id = id.strip_prefix(b" ").unwrap_or(id);
            self.id = Some(String::from_utf8_lossy(id).into());
        }
    }
}

/// Adds to a line as much as fits.
fn keep(line: &mut Vec<u8>, bytes: &[u8]) {
    let room = LINE.saturating_sub(line.len());
    line.extend_from_slice(&bytes[..room.min(bytes.len())]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

    fn read(body: &str, piece: usize) -> (Reader, Vec<u64>) {
        let mut reader = Reader::new(true);
        let mut stamps = Vec::new();
        for piece in format!("{HEAD}{body}").as_bytes().chunks(piece) {
            reader.read(piece, |stamp| stamps.push(stamp)).expect("an event stream");
        }
        assert_eq!(reader.events(), stamps.len() as u64);
        (reader, stamps)
    }

    #[test]
    fn the_events_of_the_load_are_counted_however_they_are_cut() {
        let body = ": hello\n\nevent: tidings:status\ndata: {\"state\":\"fresh\"}\n\n\
                    id: 1\ndata: {\"t\":10000000000001,\"text\":\"x\"}\n\n\
                    data:{\"t\":10000000000002}\r\n\r\n: heartbeat\n\n\
                    id: a-17\ndata: {\"t\":10000000000003}\n\n\n";
        for piece in 1..body.len() {
            let (reader, stamps) = read(body, piece);
            assert_eq!(stamps, [10000000000001, 10000000000002, 10000000000003], "{piece}");
            assert_eq!(reader.id(), Some("a-17"));
        }
    }

    #[test]
    fn an_event_counts_when_it_is_complete() {
        assert_eq!(read("data: {\"t\":10000000000001}\n", 5).0.events(), 0);
        assert_eq!(read("data: {\"t\":10000000000001}\n\n", 5).0.events(), 1);
    }

    #[test]
    fn a_response_without_events_is_an_error() {
        let not_found = b"HTTP/1.1 404 Not Found\r\n\r\n";
        let outcome = Reader::new(false).read(not_found, |_| ());
        assert_eq!(outcome, Err("the response is 404 ".into()));
    }

    #[test]
    fn the_end_of_the_response_is_noticed() {
        let mut reader = Reader::new(false);
        let response = HEAD.replace("\r\n\r\n", "\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n");
        reader.read(response.as_bytes(), |_| ()).expect("an event stream");
        assert!(reader.has_ended());
    }
}
