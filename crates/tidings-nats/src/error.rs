//! Errors of NATS and its client as errors of a log.

use std::error::Error;
use std::fmt::Display;

use async_nats::jetstream::context::{
    CreateStreamError, CreateStreamErrorKind, GetStreamError, GetStreamErrorKind, PublishError,
    PublishErrorKind, RequestError, RequestErrorKind,
};
use async_nats::jetstream::stream::{LastRawMessageError, LastRawMessageErrorKind};
use async_nats::jetstream::{self, ErrorCode};
use async_nats::{ConnectError, ConnectErrorKind};
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
pub(crate) fn asking(what: &str, source: impl Error + Send + Sync + 'static) -> LogError {
    let kind = kind_of_cause(&source).unwrap_or(LogErrorKind::Unavailable);
    error(kind, format_args!("{what}: {source}")).with_source(source)
}

/// A publication that was not acknowledged.
pub(crate) fn publishing(source: PublishError) -> LogError {
    let kind = match source.kind() {
        // The server knows that it was not stored: there is no such stream, or no leader now.
        PublishErrorKind::StreamNotFound => LogErrorKind::Unavailable,
        // Expected only to learn whether a publication to a finished topic is a duplicate.
        PublishErrorKind::WrongLastSequence => LogErrorKind::Finished,
        _ => kind_of_cause(&source).unwrap_or(LogErrorKind::Unacknowledged),
    };
    error(kind, format_args!("publish: {source}")).with_source(source)
}

/// Looks for an answer of JetStream among an error and its causes.
fn kind_of_cause(error: &(dyn Error + 'static)) -> Option<LogErrorKind> {
    kind_of_answer(error).or_else(|| kind_of_cause(error.source()?))
}

fn kind_of_answer(error: &(dyn Error + 'static)) -> Option<LogErrorKind> {
    if let Some(refusal) = error.downcast_ref::<jetstream::Error>() {
        return Some(kind_of(refusal));
    }
    if let Some(error) = error.downcast_ref::<GetStreamError>() {
        let GetStreamErrorKind::JetStream(refusal) = error.kind() else { return None };
        return Some(kind_of(&refusal));
    }
    if let Some(error) = error.downcast_ref::<LastRawMessageError>() {
        let LastRawMessageErrorKind::JetStream(refusal) = error.kind() else { return None };
        return Some(kind_of(&refusal));
    }
    if let Some(error) = error.downcast_ref::<CreateStreamError>() {
        return match error.kind() {
            CreateStreamErrorKind::JetStream(refusal) => Some(kind_of(&refusal)),
            CreateStreamErrorKind::JetStreamUnavailable => Some(LogErrorKind::Refused),
            _ => None,
        };
    }
    // JetStream always answers, so it is unavailable.
    let request = error.downcast_ref::<RequestError>()?;
    (request.kind() == RequestErrorKind::NoResponders).then_some(LogErrorKind::Unavailable)
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
