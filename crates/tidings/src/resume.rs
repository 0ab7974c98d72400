mod subscribe;

use std::net::SocketAddr;

use crate::last_event_id::LastEventId;
use crate::response::ErrorFormat;

/// What a request says about its client: where it left off, its address, and in which form it wants errors.
///
/// The extractors of the adapters have one from every request. [`subscribe`](Self::subscribe) is how a handler subscribes
/// its client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resume {
    pub(crate) last_event_id: Option<LastEventId>,
    pub(crate) remote_addr: Option<SocketAddr>,
    pub(crate) error_format: ErrorFormat,
}

impl Resume {
    /// The name of the query parameter that stands in for the `Last-Event-ID` header, for
    /// clients that cannot send it.
    pub const QUERY_PARAMETER: &'static str = "lastEventId";

    /// A client that says nothing, and starts fresh.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the `Last-Event-ID` headers of a request or, if there is none, the `lastEventId` parameter of its query (the
    /// raw text after the `?`).
    ///
    /// The header has precedence: a browser that reconnects calls the URL that it was given, with an old parameter, and
    /// sends the current id in the header. An empty value counts as none. Headers that contradict each other lead to a
    /// reset.
    ///
    /// ```
    /// use tidings::Resume;
    ///
    /// let headers: [&[u8]; 1] = [b"8m2r5k0q7t1x-17"];
    /// let resume = Resume::from_request(headers, Some("topic=a&lastEventId=8m2r5k0q7t1x-3"));
    /// assert_eq!(resume, Resume::new().with_last_event_id("8m2r5k0q7t1x-17"));
    /// ```
    pub fn from_request<'a>(
        headers: impl IntoIterator<Item = &'a [u8]>,
        query: Option<&str>,
    ) -> Self {
        let mut claims = headers.into_iter().filter(|value| !value.is_empty());
        let last_event_id = match claims.next() {
            Some(first) if claims.any(|other| other != first) => Some(LastEventId::contradictory()),
            Some(first) => Some(LastEventId::new(first)),
            None => query.and_then(from_query),
        };
        Self { last_event_id, ..Self::default() }
    }

    /// Sets where the client left off.
    #[must_use]
    pub fn with_last_event_id(mut self, id: impl AsRef<[u8]>) -> Self {
        self.last_event_id = Some(LastEventId::new(id));
        self
    }

    /// Sets the client's address, for the registry.
    #[must_use]
    pub fn with_remote_addr(mut self, addr: Option<SocketAddr>) -> Self {
        self.remote_addr = addr;
        self
    }

    /// Reads the `Accept` headers of the request: in which form the client is told if it
    /// [cannot be subscribed](crate::error::Error::response).
    #[must_use]
    pub fn with_accept<'a>(mut self, headers: impl IntoIterator<Item = &'a [u8]>) -> Self {
        self.error_format = ErrorFormat::from_accept(headers);
        self
    }

    /// The form in which the client is told errors: for one that comes not from its subscription.
    pub fn error_format(&self) -> ErrorFormat {
        self.error_format
    }

    /// Where the client says it left off: also for a stream [without a hub](crate::EventStream).
    pub fn last_event_id(&self) -> Option<&LastEventId> {
        self.last_event_id.as_ref()
    }

    /// The client's address.
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        self.remote_addr
    }
}

fn from_query(query: &str) -> Option<LastEventId> {
    let value = query.split('&').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name == Resume::QUERY_PARAMETER).then_some(value)
    })?;
    // Ids have only unreserved characters (RFC 3986, section 2.3), but some clients escape them all the same, with three
    // characters for a byte.
    if value.len() > 3 * LastEventId::MAX_BYTES {
        return Some(LastEventId::contradictory());
    }
    let decoded: Vec<u8> = percent_encoding::percent_decode_str(value).collect();
    (!decoded.is_empty()).then(|| LastEventId::new(decoded))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[&[u8]], query: Option<&str>) -> Option<LastEventId> {
        Resume::from_request(headers.iter().copied(), query).last_event_id
    }

    #[test]
    fn the_header_comes_before_the_query() {
        assert_eq!(request(&[b"new"], Some("lastEventId=old")), Some(LastEventId::new("new")));
        assert_eq!(request(&[b""], Some("lastEventId=old")), Some(LastEventId::new("old")));
        assert_eq!(request(&[], Some("topic=a&lastEventId=%6Fld")), Some(LastEventId::new("old")));
    }

    #[test]
    fn an_empty_value_is_none() {
        assert_eq!(request(&[], None), None);
        assert_eq!(request(&[b""], Some("")), None);
        assert_eq!(request(&[], Some("lastEventId=&lastEventIdx=1")), None);
    }

    #[test]
    fn contradicting_headers_are_nonsense_and_repeated_ones_are_not() {
        assert_eq!(request(&[b"a", b"b"], None), Some(LastEventId::contradictory()));
        assert_eq!(request(&[b"a", b"a"], None), Some(LastEventId::new("a")));
    }

    #[test]
    fn long_values_are_not_kept() {
        let long = "x".repeat(64 * 1024);
        assert_eq!(request(&[long.as_bytes()], None), Some(LastEventId::contradictory()));
        let query = format!("lastEventId={long}");
        assert_eq!(request(&[], Some(&query)), Some(LastEventId::contradictory()));
    }

    #[test]
    fn escapes_that_are_none_stay_as_they_are() {
        for (value, expected) in [("a%2Db%25", "a-b%"), ("%zz%4", "%zz%4")] {
            let query = format!("lastEventId={value}");
            assert_eq!(request(&[], Some(&query)), Some(LastEventId::new(expected)));
        }
    }
}
