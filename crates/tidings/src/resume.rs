use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::error::{Field, FieldError, FieldErrorKind};
use crate::field::{EventId, check_text};
use crate::hub::Hub;
use crate::into_topics::IntoTopics;
use crate::response::ErrorFormat;
use crate::subscription::subscribe::Subscribe;
use crate::topic::TopicPattern;

/// The name of one history. Ids of another history mean nothing in this one, and lead to a reset.
///
/// 1 to [`Epoch::MAX_BYTES`] ASCII letters and digits. Log backends store it with their events.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Epoch(Arc<str>);

impl Epoch {
    /// The longest epoch, in bytes.
    pub const MAX_BYTES: usize = 24;

    /// Parses an epoch, such as a backend has stored.
    ///
    /// # Errors
    ///
    /// When it is empty, too long, or has other characters than ASCII letters and digits.
    ///
    /// ```
    /// use tidings::backend::Epoch;
    ///
    /// let epoch = Epoch::random();
    /// assert_eq!(Epoch::new(epoch.as_str())?, epoch);
    /// assert!(Epoch::new("a-b").is_err());
    /// # Ok::<(), tidings::error::FieldError>(())
    /// ```
    pub fn new(text: &str) -> Result<Self, FieldError> {
        check_text(Field::Epoch, text, Self::MAX_BYTES, |c| {
            (!c.is_ascii_alphanumeric()).then_some(FieldErrorKind::ForbiddenCharacter)
        })?;
        Ok(Self(text.into()))
    }

    /// A new epoch of 60 random bits, so that no restart and no other node has the same.
    #[must_use]
    pub fn random() -> Self {
        let digit = |_| char::from(ALPHABET[fastrand::usize(..ALPHABET.len())]);
        Self((0..12).map(digit).collect::<String>().into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The event id of a position in this history.
    pub(crate) fn id(&self, position: u64) -> EventId {
        EventId::trusted(format!("{self}-{position}"))
    }

    /// An id that leads to a reset, for a stream that has no position yet.
    pub(crate) fn id_without_position(&self) -> EventId {
        EventId::trusted(format!("{self}-none"))
    }

    /// The position in an id of this history; `None` for every other text.
    pub(crate) fn position(&self, id: &[u8]) -> Option<u64> {
        let digits = id.strip_prefix(self.0.as_bytes())?.strip_prefix(b"-")?;
        // Exactly what `id` writes, so that there is one spelling of a position: no sign, no
        // leading zero, no overflow.
        let digits = std::str::from_utf8(digits).ok()?;
        let position: u64 = digits.parse().ok()?;
        (itoa::Buffer::new().format(position) == digits).then_some(position)
    }
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a client says that it left off: its Last-Event-ID, as unchecked bytes.
///
/// There is no invalid one. Bytes that are not an id of this hub lead to a reset, never to an error: a browser's
/// EventSource gives up for good on any status but 200.
///
/// A stream without a hub has ids of the application, which [reads them itself](Self::as_str) and must not trust them.
///
/// ```
/// use tidings::{EventId, LastEventId};
///
/// let id = LastEventId::new("answer-7-word-12");
/// assert_eq!(id, EventId::new("answer-7-word-12")?);
/// let word = id.as_str().and_then(|id| id.strip_prefix("answer-7-word-"));
/// assert_eq!(word, Some("12"));
/// # Ok::<(), tidings::error::FieldError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastEventId(Claim);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Claim {
    Id(Box<[u8]>),
    /// Longer than any id, or several that differ.
    Nonsense,
}

impl LastEventId {
    /// The longest id that is kept, in bytes. Those of a hub have at most 45.
    pub const MAX_BYTES: usize = 256;

    /// From the value of a `Last-Event-ID` header, or from where else the client has stored it.
    pub fn new(value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        // Not stored if it cannot be an id: it may be as large as the server allows.
        if value.len() > Self::MAX_BYTES {
            return Self(Claim::Nonsense);
        }
        Self(Claim::Id(value.into()))
    }

    /// The bytes, as the client has sent them; `None` if they are more than [`MAX_BYTES`](Self::MAX_BYTES), or if the
    /// client has sent several that differ.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            Claim::Id(id) => Some(id),
            Claim::Nonsense => None,
        }
    }

    /// The same as text; `None` if it is not UTF-8, either.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self.as_bytes()?).ok()
    }

    pub(crate) fn position(&self, epoch: &Epoch) -> Option<u64> {
        epoch.position(self.as_bytes()?)
    }
}

impl From<&EventId> for LastEventId {
    fn from(id: &EventId) -> Self {
        Self::new(id.as_str())
    }
}

impl PartialEq<EventId> for LastEventId {
    fn eq(&self, id: &EventId) -> bool {
        self.as_bytes() == Some(id.as_str().as_bytes())
    }
}

