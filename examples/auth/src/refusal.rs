//! Why requests are refused.

use std::fmt;

use serde::Serialize;
use tidings::error::{Error, EventError, PublishError, SubscribeError};
use tidings::response::{ErrorFormat, ErrorResponse};

/// Why a request is refused, as a text for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The credentials are missing or unknown.
    Unknown,
    /// User or password is wrong. The response does not say which.
    WrongPassword,
    /// The caller may not see a topic. The response does not say whether the topic exists.
    Forbidden(String),
    /// The user does not exist.
    NoUser(String),
    /// The event cannot be published, or the subscription cannot be opened. A failure of the hub's log is not for the caller.
    Hub(ErrorResponse),
    /// The server failed.
    Internal(String),
}

impl Refusal {
    /// An error of the server.
    pub fn internal(error: impl fmt::Display) -> Self {
        Self::Internal(error.to_string())
    }

    fn hub(error: impl Into<Error>) -> Self {
        Self::Hub(error.into().with_format(ErrorFormat::Text).response())
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::Unknown | Self::WrongPassword => 401,
            Self::Forbidden(_) => 403,
            Self::NoUser(_) => 404,
            Self::Hub(told) => told.status,
            Self::Internal(_) => 500,
        }
    }

    /// The header `WWW-Authenticate` of a response with status 401.
    pub fn challenge(&self) -> Option<&'static str> {
        (self.status() == 401).then_some("Bearer realm=\"events\"")
    }

    /// The body of the response, for JSON: `{"error": "…"}`.
    pub fn body(&self) -> Body {
        Body { error: self.to_string() }
    }
}

/// See [`Refusal::body`].
#[derive(Debug, Serialize)]
pub struct Body {
    error: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("log in, or send a valid token"),
            Self::WrongPassword => f.write_str("user or password is wrong"),
            Self::Forbidden(topic) => write!(f, "topic: {topic} is not for you"),
            Self::NoUser(user) => write!(f, "user: {user} does not exist"),
            Self::Hub(told) => f.write_str(&told.body),
            Self::Internal(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Refusal {}

impl From<SubscribeError> for Refusal {
    fn from(error: SubscribeError) -> Self {
        Self::hub(error)
    }
}

impl From<EventError> for Refusal {
    fn from(error: EventError) -> Self {
        Self::hub(error)
    }
}

impl From<PublishError> for Refusal {
    fn from(error: PublishError) -> Self {
        Self::hub(error)
    }
}

#[cfg(test)]
mod tests {
    use tidings::{Event, Hub};

    use super::*;

    #[test]
    fn what_the_hub_refuses_has_the_status_of_its_cause() {
        let hub = Hub::builder().max_event_bytes(10).build();
        let publish = |text: &str| {
            let published = hub.publish("a", Event::new(text)).wait();
            Refusal::from(published.unwrap_err())
        };
        let too_large = publish("more than ten bytes");
        assert_eq!(too_large.status(), 413);
        assert!(too_large.to_string().contains("10 bytes"), "{too_large}");
        hub.close();
        assert_eq!(publish("x").status(), 503);
    }
}
