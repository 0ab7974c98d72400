use std::error::Error;
use std::fmt;
use std::mem;

use httparse::Status;
use memchr::memchr;

/// A longer head is refused.
const MAX_HEAD_BYTES: usize = 32 * 1024;
const MAX_HEADERS: usize = 64;
/// A longer line between two chunks is refused.
const MAX_LINE_BYTES: usize = 4 * 1024;

/// Why a response is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadResponse {
    /// It is not HTTP/1.1.
    Head,
    /// Its head is longer than 32 KiB.
    HeadTooLong,
    /// It has more than 64 headers.
    TooManyHeaders,
    /// Its `Content-Length` is not a number.
    Length,
    /// Its chunks are malformed.
    Chunks,
}

impl Error for BadResponse {}

impl fmt::Display for BadResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Head => "the response is not HTTP/1.1",
            Self::HeadTooLong => "the head of the response is longer than 32 KiB",
            Self::TooManyHeaders => "the response has more than 64 headers",
            Self::Length => "the content-length of the response is not a number",
            Self::Chunks => "the response has a malformed chunk",
        })
    }
}

/// The head of a [`Response`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Head {
    /// Such as 200.
    pub status: u16,
    /// Empty if there is none.
    pub content_type: String,
    /// Whether the server will close the connection after this response.
    pub close: bool,
}

impl Head {
    /// Whether the content type is `text/event-stream`, with or without parameters.
    #[must_use]
    pub fn is_event_stream(&self) -> bool {
        let essence = self.content_type.split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case("text/event-stream")
    }
}

/// What the next byte of a response belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ResponsePart {
    Head,
    ChunkSize,
    /// The rest of a chunk, in bytes.
    Chunk(u64),
    /// The line break after a chunk.
    ChunkEnd,
    Trailers,
    /// The rest of a body with a length, in bytes.
    Body(u64),
    BodyUntilClose,
    /// Nothing: the response is complete.
    End,
}

/// Reads one response of HTTP/1.1 as it arrives.
///
/// An HTTP client would hold buffers and a task for each connection. This holds a few bytes, copies nothing of the
/// body, and leaves it to the caller when to read: thousands of clients share a core, and some of them must not read.
///
/// ```
/// use tidings_load::Response;
///
/// let mut response = Response::new();
/// let mut bytes = &b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"[..];
/// assert_eq!(response.next_data(&mut bytes), Ok(Some(&b"ok"[..])));
/// assert_eq!(response.head().map(|head| head.status), Some(200));
/// assert!(response.is_complete() && bytes.is_empty());
/// ```
#[derive(Debug)]
pub struct Response {
    next: ResponsePart,
    head: Option<Head>,
    /// The beginning of a head or line that is not complete.
    held: Vec<u8>,
}

impl Default for Response {
    fn default() -> Self {
        Self::new()
    }
}

impl Response {
    /// A response of which nothing has come.
    #[must_use]
    pub fn new() -> Self {
        Self { next: ResponsePart::Head, head: None, held: Vec::new() }
    }

    /// The head, once it is complete.
    #[must_use]
    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// Whether the body is complete. One that lasts until the connection ends never is.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.next == ResponsePart::End
    }

    /// Whether its body lasts until the connection ends.
    pub(crate) fn lasts_until_close(&self) -> bool {
        self.next == ResponsePart::BodyUntilClose
    }

    /// Reads on in `bytes`, up to the end of the next piece of the body, and returns that. `None` when all bytes are
    /// used up. It ignores what comes after the response.
    ///
    /// # Errors
    ///
    /// If the response is malformed.
    pub fn next_data<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, BadResponse> {
        while !bytes.is_empty() {
            match self.next {
                ResponsePart::Head => self.read_head(bytes)?,
                ResponsePart::ChunkSize | ResponsePart::ChunkEnd | ResponsePart::Trailers => {
                    self.read_line(bytes)?
                }
                ResponsePart::Chunk(left) | ResponsePart::Body(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    let (data, rest) = bytes.split_at(here);
                    *bytes = rest;
                    self.next = match (self.next, left - here as u64) {
                        (ResponsePart::Chunk(_), 0) => ResponsePart::ChunkEnd,
                        (ResponsePart::Chunk(_), left) => ResponsePart::Chunk(left),
                        (_, 0) => ResponsePart::End,
                        (_, left) => ResponsePart::Body(left),
                    };
                    return Ok(Some(data));
                }
                ResponsePart::BodyUntilClose => return Ok(Some(mem::take(bytes))),
                ResponsePart::End => *bytes = &[],
            }
        }
        Ok(None)
    }

    fn read_head(&mut self, bytes: &mut &[u8]) -> Result<(), BadResponse> {
        let held = self.held.len();
        self.held.extend_from_slice(bytes);
        let Some((head, body, length)) = parse_head(&self.held)? else {
            *bytes = &[];
            let is_too_long = self.held.len() > MAX_HEAD_BYTES;
            return if is_too_long { Err(BadResponse::HeadTooLong) } else { Ok(()) };
        };
        *bytes = bytes.get(length - held..).unwrap_or_default();
        self.held = Vec::new();
        // After "100 Continue" and its like comes another head.
        if !(100..200).contains(&head.status) {
            (self.head, self.next) = (Some(head), body);
        }
        Ok(())
    }

    fn read_line(&mut self, bytes: &mut &[u8]) -> Result<(), BadResponse> {
        let line_end = memchr(b'\n', bytes);
        let (line, rest) = bytes.split_at(line_end.map_or(bytes.len(), |at| at + 1));
        *bytes = rest;
        self.held.extend_from_slice(line);
        if self.held.len() > MAX_LINE_BYTES {
            return Err(BadResponse::Chunks);
        }
        if line_end.is_none() {
            return Ok(());
        }
        let is_blank = matches!(&*self.held, b"\r\n" | b"\n");
        // To httparse, no digits are a 0.
        let has_digits = self.held.first().is_some_and(u8::is_ascii_hexdigit);
        self.next = match self.next {
            ResponsePart::ChunkSize if has_digits => match httparse::parse_chunk_size(&self.held) {
                Ok(Status::Complete((_, 0))) => ResponsePart::Trailers,
                Ok(Status::Complete((_, size))) => ResponsePart::Chunk(size),
                _ => return Err(BadResponse::Chunks),
            },
            ResponsePart::ChunkEnd if is_blank => ResponsePart::ChunkSize,
            ResponsePart::Trailers if is_blank => ResponsePart::End,
            ResponsePart::Trailers => ResponsePart::Trailers,
            _ => return Err(BadResponse::Chunks),
        };
        self.held.clear();
        Ok(())
    }
}

