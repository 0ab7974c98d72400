use std::fmt;
use std::sync::Arc;

use crate::error::{Field, FieldError, FieldErrorKind};
use crate::field::{EventId, check_text};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::last_event_id::LastEventId;

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
}
