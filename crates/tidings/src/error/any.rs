use std::error::Error as StdError;
use std::fmt;

use super::{EventError, FieldError, FilterError, PublishError, PublishErrorKind, SubscribeError};
use super::{EventErrorKind, SubscribeErrorKind};
use crate::backend::LogErrorKind;
use crate::response::{ErrorFormat, ErrorResponse};

/// Any error that a handler may meet: what `?` makes of the others.
///
/// Each adapter wraps it in an `Error` of its own, which is a response of its framework: [`response`](Self::response) says
/// which.
#[derive(Debug)]
pub struct Error {
    cause: Cause,
    format: ErrorFormat,
}

#[derive(Debug)]
enum Cause {
    Subscribe(SubscribeError),
    Publish(PublishError),
    Event(EventError),
    Field(FieldError),
    Filter(FilterError),
}

impl Error {
    /// Sets the form in which the client is told. Default: the one that the request's `Accept` headers prefer, if the error
    /// comes from a subscription that [resumes](crate::Subscribe::resume) a request; otherwise plain text.
    #[must_use]
    pub fn with_format(mut self, format: ErrorFormat) -> Self {
        self.format = format;
        self
    }

    /// What the client is told: the status, and the message as plain text or as `application/problem+json`.
    ///
    /// | status | of |
    /// |--:|---|
    /// | 204 | a client that has the last events of its topics, which are finished; there is no body |
    /// | 400 | a name, pattern, key, event, filter or number of topics that is refused |
    /// | 409 | a publication to a topic that is finished |
    /// | 413 | an event that is too large |
    /// | 429 | a stream or a publication that is one too many |
    /// | 503 | a hub that is closed, a log that does not answer or has no room |
    /// | 500 | a value that has no JSON; a log that is damaged or refuses |
    ///
    /// From 500 on, the message is about the server. The client is told "try again later" (503) or "the server has failed" (500).
    #[must_use]
    pub fn response(&self) -> ErrorResponse {
        let status = self.status();
        match status {
            204 => ErrorResponse::empty(status),
            503 => ErrorResponse::new(status, "try again later", self.format),
            500 => ErrorResponse::new(status, "the server has failed", self.format),
            _ => ErrorResponse::new(status, &self.to_string(), self.format),
        }
    }

    fn status(&self) -> u16 {
        match &self.cause {
            Cause::Subscribe(error) => match error.kind() {
                SubscribeErrorKind::Finished => 204,
                SubscribeErrorKind::Unavailable => 503,
                SubscribeErrorKind::TooManyStreams => 429,
                _ => 400,
            },
            Cause::Field(_) | Cause::Filter(_) => 400,
            Cause::Event(error) => match error.kind() {
                EventErrorKind::Field => 400,
                _ => 500,
            },
            Cause::Publish(error) => match (error.kind(), error.log_error()) {
                (PublishErrorKind::Finished, _) => 409,
                (PublishErrorKind::TooLarge, _) => 413,
                (PublishErrorKind::Closed, _) => 503,
                (PublishErrorKind::TooManyPublications, _) => 429,
                (PublishErrorKind::Log, Some(log)) => match log.kind() {
                    LogErrorKind::Corrupt | LogErrorKind::Refused => 500,
                    _ => 503,
                },
                _ => 400,
            },
        }
    }

    fn cause(&self) -> &(dyn StdError + 'static) {
        match &self.cause {
            Cause::Subscribe(error) => error,
            Cause::Publish(error) => error,
            Cause::Event(error) => error,
            Cause::Field(error) => error,
            Cause::Filter(error) => error,
        }
    }
}

impl From<SubscribeError> for Error {
    fn from(error: SubscribeError) -> Self {
        let format = error.format();
        Self { cause: Cause::Subscribe(error), format }
    }
}

impl From<PublishError> for Error {
    fn from(error: PublishError) -> Self {
        Self { cause: Cause::Publish(error), format: ErrorFormat::default() }
    }
}

impl From<EventError> for Error {
    fn from(error: EventError) -> Self {
        Self { cause: Cause::Event(error), format: ErrorFormat::default() }
    }
}

impl From<FieldError> for Error {
    fn from(error: FieldError) -> Self {
        Self { cause: Cause::Field(error), format: ErrorFormat::default() }
    }
}

impl From<FilterError> for Error {
    fn from(error: FilterError) -> Self {
        Self { cause: Cause::Filter(error), format: ErrorFormat::default() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cause())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self.cause())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::LogError;
    use crate::error::PublishErrorCause;
    use crate::{Event, Hub, Resume, Topic};

    fn told(error: impl Into<Error>) -> (u16, String) {
        let response = error.into().response();
        (response.status, response.body)
    }

    #[test]
    fn the_status_says_whose_fault_it_is_and_the_message_only_what_a_client_may_know() {
        let hub = Hub::builder().max_event_bytes(10).build();
        let publish = |event| hub.publish("a", event).wait().unwrap_err();
        let log = |kind| {
            let error = LogError::new(kind, "redis: redis://secret@host is down");
            PublishError::from(PublishErrorCause::from(error))
        };
        let ascii = "event name contains '\\n' at byte 1";
        assert_eq!(told(Event::named("a\n", "").unwrap_err()), (400, ascii.to_owned()));
        assert_eq!(told(Topic::new("").unwrap_err()), (400, "topic is empty".to_owned()));
        let named = hub.subscribe("a b").open().unwrap_err();
        assert_eq!(told(named), (400, "topic contains ' ' at byte 1".to_owned()));
        assert_eq!(told(publish(Event::new("x".repeat(11)))).0, 413);
        assert_eq!(
            told(publish(Event::new("x").with_id(crate::EventId::new("1").unwrap()))).0,
            400
        );
        for (kind, status) in [
            (LogErrorKind::Unavailable, 503),
            (LogErrorKind::Unacknowledged, 503),
            (LogErrorKind::Full, 503),
            (LogErrorKind::Closed, 503),
            (LogErrorKind::Corrupt, 500),
            (LogErrorKind::Refused, 500),
        ] {
            let (told, body) = told(log(kind));
            assert_eq!(told, status, "{kind:?}");
            assert!(!body.contains("secret"), "{body}");
        }
        hub.close();
        assert_eq!(told(publish(Event::new("x"))).0, 503);
    }

    #[test]
    fn an_error_of_a_request_has_the_form_that_the_request_prefers() {
        let hub = Hub::new();
        let accept: [&[u8]; 1] = [b"application/json"];
        let error = Resume::new().with_accept(accept).subscribe(&hub, "").open().unwrap_err();
        let response = Error::from(error).response();
        assert_eq!(response.headers[0].1, "application/problem+json");
        assert!(response.body.contains(r#""detail":"topic is empty""#), "{}", response.body);
        let error = hub.subscribe("").open().unwrap_err();
        assert_eq!(Error::from(error).response().body, "topic is empty");
    }
}
