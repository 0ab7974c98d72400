use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Field, FieldError, FieldErrorKind};
use crate::field::{check_text, parsed_field};

parsed_field! {
    /// The name of an attribute of an event: see [`Event::with_attribute`](crate::Event::with_attribute).
    ///
    /// 1 to [`AttributeName::MAX_BYTES`] of the characters `a` to `z`, `A` to `Z`, `0` to `9`, `_`, `-` and `.`.
    ///
    /// ```
    /// use tidings::AttributeName;
    ///
    /// const ROLE: AttributeName = AttributeName::from_static("role");
    ///
    /// assert_eq!(AttributeName::new("role")?, ROLE);
    /// assert_eq!(
    ///     AttributeName::new("a role").unwrap_err().to_string(),
    ///     "attribute name contains ' ' at byte 1",
    /// );
    /// # Ok::<(), tidings::error::FieldError>(())
    /// ```
    AttributeName,
    check_name,
    is_name,
    "an attribute name is 1 to 64 letters, digits, `_`, `-` and `.`"
}

impl AttributeName {
    /// The longest name, in bytes.
    pub const MAX_BYTES: usize = 64;
}

/// The value of an attribute of an event: text, a whole number, or a truth value. Values of two kinds are never equal.
///
/// ```
/// use tidings::AttributeValue;
///
/// assert_eq!(AttributeValue::from("admin"), AttributeValue::Text("admin".to_owned()));
/// assert_eq!(AttributeValue::from(3), AttributeValue::Integer(3));
/// assert_ne!(AttributeValue::from(true), AttributeValue::from("true"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected text, a whole number or a truth value")]
#[non_exhaustive]
pub enum AttributeValue {
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Text.
    Text(String),
}

impl From<bool> for AttributeValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for AttributeValue {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<i32> for AttributeValue {
    fn from(value: i32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<u32> for AttributeValue {
    fn from(value: u32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<&str> for AttributeValue {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for AttributeValue {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl AttributeValue {
    /// The bytes that it takes as text.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bool(_) | Self::Integer(_) => size_of::<i64>(),
        }
    }
}

impl fmt::Display for AttributeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
}

/// The attributes of an event, by their names.
pub(crate) type Attributes = BTreeMap<AttributeName, AttributeValue>;

fn check_name(text: &str) -> Result<(), FieldError> {
    check_text(Field::AttributeName, text, AttributeName::MAX_BYTES, |c| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' | '.' => None,
        _ if c.is_whitespace() => Some(FieldErrorKind::WhiteSpace),
        _ => Some(FieldErrorKind::ForbiddenCharacter),
    })
}

/// The same for constants.
const fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !(bytes[at].is_ascii_alphanumeric() || matches!(bytes[at], b'_' | b'-' | b'.')) {
            return false;
        }
        at += 1;
    }
    !text.is_empty() && text.len() <= AttributeName::MAX_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_refused_in_constants_as_at_run_time() {
        for c in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
            let text = c.to_string();
            assert_eq!(is_name(&text), AttributeName::new(&text).is_ok(), "{c:?}");
        }
        for length in [0, 1, 64, 65] {
            let text = "a".repeat(length);
            assert_eq!(is_name(&text), AttributeName::new(&text).is_ok(), "{length}");
        }
    }
}
