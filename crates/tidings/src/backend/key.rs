use crate::error::{Field, FieldError, FieldErrorKind};
use crate::field::{check_text, parsed_field};

parsed_field! {
    /// Names one publication, so that publishing it again changes nothing: see
    /// [`Hub::publish_once`](crate::Hub::publish_once).
    ///
    /// 1 to [`IdempotencyKey::MAX_BYTES`] visible ASCII characters. It holds for the whole hub, not for a
    /// topic; the id of a request or of an order with a word before it is a good one.
    ///
    /// ```
    /// use tidings::IdempotencyKey;
    ///
    /// let key = IdempotencyKey::new("order-17/created")?;
    /// assert_eq!(key.as_str(), "order-17/created");
    /// assert_eq!(
    ///     IdempotencyKey::new("two words").unwrap_err().to_string(),
    ///     "idempotency key contains ' ' at byte 3",
    /// );
    /// # Ok::<(), tidings::error::FieldError>(())
    /// ```
    IdempotencyKey,
    check
}

impl IdempotencyKey {
    /// The longest key, in bytes.
    pub const MAX_BYTES: usize = 128;
}

fn check(text: &str) -> Result<(), FieldError> {
    check_text(Field::IdempotencyKey, text, IdempotencyKey::MAX_BYTES, |c| match c {
        _ if c.is_ascii_graphic() => None,
        _ if c.is_whitespace() => Some(FieldErrorKind::WhiteSpace),
        _ => Some(FieldErrorKind::ForbiddenCharacter),
    })
}
