//! Errors, one type for each group of operations.
//!
//! Every type is opaque, so that it can grow without breaking callers, which match on `kind()` and read the message.

mod any;
mod decode;
mod event;
mod field;
mod filter;
mod message;
mod publish;
mod stream;
mod subscribe;
#[cfg(any(feature = "openapi", feature = "ts"))]
mod types;

pub use any::Error;
pub use decode::{DecodeError, DecodeErrorKind};
pub use event::{EventError, EventErrorKind};
pub use field::{Field, FieldError, FieldErrorKind};
pub(crate) use filter::FilterErrorCause;
pub use filter::{FilterError, FilterErrorKind};
pub(crate) use message::MessageErrorCause;
pub use message::{MessageError, MessageErrorKind};
pub(crate) use publish::PublishErrorCause;
pub use publish::{PublishError, PublishErrorKind};
pub use stream::{StreamError, StreamErrorKind};
pub(crate) use subscribe::SubscribeErrorCause;
pub use subscribe::{SubscribeError, SubscribeErrorKind};
#[cfg(any(feature = "openapi", feature = "ts"))]
pub(crate) use types::TypesErrorCause;
#[cfg(any(feature = "openapi", feature = "ts"))]
pub use types::{TypesError, TypesErrorKind};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_field_and_the_cause() {
        use FieldErrorKind as Kind;

        let character =
            |field, kind, text, at| FieldError::character(field, kind, text, at).to_string();
        for (message, expected) in [
            (
                character(Field::EventName, Kind::LineBreak, "abc\n", 3),
                r"event name contains '\n' at byte 3",
            ),
            (character(Field::EventId, Kind::Nul, "\0", 0), r"event id contains '\0' at byte 0"),
            (
                character(Field::TopicPattern, Kind::ForbiddenCharacter, "\u{7f}", 0),
                r"topic pattern contains '\u{7f}' at byte 0",
            ),
            (
                FieldError::empty(Field::EventName).to_string(),
                "event name is empty; leave it out for `message`",
            ),
            (FieldError::empty(Field::Topic).to_string(), "topic is empty"),
            (FieldError::too_long(Field::Topic, 256).to_string(), "topic is longer than 256 bytes"),
        ] {
            assert_eq!(message, expected);
        }
    }

    #[test]
    fn errors_can_cross_threads() {
        fn check<E: std::error::Error + Send + Sync + 'static>() {}
        check::<FieldError>();
        check::<EventError>();
        check::<FilterError>();
        check::<DecodeError>();
        check::<MessageError>();
    }
}
