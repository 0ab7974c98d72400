//! Server-sent events.

mod error;
mod field;

pub use error::{Field, FieldError, FieldErrorKind};
pub use field::{Comment, EventId, EventName};
