use httparse::{EMPTY_HEADER, Status};

use super::chunked::Chunked;

/// The head of a response.
#[derive(Debug)]
pub(super) struct Head {
    /// The minor version of HTTP/1.
    pub(super) version: u8,
    pub(super) status: u16,
    /// All header lines in their order, the names in lower case.
    pub(super) headers: Vec<(String, Vec<u8>)>,
}

/// How the end of a body is found (RFC 9112, section 6.3).
#[derive(Debug)]
pub(super) enum Framing {
    Length(usize),
    Chunked(Chunked),
    /// The body ends with the connection.
    Close,
}

impl Head {
    /// Parses a head, if `raw` has a whole one. Returns where it ends, too.
    ///
    /// # Panics
    ///
    /// When it is invalid.
    pub(super) fn parse(raw: &[u8]) -> Option<(usize, Self)> {
        let mut headers = [EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        let Status::Complete(end) = response.parse(raw).expect("the head of a response") else {
            return None;
        };
        let headers = response.headers.iter();
        let head = Self {
            version: response.version.expect("a whole head has a version"),
            status: response.code.expect("a whole head has a status"),
            headers: headers.map(|h| (h.name.to_lowercase(), h.value.to_vec())).collect(),
        };
        Some((end, head))
    }

    /// The value of a header that occurs at most once.
    ///
    /// # Panics
    ///
    /// When it occurs more often, or is not text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|header| header.0 == name);
        let (_, value) = values.next()?;
        assert!(values.next().is_none(), "more than one {name} in {:?}", self.headers);
        Some(std::str::from_utf8(value).expect("a header of text"))
    }

    /// How the body is framed, in the response to a request that may be HEAD.
    pub(super) fn framing(&self, is_head: bool) -> Framing {
        if is_head || matches!(self.status, 100..200 | 204 | 304) {
            return Framing::Length(0);
        }
        match (self.header("transfer-encoding"), self.header("content-length")) {
            (Some("chunked"), None) => Framing::Chunked(Chunked::new()),
            (None, Some(length)) => Framing::Length(length.parse().expect("a content-length")),
            (None, None) => Framing::Close,
            odd => panic!("transfer-encoding and content-length: {odd:?}"),
        }
    }
}
