//! Server-sent events.

mod decode;
mod encode;
mod error;
mod event;
mod field;

pub use decode::{Decoder, Message};
pub use error::{
    DecodeError, DecodeErrorKind, EventError, EventErrorKind, Field, FieldError, FieldErrorKind,
};
pub use event::Event;
pub use field::{Comment, EventId, EventName};
