use crate::epoch::Epoch;
use crate::field::EventId;

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

    /// What a request says that names several.
    pub(crate) fn contradictory() -> Self {
        Self(Claim::Nonsense)
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
