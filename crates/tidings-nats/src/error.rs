//! Errors of NATS and its client as errors of a log.

use std::error::Error;
use std::fmt::Display;

use async_nats::jetstream::context::{
    CreateStreamError, CreateStreamErrorKind, GetStreamError, GetStreamErrorKind, PublishError,
    PublishErrorKind, RequestError, RequestErrorKind,
};
use async_nats::jetstream::stream::{LastRawMessageError, LastRawMessageErrorKind};
use async_nats::jetstream::{self, ErrorCode};
use async_nats::{ConnectError, ConnectErrorKind, SubscribeError};
use tidings::backend::{LogError, LogErrorKind};

/// An error of this engine.
pub(crate) fn error(kind: LogErrorKind, cause: impl Display) -> LogError {
    LogError::new(kind, format!("nats: {cause}"))
}

/// The link is down, or was lost during the operation.
pub(crate) fn link_is_down() -> LogError {
    error(LogErrorKind::Unavailable, "link is down")
}

/// There was no answer in time.
pub(crate) fn no_answer(what: &str) -> LogError {
    error(LogErrorKind::Unavailable, format_args!("{what}: no answer in time"))
}

/// A connection that could not be made.
pub(crate) fn connecting(source: ConnectError) -> LogError {
    let kind = match source.kind() {
        ConnectErrorKind::ServerParse
        | ConnectErrorKind::Authentication
        | ConnectErrorKind::AuthorizationViolation
        | ConnectErrorKind::Tls => LogErrorKind::Refused,
        _ => LogErrorKind::Unavailable,
    };
    error(kind, format_args!("cannot connect: {source}")).with_source(source)
}

/// A request to JetStream has failed.
pub(crate) fn asking<E>(what: &str, source: E) -> LogError
where
    E: Answer + Error + Send + Sync + 'static,
{
    let kind = source.kind_of_answer();
    error(kind, format_args!("{what}: {source}")).with_source(source)
}

/// An error that may have come from JetStream itself, or mean that there was no answer.
pub(crate) trait Answer {
    fn kind_of_answer(&self) -> LogErrorKind;
}

impl Answer for GetStreamError {
    fn kind_of_answer(&self) -> LogErrorKind {
        match self.kind() {
            GetStreamErrorKind::JetStream(refusal) => kind_of(&refusal),
            _ => of_chain(self).unwrap_or(LogErrorKind::Unavailable),
        }
    }
}

impl Answer for CreateStreamError {
    fn kind_of_answer(&self) -> LogErrorKind {
        match self.kind() {
            CreateStreamErrorKind::JetStream(refusal) => kind_of(&refusal),
            CreateStreamErrorKind::JetStreamUnavailable => LogErrorKind::Refused,
            _ => of_chain(self).unwrap_or(LogErrorKind::Unavailable),
        }
    }
}

impl Answer for RequestError {
    fn kind_of_answer(&self) -> LogErrorKind {
        of_chain(self).unwrap_or(LogErrorKind::Unavailable)
    }
}

impl Answer for LastRawMessageError {
    fn kind_of_answer(&self) -> LogErrorKind {
        match self.kind() {
            LastRawMessageErrorKind::JetStream(refusal) => kind_of(&refusal),
            _ => of_chain(self).unwrap_or(LogErrorKind::Unavailable),
        }
    }
}

impl Answer for SubscribeError {
    fn kind_of_answer(&self) -> LogErrorKind {
        LogErrorKind::Unavailable
    }
}

/// A publication that was not acknowledged.
pub(crate) fn publishing(source: PublishError) -> LogError {
    let kind = match source.kind() {
        // The server knows that it was not stored: there is no such stream, or no leader now.
        PublishErrorKind::StreamNotFound => LogErrorKind::Unavailable,
        _ => of_chain(&source).unwrap_or(LogErrorKind::Unacknowledged),
    };
    error(kind, format_args!("publish: {source}")).with_source(source)
}

/// Looks for an answer of JetStream among the causes of an error.
fn of_chain(error: &(dyn Error + 'static)) -> Option<LogErrorKind> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(refusal) = error.downcast_ref::<jetstream::Error>() {
            return Some(kind_of(refusal));
        }
        // JetStream always answers, so it is unavailable.
        if let Some(request) = error.downcast_ref::<RequestError>() {
            if request.kind() == RequestErrorKind::NoResponders {
                return Some(LogErrorKind::Unavailable);
            }
        }
        cause = error.source();
    }
    None
}

fn kind_of(refusal: &jetstream::Error) -> LogErrorKind {
    match refusal.error_code() {
        ErrorCode::ACCOUNT_RESOURCES_EXCEEDED
        | ErrorCode::INSUFFICIENT_RESOURCES
        | ErrorCode::MEMORY_RESOURCES_EXCEEDED
        | ErrorCode::STORAGE_RESOURCES_EXCEEDED
        | ErrorCode::STREAM_STORE_FAILED
        | ErrorCode::TEMP_STORAGE_FAILED => LogErrorKind::Full,
        ErrorCode::CLUSTER_NOT_AVAILABLE
        | ErrorCode::CLUSTER_NOT_LEADER
        | ErrorCode::CLUSTER_INCOMPLETE
        | ErrorCode::STREAM_NOT_FOUND
        | ErrorCode::STREAM_OFFLINE => LogErrorKind::Unavailable,
        _ => LogErrorKind::Refused,
    }
}
