//! Server-sent events.

mod clock;
mod decode;
mod encode;
mod error;
mod event;
mod event_stream;
mod field;
mod hub;
mod keep_alive;
mod log;
mod registry;
pub mod response;
mod resume;
mod subscription;
mod timers;
mod topic;

#[cfg(feature = "http-body")]
mod body;

pub use clock::{Clock, ManualClock};
pub use decode::{Decoder, Message};
pub use error::{
    DecodeError, DecodeErrorKind, EventError, EventErrorKind, Field, FieldError, FieldErrorKind,
    PublishError, PublishErrorKind, StreamError, StreamErrorKind, SubscribeError,
    SubscribeErrorKind,
};
pub use event::Event;
pub use event_stream::{EventStream, StreamItem};
pub use field::{Comment, EventId, EventName};
pub use hub::Hub;
pub use hub::builder::HubBuilder;
pub use hub::publish::{Publish, Published};
pub use keep_alive::DEFAULT_HEARTBEAT;
pub use log::retention::Retention;
pub use registry::{ClientId, ClientInfo, Clients, ParseClientIdError};
pub use resume::{LastEventId, Resume};
pub use subscription::history::History;
pub use subscription::snapshot::Snapshot;
pub use subscription::status::{ResetReason, STATUS_EVENT, Status};
pub use subscription::subscribe::Subscribe;
pub use subscription::{DEFAULT_RETRY, Subscription};
pub use topic::{Topic, TopicPattern};
