use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Uri};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::{LoadError, LoadErrorKind};

/// The headers of a client of an event stream.
const ACCEPT: &[(&str, &str)] = &[("Accept", "text/event-stream"), ("Cache-Control", "no-cache")];

const LAST_EVENT_ID: &str = "Last-Event-ID";

/// How long one of several addresses may take to accept a connection.
const TRY_LIMIT: Duration = Duration::from_secs(2);

/// Where the clients connect to: an `http://` URL, and the headers of every request.
///
/// ```
/// use tidings_load::Target;
///
/// let target = Target::parse("http://127.0.0.1:3000/events?topic=load")?
///     .header("Authorization", "Bearer abc")?;
/// assert_eq!(target.to_string(), "http://127.0.0.1:3000/events?topic=load");
///
/// let error = Target::parse("https://example.com/").unwrap_err();
/// assert_eq!(error.to_string(), "url: https is not supported, only http:// is");
/// # Ok::<(), tidings_load::LoadError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    /// The `Host` header.
    authority: String,
    path_and_query: String,
    headers: Vec<(String, String)>,
}

impl Target {
    /// Parses a URL such as `http://127.0.0.1:3000/events?topic=load`. The default port is 80; a
    /// fragment is dropped.
    ///
    /// # Errors
    ///
    /// [`LoadErrorKind::Settings`] if it is not an `http://` URL with a host, or has a user name or
    /// characters that a request line cannot have.
    pub fn parse(url: &str) -> Result<Self, LoadError> {
        let refuse = |cause: &str| LoadError::settings(format!("url: {cause}"));
        match url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase()).as_deref() {
            Some("http") => {}
            Some("https") => return Err(refuse("https is not supported, only http:// is")),
            _ => return Err(refuse("must begin with http://")),
        }
        if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            let cause = "spaces, control and non-ASCII characters must be percent-encoded";
            return Err(refuse(cause));
        }
        let no_host = || refuse("must have a host, and a port between 1 and 65535 or none");
        let uri: Uri = url.parse().map_err(|_| no_host())?;
        let authority = uri.authority().ok_or_else(no_host)?;
        if authority.as_str().contains('@') {
            return Err(refuse("a user name is not supported; use a header"));
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        // A port that is not a number, or too large, is no port to `Uri`.
        let has_port = authority.as_str().len() > authority.host().len();
        let port = if has_port { authority.port_u16().unwrap_or(0) } else { 80 };
        if host.is_empty() || port == 0 {
            return Err(no_host());
        }
        let path_and_query = uri.path_and_query().map_or("/", |path| path.as_str());
        let path_and_query = match path_and_query.strip_prefix('?') {
            Some(query) => format!("/?{query}"),
            None => path_and_query.to_owned(),
        };
        let authority = authority.as_str().to_owned();
        Ok(Self { host, port, authority, path_and_query, headers: Vec::new() })
    }

    /// Adds a header to every request. It replaces `Host`, `Accept` or `Cache-Control`, which are
    /// otherwise sent with their defaults. A `Last-Event-ID` is sent until the stream sets an id.
    ///
    /// # Errors
    ///
    /// [`LoadErrorKind::Settings`] if HTTP does not allow the name or the value.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, LoadError> {
        if HeaderName::from_bytes(name.as_bytes()).is_err() {
            return Err(LoadError::settings(format!("header: {name:?} is not a header's name")));
        }
        if HeaderValue::from_str(value).is_err() {
            let message = format!("header: the value of {name} has a control character");
            return Err(LoadError::settings(message));
        }
        self.headers.push((name.to_owned(), value.trim().to_owned()));
        Ok(self)
    }

    /// As [`header`](Self::header), from a line `Name: value`.
    ///
    /// # Errors
    ///
    /// [`LoadErrorKind::Settings`] if there is no colon, and as `header`.
    pub fn header_line(self, line: &str) -> Result<Self, LoadError> {
        let Some((name, value)) = line.split_once(':') else {
            let message = format!("header: {line:?} must be a name and its value, 'Name: value'");
            return Err(LoadError::settings(message));
        };
        self.header(name, value)
    }

    /// The address to connect to. If the name has several, as `localhost` may, it is the first one
    /// that accepts a connection, or else the first one.
    ///
    /// # Errors
    ///
    /// [`LoadErrorKind::Unreachable`] if the host's name is unknown.
    pub async fn resolve(&self) -> Result<SocketAddr, LoadError> {
        let unknown = || format!("url: the host {} is unknown", self.host);
        let found = lookup_host((self.host.as_str(), self.port)).await.map_err(|error| {
            LoadError::new(LoadErrorKind::Unreachable, unknown()).with_source(error)
        })?;
        let found: Vec<_> = found.collect();
        let Some(first) = found.first() else {
            return Err(LoadError::new(LoadErrorKind::Unreachable, unknown()));
        };
        if found.len() > 1 {
            for address in &found {
                if let Ok(Ok(_)) = timeout(TRY_LIMIT, TcpStream::connect(address)).await {
                    return Ok(*address);
                }
            }
        }
        Ok(*first)
    }

    /// A whole `GET`.
    pub(crate) fn get(&self, last_id: &str) -> Vec<u8> {
        (self.head("GET", ACCEPT, last_id) + "\r\n").into_bytes()
    }

    /// A `GET` over HTTP/2.
    pub(crate) fn get_http2(&self, last_id: &str) -> Result<http::Request<()>, http::Error> {
        let host = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
        let authority = host.map_or(&self.authority, |(_, host)| host);
        let mut request = http::Request::get(format!("http://{authority}{}", self.path_and_query));
        for (name, value) in self.all_headers(ACCEPT, last_id) {
            // The URL has it already.
            if !name.eq_ignore_ascii_case("host") {
                request = request.header(name, value);
            }
        }
        request.body(())
    }

    /// A whole `POST` of `body`.
    pub(crate) fn post(&self, body: &[u8]) -> Vec<u8> {
        let head = self.head("POST", &[("Content-Type", "application/json")], "");
        let mut request = format!("{head}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
        request.extend_from_slice(body);
        request
    }

    fn head(
        &self,
        method: &str,
        defaults: &[(&'static str, &'static str)],
        last_id: &str,
    ) -> String {
        let mut head = format!("{method} {} HTTP/1.1\r\n", self.path_and_query);
        let host = [("Host", self.authority.as_str())].into_iter();
        let host = host.filter(|(name, _)| !self.replaces(name));
        for (name, value) in host.chain(self.all_headers(defaults, last_id)) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head
    }

    /// The defaults that are not replaced, the target's own headers, and the id, if there is one.
    fn all_headers<'a>(
        &'a self,
        defaults: &'a [(&'static str, &'static str)],
        last_id: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        let defaults = defaults.iter().copied().filter(|(name, _)| !self.replaces(name));
        let id = (!last_id.is_empty()).then_some((LAST_EVENT_ID, last_id));
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let is_sent = move |name: &str| id.is_none() || !name.eq_ignore_ascii_case(LAST_EVENT_ID);
        defaults.chain(own.filter(move |(name, _)| is_sent(name))).chain(id)
    }

    fn replaces(&self, name: &str) -> bool {
        self.headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path_and_query)
    }
}

