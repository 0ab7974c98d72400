//! What can go wrong, one type for each family of operations.
//!
//! Every type is opaque, so that it can learn more without breaking anybody: callers match on `kind()` and read
//! the message.

mod decode;
mod event;
mod field;
mod publish;
mod stream;
mod subscribe;

pub use decode::{DecodeError, DecodeErrorKind};
pub use event::{EventError, EventErrorKind};
pub use field::{Field, FieldError, FieldErrorKind};
pub use publish::{PublishError, PublishErrorKind};
pub use stream::{StreamError, StreamErrorKind};
pub use subscribe::{SubscribeError, SubscribeErrorKind};

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn messages_name_the_field_and_the_cause() {
        use FieldErrorKind as Kind;

        let message = |field, kind, at| FieldError::new(field, kind, at).to_string();
        assert_eq!(
            message(Field::EventName, Kind::LineBreak, Some(3)),
            "event name: contains a line break at byte 3"
        );
        assert_eq!(
            message(Field::EventName, Kind::Empty, None),
            "event name: is empty; leave it out for `message`"
        );
        assert_eq!(message(Field::Topic, Kind::Empty, None), "topic: is empty");
        assert_eq!(
            message(Field::EventId, Kind::Nul, Some(0)),
            "event id: contains a NUL at byte 0"
        );
        assert_eq!(
            message(Field::Topic, Kind::TooLong, Some(256)),
            "topic: is longer than 256 bytes"
        );
        assert_eq!(
            message(Field::TopicPattern, Kind::ForbiddenCharacter, Some(2)),
            "topic pattern: contains a character that is not allowed at byte 2"
        );
        assert_eq!(message(Field::EventName, Kind::Reserved, None), "event name: is reserved");
    }

    #[test]
    fn errors_can_cross_threads() {
        fn check<E: Error + Send + Sync + 'static>() {}
        check::<FieldError>();
        check::<EventError>();
        check::<DecodeError>();
    }
}
