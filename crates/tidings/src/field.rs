//! The single-line fields of an event, parsed: a value of one of these types cannot end its line early, so nothing
//! after this point has to check or escape it.

use memchr::{memchr2, memchr3};

use crate::error::{Field, FieldError, FieldErrorKind};

// The three types differ in what they refuse and in nothing else.
macro_rules! parsed_field {
    ($(#[$attribute:meta])* $name:ident, $check:path) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(bytestring::ByteString);

        impl $name {
            /// Parses the text.
            ///
            /// # Errors
            ///
            /// A [`FieldError`] that says what was found and where, if the text holds what this type refuses.
            pub fn new(text: impl Into<String>) -> Result<Self, crate::error::FieldError> {
                let text = text.into();
                $check(&text)?;
                Ok(Self(text.into()))
            }

            /// The text, as it was given.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::error::FieldError;

            fn from_str(text: &str) -> Result<Self, crate::error::FieldError> {
                Self::new(text)
            }
        }

        crate::field::parsed_from!($name: &str, String, &String);

        impl From<&$name> for $name {
            fn from(parsed: &$name) -> Self {
                parsed.clone()
            }
        }

        impl From<$name> for String {
            fn from(parsed: $name) -> Self {
                parsed.0.into()
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

macro_rules! parsed_from {
    ($name:ident: $($text:ty),+) => {$(
        impl TryFrom<$text> for $name {
            type Error = crate::error::FieldError;

            fn try_from(text: $text) -> Result<Self, crate::error::FieldError> {
                Self::new(text)
            }
        }
    )+};
}

pub(crate) use {parsed_field, parsed_from};

parsed_field! {
    /// The name of an event: what a client listens for.
    ///
    /// Not empty, and neither CR nor LF. All else is allowed, NUL included. There is no empty name because
    /// clients take one for no name at all and dispatch the event as `message`
    /// (HTML standard, 9.2.6 "Interpreting an event stream").
    ///
    /// `error` and `open` are allowed, since well-known APIs send them. A browser's `EventSource` fires events of
    /// its own under these two names, though, so a listener there has to tell the two apart: only yours is a
    /// `MessageEvent`.
    ///
    /// Cloning shares the text.
    ///
    /// ```
    /// use tidings::{error::FieldErrorKind, EventName};
    ///
    /// let name = EventName::new("created")?;
    /// assert_eq!(name.as_str(), "created");
    ///
    /// let error = EventName::new("a\ndata: forged").unwrap_err();
    /// assert_eq!(error.kind(), FieldErrorKind::LineBreak);
    /// assert_eq!(error.to_string(), "event name contains '\\n' at byte 1");
    /// # Ok::<(), tidings::error::FieldError>(())
    /// ```
    EventName,
    check_name
}

parsed_field! {
    /// The id of an event: what a client sends back as `Last-Event-ID` when it reconnects.
    ///
    /// Neither CR nor LF, and no NUL: clients ignore an id that holds one
    /// (HTML standard, 9.2.6 "Interpreting an event stream"). It may be empty, which tells the client to forget
    /// the last id.
    ///
    /// Cloning shares the text.
    ///
    /// ```
    /// use tidings::{error::FieldErrorKind, EventId};
    ///
    /// let id: EventId = "42".parse()?;
    /// assert_eq!(id.as_str(), "42");
    /// assert_eq!(EventId::new("4\02").unwrap_err().kind(), FieldErrorKind::Nul);
    /// # Ok::<(), tidings::error::FieldError>(())
    /// ```
    EventId,
    check_id
}

parsed_field! {
    /// A comment of one line: it travels with the stream, and clients skip it.
    ///
    /// Neither CR nor LF. It may be empty.
    ///
    /// Cloning shares the text.
    ///
    /// ```
    /// use tidings::{error::FieldErrorKind, Comment};
    ///
    /// let comment = Comment::new("still here")?;
    /// assert_eq!(comment.to_string(), "still here");
    /// assert_eq!(Comment::new("two\rlines").unwrap_err().kind(), FieldErrorKind::LineBreak);
    /// # Ok::<(), tidings::error::FieldError>(())
    /// ```
    Comment,
    check_comment
}

impl EventId {
    /// An id that the hub made, of characters that need no check.
    pub(crate) fn trusted(text: String) -> Self {
        Self(text.into())
    }
}

impl EventName {
    /// One of the hub's own names.
    pub(crate) fn trusted(text: &'static str) -> Self {
        Self(text.into())
    }

    /// Whether this is one of the hub's own names: publishing it is an error.
    pub(crate) fn is_reserved(&self) -> bool {
        self.as_str().starts_with("tidings:")
    }
}

fn check_name(text: &str) -> Result<(), FieldError> {
    if text.is_empty() {
        return Err(FieldError::empty(Field::EventName));
    }
    refuse(Field::EventName, text, memchr2(b'\r', b'\n', text.as_bytes()))
}

fn check_id(text: &str) -> Result<(), FieldError> {
    refuse(Field::EventId, text, memchr3(b'\r', b'\n', 0, text.as_bytes()))
}

fn check_comment(text: &str) -> Result<(), FieldError> {
    refuse(Field::Comment, text, memchr2(b'\r', b'\n', text.as_bytes()))
}

/// Checks text of 1 to `max_bytes` bytes. `refusal` says why it does not allow a character.
pub(crate) fn check_text(
    field: Field,
    text: &str,
    max_bytes: usize,
    refusal: impl Fn(char) -> Option<FieldErrorKind>,
) -> Result<(), FieldError> {
    if text.is_empty() {
        return Err(FieldError::empty(field));
    }
    if text.len() > max_bytes {
        return Err(FieldError::too_long(field, max_bytes));
    }
    let refused = text.char_indices().find_map(|(at, c)| Some((refusal(c)?, at)));
    refused.map_or(Ok(()), |(kind, at)| Err(FieldError::character(field, kind, text, at)))
}

fn refuse(field: Field, text: &str, at: Option<usize>) -> Result<(), FieldError> {
    let Some(at) = at else { return Ok(()) };
    let kind = match text.as_bytes().get(at) {
        Some(0) => FieldErrorKind::Nul,
        _ => FieldErrorKind::LineBreak,
    };
    Err(FieldError::character(field, kind, text, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind<T>(result: Result<T, FieldError>) -> Option<FieldErrorKind> {
        result.err().map(|error| error.kind())
    }

    #[test]
    fn each_field_refuses_text_that_would_break_it_and_no_other() {
        use FieldErrorKind as Kind;

        for (text, name, id, comment) in [
            ("", Some(Kind::Empty), None, None),
            ("a\rb", Some(Kind::LineBreak), Some(Kind::LineBreak), Some(Kind::LineBreak)),
            ("\n", Some(Kind::LineBreak), Some(Kind::LineBreak), Some(Kind::LineBreak)),
            ("a\0b", None, Some(Kind::Nul), None),
            ("\0", None, Some(Kind::Nul), None),
            (" : \u{feff}\u{2028}\u{85}\u{c}", None, None, None),
        ] {
            assert_eq!(kind(EventName::new(text)), name, "event name {text:?}");
            assert_eq!(kind(EventId::new(text)), id, "event id {text:?}");
            assert_eq!(kind(Comment::new(text)), comment, "comment {text:?}");
        }
    }

    #[test]
    fn the_first_offending_byte_is_named() {
        let error = EventId::new("é\0\n").unwrap_err();
        assert_eq!(error.field(), Field::EventId);
        assert_eq!(error.to_string(), "event id contains '\\0' at byte 2");
    }

    #[test]
    fn every_conversion_keeps_the_text() {
        let name = EventName::new("é x").unwrap();
        assert_eq!("é x".parse(), Ok(name.clone()));
        assert_eq!(EventName::try_from("é x"), Ok(name.clone()));
        assert_eq!(EventName::try_from(&"é x".to_owned()), Ok(name.clone()));
        assert_eq!(EventName::try_from("é x".to_owned()), Ok(name.clone()));
        assert_eq!(EventName::from(&name), name);
        assert_eq!(serde_json::to_string(&name).unwrap(), "\"é x\"");
        assert_eq!(format!("{name:>5}|{name:?}"), "  é x|EventName(\"é x\")");
        assert_eq!(String::from(name), "é x");
    }
}
