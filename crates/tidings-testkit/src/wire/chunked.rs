use bytes::{Buf, BytesMut};
use httparse::{Status, parse_chunk_size};

/// Decodes chunked framing (RFC 9112, section 7.1) of a body that arrives in pieces.
#[derive(Debug)]
pub(crate) struct Chunked(ChunkPart);

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
enum ChunkPart {
    Size,
    Data(u64),
    /// The line end after a chunk's data.
    DataEnd,
    Trailer,
    Done,
}

impl Chunked {
    pub(crate) fn new() -> Self {
        Self(ChunkPart::Size)
    }

    /// Whether the terminating chunk has come.
    pub(crate) fn is_done(&self) -> bool {
        self.0 == ChunkPart::Done
    }

    /// Decodes bytes from `raw` into `body`, until `body` has `limit` bytes.
    ///
    /// # Panics
    ///
    /// When the framing is invalid.
    pub(crate) fn decode(&mut self, raw: &mut BytesMut, body: &mut Vec<u8>, limit: usize) {
        loop {
            match self.0 {
                ChunkPart::Size => match parse_chunk_size(raw).expect("the size of a chunk") {
                    Status::Complete((end, size)) => {
                        raw.advance(end);
                        self.0 = if size == 0 { ChunkPart::Trailer } else { ChunkPart::Data(size) };
                    }
                    Status::Partial => return,
                },
                ChunkPart::Data(left) => {
                    let room = limit.saturating_sub(body.len()).min(raw.len());
                    let take = usize::try_from(left).map_or(room, |left| left.min(room));
                    body.extend_from_slice(&raw.split_to(take));
                    let left = left - take as u64;
                    self.0 = if left == 0 { ChunkPart::DataEnd } else { ChunkPart::Data(left) };
                    if left > 0 {
                        return;
                    }
                }
                ChunkPart::DataEnd => match line(raw) {
                    Some(line) => {
                        assert!(line.is_empty(), "a chunk is followed by {line:?}");
                        self.0 = ChunkPart::Size;
                    }
                    None => return,
                },
                ChunkPart::Trailer => match line(raw) {
                    Some(line) if line.is_empty() => self.0 = ChunkPart::Done,
                    Some(_) => {}
                    None => return,
                },
                ChunkPart::Done => return,
            }
        }
    }
}

/// Removes a whole line, and returns it without its end.
fn line(raw: &mut BytesMut) -> Option<BytesMut> {
    let end = raw.windows(2).position(|pair| pair == b"\r\n")?;
    let line = raw.split_to(end);
    raw.advance(2);
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIRE: &[u8] = b"5\r\nhello\r\nA;x=y\r\n, \r\nworld!\r\n0\r\nTrailer: x\r\n\r\nHTTP/1.1";

    #[test]
    fn pieces_of_any_size_give_the_same_body() {
        for size in 1..=WIRE.len() {
            let (mut chunked, mut raw, mut body) = (Chunked::new(), BytesMut::new(), Vec::new());
            for piece in WIRE.chunks(size) {
                raw.extend_from_slice(piece);
                chunked.decode(&mut raw, &mut body, usize::MAX);
            }
            assert!(chunked.is_done());
            assert_eq!(body, b"hello, \r\nworld!");
            assert_eq!(raw, &b"HTTP/1.1"[..], "what follows is not consumed");
        }
    }

    #[test]
    fn a_limit_stops_within_a_chunk() {
        for limit in 0..=15 {
            let (mut chunked, mut raw) = (Chunked::new(), BytesMut::from(WIRE));
            let mut body = Vec::new();
            chunked.decode(&mut raw, &mut body, limit);
            assert_eq!(body, b"hello, \r\nworld!"[..limit]);
            chunked.decode(&mut raw, &mut body, usize::MAX);
            assert!(chunked.is_done());
            assert_eq!(body, b"hello, \r\nworld!");
        }
    }

    #[test]
    fn a_body_without_the_last_line_is_not_done() {
        let whole = WIRE.len() - b"HTTP/1.1".len();
        let (mut chunked, mut raw) = (Chunked::new(), BytesMut::from(&WIRE[..whole - 1]));
        chunked.decode(&mut raw, &mut Vec::new(), usize::MAX);
        assert!(!chunked.is_done());
    }
}
