//! What a request gets that cannot be served.

use std::fmt;

use serde::Serialize;
use tidings::{EventError, PublishError, SubscribeError};

/// Why a request is refused. Its text is for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The request does not say who sends it, or the server does not know them.
    Unknown,
    /// User and password do not go together. Which of them is wrong is nobody's business.
    WrongPassword,
    /// The caller may not see a topic. Whether there is such a topic is not said.
    Forbidden(String),
    /// There is no such user.
    NoUser(String),
    /// The event cannot be published, or the subscription not be opened.
    Unacceptable(String),
    /// The fault is the server's.
    Internal(String),
}

impl Refusal {
    /// Something that has to do with the server, not with the request.
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

    /// What a response of status 401 has to say: how one would be known. `WWW-Authenticate`.
    pub fn challenge(&self) -> Option<&'static str> {
        (self.status() == 401).then_some("Bearer realm=\"events\"")
    }

    /// The body of the response, to be sent as JSON: `{"error": "…"}`.
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
            Self::Unknown => f.write_str("log in, or send a token that is still good"),
            Self::WrongPassword => f.write_str("user or password is wrong"),
            Self::Forbidden(topic) => write!(f, "topic: {topic} is not for you"),
            Self::NoUser(user) => write!(f, "user there is no {user}"),
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
