//! Server-sent events.

mod encode;
mod error;
mod event;
mod field;

pub use error::{EventError, EventErrorKind, Field, FieldError, FieldErrorKind};
pub use event::Event;
pub use field::{Comment, EventId, EventName};