/// The head, the first part of its body, and the head's length; `None` if it is not complete.
fn parse_head(bytes: &[u8]) -> Result<Option<(Head, ResponsePart, usize)>, BadResponse> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(BadResponse::TooManyHeaders),
        Err(_) => return Err(BadResponse::Head),
    };
    let status = response.code.ok_or(BadResponse::Head)?;
    let value = |name: &str| {
        let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        header.and_then(|header| std::str::from_utf8(header.value).ok()).map(str::trim)
    };
    let has = |name: &str, token: &str| {
        let mut tokens = value(name).unwrap_or_default().split(',');
        tokens.any(|each| each.trim().eq_ignore_ascii_case(token))
    };
    let body = if matches!(status, 204 | 304) {
        ResponsePart::End
    } else if has("transfer-encoding", "chunked") {
        ResponsePart::ChunkSize
    } else if let Some(length) = value("content-length") {
        match length.parse().map_err(|_| BadResponse::Length)? {
            0 => ResponsePart::End,
            length => ResponsePart::Body(length),
        }
    } else {
        ResponsePart::BodyUntilClose
    };
    let content_type = value("content-type").unwrap_or_default().to_owned();
    Ok(Some((Head { status, content_type, close: has("connection", "close") }, body, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKED: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream;charset=utf-8\r\n\
                           transfer-encoding: chunked\r\n\r\n";

    fn read(bytes: &str, size: usize) -> Result<(Response, Vec<u8>), BadResponse> {
        let mut response = Response::new();
        let mut body = Vec::new();
        for mut part in bytes.as_bytes().chunks(size) {
            while let Some(data) = response.next_data(&mut part)? {
                body.extend_from_slice(data);
            }
        }
        Ok((response, body))
    }

    #[test]
    fn a_body_is_the_same_however_the_response_is_cut() {
        let chunked =
            format!("{CHUNKED}5\r\nhello\r\n1;a=b\r\n \r\n0A\r\n0123456789\r\n0\r\nx: y\r\n\r\n");
        let length = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\
                      content-type: text/event-stream\r\ncontent-length: 16\r\n\r\nhello 0123456789";
        let close = "HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream\r\n\r\nhello 0123456789";
        for (bytes, has_end) in [(&*chunked, true), (length, true), (close, false)] {
            for size in 1..=bytes.len() {
                let (response, body) = read(bytes, size).unwrap();
                assert_eq!(body, b"hello 0123456789", "{bytes:?} in pieces of {size}");
                assert_eq!(response.is_complete(), has_end);
                assert!(response.head().unwrap().is_event_stream());
            }
        }
    }

    #[test]
    fn without_its_last_chunk_a_body_is_not_complete() {
        for chunks in ["1\r\na\r\n", "1\r\na\r\n0\r\n"] {
            assert!(!read(&format!("{CHUNKED}{chunks}"), 1).unwrap().0.is_complete(), "{chunks:?}");
        }
    }

    #[test]
    fn a_malformed_response_is_refused() {
        let refusal = |bytes: &str| read(bytes, bytes.len()).unwrap_err();
        assert_eq!(refusal("SSH-2.0-x\r\n"), BadResponse::Head);
        let long = "x".repeat(MAX_HEAD_BYTES);
        assert_eq!(refusal(&format!("HTTP/1.1 200 OK\r\nx: {long}")), BadResponse::HeadTooLong);
        let many = "x: y\r\n".repeat(MAX_HEADERS + 1);
        let many = format!("HTTP/1.1 200 OK\r\n{many}\r\n");
        assert_eq!(refusal(&many), BadResponse::TooManyHeaders);
        let length = "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n";
        assert_eq!(refusal(length), BadResponse::Length);
        for chunk in ["x\r\n", "\r\n", "3\r\nabcd\r\n", "10000000000000000\r\n", ";x\r\n", &long] {
            assert_eq!(refusal(&format!("{CHUNKED}{chunk}")), BadResponse::Chunks, "{chunk:.20}");
        }
    }
}