impl PartialEq<LastEventId> for EventId {
    fn eq(&self, id: &LastEventId) -> bool {
        id == self
    }
}

/// For an id in the body or the query of a request. All that is text can be read.
impl<'de> serde::Deserialize<'de> for LastEventId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <String as serde::Deserialize>::deserialize(deserializer).map(Self::new)
    }
}

/// What a request says about its client: where it left off, and its address.
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
            Some(first) if claims.any(|other| other != first) => Some(LastEventId(Claim::Nonsense)),
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

    /// Subscribes the client to topics: [`Hub::subscribe`] with [`resume`](Subscribe::resume), which a handler must not
    /// forget. Without it, every reconnect is a fresh client that misses what was published meanwhile.
    ///
    /// ```
    /// use tidings::{Hub, Resume};
    ///
    /// # fn handler(hub: &Hub, user_id: u64, request: Resume) -> Result<(), tidings::error::SubscribeError> {
    /// let topics = ("orders", format!("user:{user_id}"));
    /// let subscription = request.subscribe(hub, topics).principal(user_id).open()?;
    /// # Ok(()) }
    /// # handler(&Hub::new(), 1, Resume::new()).unwrap();
    /// ```
    pub fn subscribe<K>(&self, hub: &Hub, topics: impl IntoTopics<K>) -> Subscribe {
        hub.subscribe(topics).resume(self.clone())
    }

    /// Subscribes the client to patterns: [`Hub::subscribe_matching`] with [`resume`](Subscribe::resume).
    pub fn subscribe_matching<K>(
        &self,
        hub: &Hub,
        patterns: impl IntoTopics<K, TopicPattern>,
    ) -> Subscribe {
        hub.subscribe_matching(patterns).resume(self.clone())
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
        return Some(LastEventId(Claim::Nonsense));
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
    fn an_id_of_the_epoch_gives_its_position_and_nothing_else_does() {
        let epoch = Epoch::random();
        assert_eq!(epoch.position(epoch.id(42).as_str().as_bytes()), Some(42));
        assert_eq!(epoch.position(epoch.id(u64::MAX).as_str().as_bytes()), Some(u64::MAX));
        for bad in [
            format!("{epoch}-"),
            format!("{epoch}"),
            format!("{epoch}-+1"),
            format!("{epoch}-01"),
            format!("{epoch}--1"),
            format!("{epoch}-1 "),
            format!("{epoch}-18446744073709551616"),
            format!("{}-1", Epoch::random()),
            epoch.id_without_position().to_string(),
            String::new(),
        ] {
            assert_eq!(epoch.position(bad.as_bytes()), None, "{bad:?}");
        }
        assert!(epoch.id(u64::MAX).as_str().len() <= LastEventId::MAX_BYTES);
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
        assert_eq!(request(&[b"a", b"b"], None), Some(LastEventId(Claim::Nonsense)));
        assert_eq!(request(&[b"a", b"a"], None), Some(LastEventId::new("a")));
    }

    #[test]
    fn long_values_are_not_kept() {
        let long = "x".repeat(64 * 1024);
        assert_eq!(request(&[long.as_bytes()], None), Some(LastEventId(Claim::Nonsense)));
        let query = format!("lastEventId={long}");
        assert_eq!(request(&[], Some(&query)), Some(LastEventId(Claim::Nonsense)));
    }

    #[test]
    fn an_id_is_read_as_bytes_and_as_text_and_compared() {
        let id = LastEventId::new("é-7");
        assert_eq!((id.as_bytes(), id.as_str()), (Some("é-7".as_bytes()), Some("é-7")));
        let event_id = EventId::new("é-7").unwrap();
        assert_eq!(id, event_id);
        assert_eq!(event_id, id);
        assert_eq!(LastEventId::from(&event_id).as_bytes(), id.as_bytes());
        assert!(id != EventId::new("é-8").unwrap());
        let other = LastEventId::new(b"\xff");
        assert_eq!((other.as_bytes(), other.as_str()), (Some(&b"\xff"[..]), None));
        let longest = "x".repeat(LastEventId::MAX_BYTES);
        assert_eq!(LastEventId::new(&longest).as_str(), Some(&*longest));
        let nothing = LastEventId::new(longest + "x");
        assert_eq!((nothing.as_bytes(), nothing.as_str()), (None, None));
        assert!(nothing != EventId::new("").unwrap());
        assert_eq!(serde_json::from_str::<LastEventId>("\"é-7\"").unwrap(), id);
    }

    #[test]
    fn escapes_that_are_none_stay_as_they_are() {
        for (value, expected) in [("a%2Db%25", "a-b%"), ("%zz%4", "%zz%4")] {
            let query = format!("lastEventId={value}");
            assert_eq!(request(&[], Some(&query)), Some(LastEventId::new(expected)));
        }
    }
}
