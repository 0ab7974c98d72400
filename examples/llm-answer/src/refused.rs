//! Why a request is refused. Each format says it in its own words.

use std::fmt;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tidings_axum::tidings::error::{
    EventError, MessageError, PublishError, PublishErrorKind, StreamError, SubscribeError,
};

use crate::answer::{NoBeginning, ParseAnswerIdError};

/// A request that is not granted.
#[derive(Debug, Clone)]
pub(crate) enum Refused {
    /// The request is not understood, for this reason.
    Invalid(String),
    /// There is no such answer, or not any more.
    NotFound,
    /// As many answers are written as may be at a time.
    Busy,
    /// The model has failed, with this message.
    Failed(String),
    /// The hub does not answer, for a reason that is not the client's.
    Unavailable,
}

impl Refused {
    /// A cause of which only the operator is told.
    pub(crate) fn unavailable(cause: impl fmt::Display) -> Self {
        eprintln!("llm-answer: {cause}");
        Self::Unavailable
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid(reason) | Self::Failed(reason) => reason,
            Self::NotFound => "there is no such answer",
            Self::Busy => "too many answers are being written; try again later",
            Self::Unavailable => "try again later",
        })
    }
}

impl From<JsonRejection> for Refused {
    fn from(rejection: JsonRejection) -> Self {
        Self::Invalid(rejection.body_text())
    }
}

impl From<QueryRejection> for Refused {
    fn from(rejection: QueryRejection) -> Self {
        Self::Invalid(rejection.body_text())
    }
}

impl From<ParseAnswerIdError> for Refused {
    fn from(_: ParseAnswerIdError) -> Self {
        Self::NotFound
    }
}

impl From<PublishError> for Refused {
    fn from(error: PublishError) -> Self {
        match error.kind() {
            // To ask again would be in vain.
            PublishErrorKind::TooLarge => Self::Invalid(error.to_string()),
            _ => Self::unavailable(error),
        }
    }
}

macro_rules! unavailable {
    ($($cause:ty)+) => {
        $(impl From<$cause> for Refused {
            fn from(cause: $cause) -> Self {
                Self::unavailable(cause)
            }
        })+
    };
}

unavailable! { getrandom::Error EventError MessageError NoBeginning StreamError SubscribeError }

/// As plain text, and for [`in_words_of`].
impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = (self.status(), self.to_string()).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Tells refusals as JSON: for a layer of a format's routes.
pub(crate) async fn in_words_of(words: fn(&Refused) -> Value, response: Response) -> Response {
    match response.extensions().get::<Refused>() {
        Some(refused) => (refused.status(), Json(words(refused))).into_response(),
        None => response,
    }
}
