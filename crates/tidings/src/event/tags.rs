use super::attributes::Attributes;
use crate::error::{Field, FieldError, FieldErrorKind};
use crate::field::{check_text, parsed_field};

parsed_field! {
    /// What an event is about: see [`Event::keyed`](crate::Event::keyed).
    ///
    /// 1 to [`EventKey::MAX_BYTES`] bytes of text without control characters.
    ///
    /// ```
    /// use tidings::EventKey;
    ///
    /// assert_eq!(EventKey::new("EUR/USD")?.as_str(), "EUR/USD");
    /// assert_eq!(EventKey::new("").unwrap_err().to_string(), "event key is empty");
    /// # Ok::<(), tidings::error::FieldError>(())
    /// ```
    EventKey,
    check_key
}

impl EventKey {
    /// The longest key, in bytes.
    pub const MAX_BYTES: usize = 256;
}

fn check_key(text: &str) -> Result<(), FieldError> {
    check_text(Field::EventKey, text, EventKey::MAX_BYTES, |c| {
        c.is_control().then_some(FieldErrorKind::ForbiddenCharacter)
    })
}

/// What an event carries that logs keep and no client is sent. Few events have any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tags {
    pub(crate) key: Option<EventKey>,
    /// The key has no value any more.
    pub(crate) removes_key: bool,
    /// Nothing follows in the topic.
    pub(crate) is_last: bool,
    pub(crate) attributes: Attributes,
}

impl Tags {
    /// The bytes that the text of these takes.
    pub(crate) fn size(&self) -> usize {
        let attributes = self.attributes.iter();
        let text = attributes.map(|(name, value)| name.as_str().len() + value.size());
        self.key.as_ref().map_or(0, |key| key.as_str().len()) + text.sum::<usize>()
    }

    /// The bytes of memory that these take, about.
    pub(crate) fn cost(&self) -> usize {
        size_of::<Self>() + self.attributes.len() * 2 * size_of::<Self>() + self.size()
    }
}
