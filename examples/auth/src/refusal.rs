//! Why requests are refused.

use std::fmt;

use serde::Serialize;
use tidings::error::{EventError, PublishError, SubscribeError};

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
    /// The event cannot be published, or the subscription cannot be opened.
    Unacceptable(String),
    /// The server failed.
    Internal(String),
}

impl Refusal {
    /// An error of the server.
    pub fn internal(error: impl fmt::Display) -> Self {
        Self::Internal(error.to_string())
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::Unknown | Self::WrongPassword => 401,
            Self::Forbidden(_) => 403,
            Self::NoUser(_) => 404,
            Self::Unacceptable(_) => 400,
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
            Self::Unacceptable(reason) | Self::Internal(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Refusal {}

impl From<SubscribeError> for Refusal {
    fn from(error: SubscribeError) -> Self {
        Self::Unacceptable(error.to_string())
    }
}

impl From<EventError> for Refusal {
    fn from(error: EventError) -> Self {
        Self::Unacceptable(error.to_string())
    }
}

impl From<PublishError> for Refusal {
    fn from(error: PublishError) -> Self {
        Self::Unacceptable(error.to_string())
    }
}
