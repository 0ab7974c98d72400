/// A request as the bytes that are sent. Nothing is validated. Only `host` is added.
///
/// ```
/// use tidings_testkit::wire::Request;
///
/// let request = Request::get("/events?topic=a").header("Last-Event-ID", b"\xff\xfe");
/// assert_eq!(
///     request.bytes(),
///     b"GET /events?topic=a HTTP/1.1\r\nhost: tidings.test\r\nLast-Event-ID: \xff\xfe\r\n\r\n",
/// );
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Request {
    method: String,
    target: String,
    version: &'static str,
    host: String,
    headers: Vec<u8>,
    body: Vec<u8>,
}

impl Request {
    /// A request of any method.
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            version: "1.1",
            host: "tidings.test".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Sets another host.
    pub fn host(self, host: &str) -> Self {
        Self { host: host.to_owned(), ..self }
    }

    /// A GET request.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A POST request with a body, and its length as a header.
    pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", target).body(body)
    }

    /// Adds a body, and its length as a header.
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let length = body.len().to_string();
        Self { body, ..self.header("content-length", length) }
    }

    /// Adds a header line after the others, even if one has the same name.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.extend_from_slice(name.as_bytes());
        self.headers.extend_from_slice(b": ");
        self.headers.extend_from_slice(value.as_ref());
        self.headers.extend_from_slice(b"\r\n");
        self
    }

    /// Makes it a request of HTTP/1.0, which has neither chunks nor persistent connections.
    pub fn http_1_0(mut self) -> Self {
        self.version = "1.0";
        self
    }

    /// The bytes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let Self { method, target, version, host, .. } = self;
        let begin = format!("{method} {target} HTTP/{version}\r\nhost: {host}\r\n");
        [begin.as_bytes(), &self.headers, b"\r\n", &self.body].concat()
    }

    /// Whether the response to it has no body, whatever its headers say.
    pub(crate) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }
}
