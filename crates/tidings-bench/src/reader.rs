//! What a client of the load reads: an HTTP response, its chunks, and the events in them.

use memchr::{memchr, memmem};

/// What an event's data begins with, in front of the [`STAMP_DIGITS`] of its time.
pub(crate) const MARK: &str = "{\"t\":";

/// The digits of the time that an event carries.
pub(crate) const STAMP_DIGITS: usize = 14;

/// No line of which more matters is longer.
const LINE: usize = 80;

/// Reads the response of one client, in whatever pieces it comes, and counts the events of the
/// load. Status events, heartbeats and the like are not counted: only what begins with the mark.
#[derive(Debug)]
pub(crate) struct Reader {
    stage: Stage,
    chunked: bool,
    /// What was read of a head or line that has not ended.
    partial: Vec<u8>,
    /// The time in the event that has not ended.
    stamp: Option<u64>,
    events: u64,
    id: Option<Box<str>>,
    keeps_id: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Head,
    /// What was read of a chunk's size.
    Size(usize),
    /// The rest of the line behind a chunk's size.
    SizeEnd(usize),
    /// How much of the chunk is to come.
    Chunk(usize),
    /// The line end behind a chunk.
    ChunkEnd,
    /// A body without chunks.
    Body,
    /// The body is over.
    End,
}

impl Reader {
    /// A reader that keeps the last event's id, if that is wanted.
    pub(crate) fn new(keeps_id: bool) -> Self {
        Self {
            stage: Stage::Head,
            chunked: false,
            partial: Vec::new(),
            stamp: None,
            events: 0,
            id: None,
            keeps_id,
        }
    }

    /// Whether the head of a response with status 200 was read.
    pub(crate) fn is_answered(&self) -> bool {
        self.stage != Stage::Head
    }

    /// Whether the response is over.
    pub(crate) fn has_ended(&self) -> bool {
        self.stage == Stage::End
    }

    /// How many events were read.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// The last id that was read.
    pub(crate) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Reads on. Calls `received` with the time that each event carries.
    ///
    /// # Errors
    ///
    /// When the response is not one of events: a sentence.
    pub(crate) fn read(
        &mut self,
        mut bytes: &[u8],
        mut received: impl FnMut(u64),
    ) -> Result<(), String> {
        while !bytes.is_empty() {
            bytes = match self.stage {
                Stage::Head => self.head(bytes)?,
                Stage::Size(size) => match bytes[0] {
                    byte if byte.is_ascii_hexdigit() => {
                        let digit = char::from(byte).to_digit(16).unwrap_or(0) as usize;
                        self.stage = Stage::Size(size * 16 + digit);
                        &bytes[1..]
                    }
                    _ => {
                        self.stage = Stage::SizeEnd(size);
                        bytes
                    }
                },
                Stage::SizeEnd(size) => match memchr(b'\n', bytes) {
                    None => &[],
                    Some(end) => {
                        self.stage = if size == 0 { Stage::End } else { Stage::Chunk(size) };
                        &bytes[end + 1..]
                    }
                },
                Stage::Chunk(left) => {
                    let (data, rest) = bytes.split_at(left.min(bytes.len()));
                    self.body(data, &mut received);
                    let left = left - data.len();
                    self.stage = if left == 0 { Stage::ChunkEnd } else { Stage::Chunk(left) };
                    rest
                }
                Stage::ChunkEnd => match memchr(b'\n', bytes) {
                    None => &[],
                    Some(end) => {
                        self.stage = Stage::Size(0);
                        &bytes[end + 1..]
                    }
                },
                Stage::Body => {
                    self.body(bytes, &mut received);
                    &[]
                }
                Stage::End => return Err("there is something behind the response".into()),
            }
        }
        Ok(())
    }

    fn head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], String> {
        let already = self.partial.len();
        self.partial.extend_from_slice(bytes);
        let Some(end) = memmem::find(&self.partial, b"\r\n\r\n") else { return Ok(&[]) };
        let head = String::from_utf8_lossy(&self.partial[..end]).to_ascii_lowercase();
        if !head.starts_with("http/1.1 200") {
            return Err(format!("the answer is {}", head.lines().next().unwrap_or_default()));
        }
        self.chunked = head.contains("transfer-encoding: chunked");
        self.stage = if self.chunked { Stage::Size(0) } else { Stage::Body };
        // Memory that is held for each of many clients.
        self.partial = Vec::new();
        Ok(&bytes[end + 4 - already..])
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

/// Adds to a line what matters of it.
fn keep(line: &mut Vec<u8>, bytes: &[u8]) {
    let room = LINE.saturating_sub(line.len());
    line.extend_from_slice(&bytes[..room.min(bytes.len())]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

    fn stamps(response: &str, piece: usize) -> Vec<u64> {
        let mut reader = Reader::new(true);
        let mut stamps = Vec::new();
        for piece in response.as_bytes().chunks(piece) {
            reader.read(piece, |stamp| stamps.push(stamp)).expect("a response of events");
        }
        assert_eq!(reader.events(), stamps.len() as u64);
        stamps
    }

    #[test]
    fn events_are_counted_wherever_reads_and_chunks_are_cut() {
        let body = ": hello\n\nevent: tidings:status\ndata: {\"state\":\"fresh\"}\n\n\
                    id: 1\ndata: {\"t\":10000000000001,\"text\":\"x\"}\n\n\
                    data:{\"t\":10000000000002}\r\n\r\n: heartbeat\n\n\
                    data: {\"t\":10000000000003}\n\n\n";
        for chunk in 1..body.len() {
            let mut response = CHUNKED.to_owned();
            for chunk in body.as_bytes().chunks(chunk) {
                let text = std::str::from_utf8(chunk).expect("it is ASCII");
                response += &format!("{:X}\r\n{text}\r\n", chunk.len());
            }
            for piece in [1, 2, 3, 7, 64, response.len()] {
                let expected = [10000000000001, 10000000000002, 10000000000003];
                assert_eq!(stamps(&response, piece), expected, "{chunk} {piece}");
            }
        }
    }

    #[test]
    fn an_event_counts_when_it_is_whole() {
        let head = "HTTP/1.1 200 OK\r\n\r\n";
        assert_eq!(stamps(&format!("{head}data: {{\"t\":10000000000001}}\n"), 5), [0; 0]);
        assert_eq!(stamps(&format!("{head}data: {{\"t\":10000000000001}}\n\n"), 5).len(), 1);
    }

    #[test]
    fn the_last_id_is_kept() {
        let mut reader = Reader::new(true);
        let response = format!("{CHUNKED}6\r\nid: a-\r\n4\r\n17\n\n\r\n");
        reader.read(response.as_bytes(), |_| ()).expect("a response of events");
        assert_eq!(reader.id(), Some("a-17"));
    }

    #[test]
    fn another_status_than_200_is_an_error() {
        let outcome = Reader::new(false).read(b"HTTP/1.1 404 Not Found\r\n\r\n", |_| ());
        assert_eq!(outcome, Err("the answer is http/1.1 404 not found".into()));
    }

    #[test]
    fn the_end_of_the_response_is_noticed() {
        let mut reader = Reader::new(false);
        reader.read(format!("{CHUNKED}0\r\n").as_bytes(), |_| ()).expect("a response");
        assert!(reader.has_ended());
    }
}