impl FromStr for Target {
    type Err = LoadError;

    fn from_str(url: &str) -> Result<Self, LoadError> {
        Self::parse(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refusal(url: &str) -> String {
        Target::parse(url).unwrap_err().to_string()
    }

    #[test]
    fn a_url_is_read_with_and_without_its_parts() {
        let request =
            |url: &str| String::from_utf8(Target::parse(url).unwrap().get("")).expect("it is text");
        assert!(request("http://a").starts_with("GET / HTTP/1.1\r\nHost: a\r\n"));
        assert!(request("HTTP://a:8080?x=1#y").starts_with("GET /?x=1 HTTP/1.1\r\nHost: a:8080"));
        assert!(request("http://[::1]:3000/e").starts_with("GET /e HTTP/1.1\r\nHost: [::1]:3000"));
        assert_eq!(Target::parse("http://[::1]/").unwrap().host, "::1");
        assert_eq!(Target::parse("http://a").unwrap().port, 80);
    }

    #[test]
    fn a_bad_url_is_refused_with_its_cause() {
        assert_eq!(refusal("127.0.0.1:3000"), "url: must begin with http://");
        assert_eq!(refusal("ftp://a/"), "url: must begin with http://");
        assert_eq!(refusal("https://a/"), "url: https is not supported, only http:// is");
        assert_eq!(refusal("http://u:p@a/"), "url: a user name is not supported; use a header");
        for url in ["http://", "http://:80/", "http://a:0/", "http://a:x/", "http://[::1/"] {
            let cause = "url: must have a host, and a port between 1 and 65535 or none";
            assert_eq!(refusal(url), cause, "{url}");
        }
        let cause = "url: spaces, control and non-ASCII characters must be percent-encoded";
        assert_eq!(refusal("http://a/b c"), cause);
    }

    #[tokio::test]
    async fn the_first_of_several_addresses_that_answers_is_used() {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let target = Target::parse(&format!("http://localhost:{}/", address.port())).unwrap();
        let resolved = tidings_testkit::limit::within("the address", target.resolve()).await;
        assert_eq!(resolved.unwrap(), address);
    }

    #[test]
    fn headers_are_sent_and_cannot_break_the_request() {
        let target = Target::parse("http://a/").unwrap();
        let sent = target.clone().header("accept", " x ").unwrap().get("7");
        let sent = String::from_utf8(sent).unwrap();
        assert!(sent.contains("accept: x\r\n") && !sent.contains("text/event-stream"), "{sent}");
        assert!(sent.ends_with("Last-Event-ID: 7\r\n\r\n"), "{sent}");
        let first = target.clone().header("last-event-id", "3").unwrap();
        let first = |last_id| String::from_utf8(first.get(last_id)).unwrap();
        assert!(first("").ends_with("last-event-id: 3\r\n\r\n"), "{}", first(""));
        assert_eq!(first("7").to_lowercase().matches("last-event-id").count(), 1, "{}", first("7"));
        let other = target.clone().header("host", "b:1").unwrap().get_http2("7").unwrap();
        assert_eq!(other.uri().to_string(), "http://b:1/");
        assert_eq!((other.headers().get("host"), other.headers().len()), (None, 3));
        assert!(target.clone().header("a b", "x").is_err());
        assert!(target.clone().header("", "x").is_err());
        assert!(target.clone().header("a", "x\r\ny: z").is_err());
        let line = target.clone().header_line("a: b").unwrap();
        assert_eq!(line, target.clone().header("a", "b").unwrap());
        assert!(target.header_line("nonsense").is_err());
    }
}
