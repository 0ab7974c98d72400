use std::fmt;

use crate::chunked::Chunked;

/// Heads are kept until they are complete; one that is longer is refused.
const MAX_HEAD_BYTES: usize = 32 * 1024;
const MAX_HEADERS: usize = 64;

/// Why a response cannot be read on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BadResponse {
    /// Not HTTP/1.1.
    Head,
    HeadTooLong,
    /// The chunks make no sense.
    Chunks,
}

impl fmt::Display for BadResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Head => "the answer is not HTTP/1.1",
            Self::HeadTooLong => "the answer's head is longer than 32 KiB",
            Self::Chunks => "the chunks of the answer make no sense",
        })
    }
}

/// What the head of a response says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    /// The server wants to close the connection after this response.
    pub(crate) close: bool,
}

impl Head {
    pub(crate) fn is_event_stream(&self) -> bool {
        let essence = self.content_type.split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case("text/event-stream")
    }
}

#[derive(Debug)]
enum Place {
    Head(Vec<u8>),
    Chunked(Chunked),
    Length(u64),
    UntilClose,
}

/// Reads one response of HTTP/1.1 as it arrives.
#[derive(Debug)]
pub(crate) struct Response {
    place: Place,
    head: Option<Head>,
}

impl Response {
    pub(crate) fn new() -> Self {
        Self { place: Place::Head(Vec::new()), head: None }
    }

    /// What the head says, once it is complete.
    pub(crate) fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// Whether the body has come to its end. One that lasts until the connection ends never has.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.place, Place::Chunked(Chunked::Done) | Place::Length(0))
    }

    /// Takes the next bytes, and hands out the parts of the body in them, each with the head.
    pub(crate) fn feed(
        &mut self,
        bytes: &[u8],
        mut body: impl FnMut(&Head, &[u8]),
    ) -> Result<(), BadResponse> {
        if let Place::Head(held) = &mut self.place {
            held.extend_from_slice(bytes);
            let held = std::mem::take(held);
            let Some((head, place, length)) = parse(&held)? else {
                if held.len() > MAX_HEAD_BYTES {
                    return Err(BadResponse::HeadTooLong);
                }
                self.place = Place::Head(held);
                return Ok(());
            };
            self.place = place;
            let rest = held.get(length..).unwrap_or_default();
            // "100 Continue" and its like: the response proper follows.
            if (100..200).contains(&head.status) {
                self.place = Place::Head(Vec::new());
                return if rest.is_empty() { Ok(()) } else { self.feed(rest, body) };
            }
            self.head = Some(head);
            return self.feed_body(rest, &mut body);
        }
        self.feed_body(bytes, &mut body)
    }

    fn feed_body(
        &mut self,
        bytes: &[u8],
        body: &mut impl FnMut(&Head, &[u8]),
    ) -> Result<(), BadResponse> {
        let Some(head) = &self.head else { return Ok(()) };
        match &mut self.place {
            Place::Chunked(chunked) => {
                chunked.feed(bytes, |part| body(head, part)).map_err(|_| BadResponse::Chunks)?;
            }
            Place::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= here as u64;
                body(head, bytes.get(..here).unwrap_or_default());
            }
            Place::UntilClose => body(head, bytes),
            Place::Head(_) => {}
        }
        Ok(())
    }
}

/// The head, how the body is framed, and the head's length; `None` if it is not complete.
fn parse(bytes: &[u8]) -> Result<Option<(Head, Place, usize)>, BadResponse> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
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
    let place = if matches!(status, 204 | 304) {
        Place::Length(0)
    } else if has("transfer-encoding", "chunked") {
        Place::Chunked(Chunked::START)
    } else if let Some(length) = value("content-length") {
        Place::Length(length.parse().map_err(|_| BadResponse::Head)?)
    } else {
        Place::UntilClose
    };
    let content_type = value("content-type").unwrap_or_default().to_owned();
    Ok(Some((Head { status, content_type, close: has("connection", "close") }, place, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], size: usize) -> (Response, Vec<u8>) {
        let mut response = Response::new();
        let mut body = Vec::new();
        for part in bytes.chunks(size) {
            response.feed(part, |_, part| body.extend_from_slice(part)).unwrap();
        }
        (response, body)
    }

    #[test]
    fn every_framing_is_read_however_it_is_cut() {
        let chunked = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream;charset=utf-8\r\n\
                       transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let length = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\
                      content-type: text/event-stream\r\ncontent-length: 3\r\n\r\nabc";
        let close = "HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream\r\n\r\nabc";
        for (bytes, ends) in [(chunked, true), (length, true), (close, false)] {
            for size in 1..=bytes.len() {
                let (response, body) = read(bytes.as_bytes(), size);
                assert_eq!(body, b"abc", "{bytes:?} in pieces of {size}");
                assert_eq!(response.is_done(), ends);
                assert!(response.head().unwrap().is_event_stream());
            }
        }
    }

    #[test]
    fn what_is_not_http_is_refused() {
        let feed = |bytes: &[u8]| Response::new().feed(bytes, |_, _| {});
        assert_eq!(feed(b"SSH-2.0-x\r\n"), Err(BadResponse::Head));
        let long = [b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'x'; MAX_HEAD_BYTES]].concat();
        assert_eq!(feed(&long), Err(BadResponse::HeadTooLong));
    }
}
