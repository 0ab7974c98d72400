use crate::error::{Field, FieldError, FieldErrorKind};
use crate::field::parsed_field;

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
    ///     "idempotency key: contains white space at byte 3",
    /// );
    /// # Ok::<(), tidings::FieldError>(())
    /// ```
    IdempotencyKey,
    check
}

impl IdempotencyKey {
    /// The longest key, in bytes.
    pub const MAX_BYTES: usize = 128;
}

fn check(text: &str) -> Result<(), FieldError> {
    let error = |kind, at| Err(FieldError::new(Field::IdempotencyKey, kind, at));
    if text.is_empty() {
        return error(FieldErrorKind::Empty, None);
    }
    if text.len() > IdempotencyKey::MAX_BYTES {
        return error(FieldErrorKind::TooLong, Some(IdempotencyKey::MAX_BYTES));
    }
    match text.bytes().position(|byte| !byte.is_ascii_graphic()) {
        None => Ok(()),
        Some(at) if text.as_bytes()[at].is_ascii_whitespace() => {
            error(FieldErrorKind::WhiteSpace, Some(at))
        }
        at => error(FieldErrorKind::ForbiddenCharacter, at),
    }
}
