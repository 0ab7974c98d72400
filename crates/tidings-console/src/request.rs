use std::fmt;

use tidings::Resume;

/// What the console has to know of an HTTP request.
///
/// ```
/// use tidings_console::Request;
///
/// let request = Request::new("GET", "/console/clients")
///     .query(Some("search=ada"))
///     .header("cookie", b"tidings-console=1790000000.5f3a");
/// ```
#[must_use = "a request is answered by `Console::respond`"]
pub struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) cookies: Vec<&'a [u8]>,
    pub(crate) origin: Option<&'a [u8]>,
    /// `Sec-Fetch-Site`: where the browser says that the request comes from.
    pub(crate) fetch_site: Option<&'a [u8]>,
    pub(crate) is_marked: bool,
    pub(crate) body: &'a [u8],
    pub(crate) resume: Resume,
}

impl<'a> Request<'a> {
    /// What a page of another origin cannot send: the browser would ask the server first, which does not permit it.
    pub(crate) const MARK: &'static str = "x-tidings-console";

    /// The largest body that the console reads, in bytes. A server need not read more.
    pub const MAX_BODY_BYTES: usize = 4 * 1024;

    /// A request with its method and its whole path, without the query.
    pub fn new(method: &'a str, path: &'a str) -> Self {
        Self {
            method,
            path,
            query: None,
            cookies: Vec::new(),
            origin: None,
            fetch_site: None,
            is_marked: false,
            body: &[],
            resume: Resume::new(),
        }
    }

    /// The raw text after the `?`.
    pub fn query(mut self, query: Option<&'a str>) -> Self {
        self.query = query;
        self
    }

    /// A header, whose name may be in any case. To be called for each of them; the console takes what it needs.
    pub fn header(mut self, name: &str, value: &'a [u8]) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "cookie" => self.cookies.push(value),
            "origin" => self.origin = Some(value),
            "sec-fetch-site" => self.fetch_site = Some(value),
            Self::MARK => self.is_marked = true,
            _ => {}
        }
        self
    }

    /// The body.
    pub fn body(mut self, body: &'a [u8]) -> Self {
        self.body = body;
        self
    }

    /// The client's address, and where it left off: for its streams.
    pub fn resume(mut self, resume: Resume) -> Self {
        self.resume = resume;
        self
    }

    /// Whether the browser says that another site's page, or that of a sibling, makes this request.
    pub(crate) fn is_foreign(&self) -> bool {
        self.fetch_site.is_some_and(|site| !matches!(site, b"same-origin" | b"none"))
    }
}

/// Without what is secret.
impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
