//! Errors of Redis and its client as errors of a log.

use redis::{ErrorKind, RedisError};
use tidings::backend::{LogError, LogErrorKind};

/// Codes of errors that Redis answers with, and what they mean for a log. A command that is answered with one of
/// them has changed nothing, but for the last.
const CODES: [(&str, LogErrorKind); 19] = [
    ("OOM", LogErrorKind::Full),
    // Redis can no longer write its snapshots or its AOF.
    ("MISCONF", LogErrorKind::Full),
    ("READONLY", LogErrorKind::Refused),
    ("NOAUTH", LogErrorKind::Refused),
    ("WRONGPASS", LogErrorKind::Refused),
    ("NOPERM", LogErrorKind::Refused),
    ("WRONGTYPE", LogErrorKind::Refused),
    ("CROSSSLOT", LogErrorKind::Refused),
    ("LOADING", LogErrorKind::Unavailable),
    ("BUSY", LogErrorKind::Unavailable),
    ("CLUSTERDOWN", LogErrorKind::Unavailable),
    ("MASTERDOWN", LogErrorKind::Unavailable),
    ("TRYAGAIN", LogErrorKind::Unavailable),
    ("MOVED", LogErrorKind::Unavailable),
    ("ASK", LogErrorKind::Unavailable),
    ("NOREPLICAS", LogErrorKind::Unavailable),
    ("NOSCRIPT", LogErrorKind::Unavailable),
    // Of the log's own script.
    ("FINISHED", LogErrorKind::Finished),
    (KEPT, LogErrorKind::Unacknowledged),
];

/// The event is in the stream, and what belongs to it could not be noted.
const KEPT: &str = "KEPT";

/// What a script says that may not run one of its commands. It does not say which.
const NO_PERMISSION: &str = "user executing the script can't run this command";

/// An error with the action that failed and the cause: `redis: cannot append: OOM command not allowed …`.
pub(crate) fn failed(action: &str, error: &RedisError) -> LogError {
    let message = format!("redis: cannot {action}: {}", cause(error));
    LogError::new(kind(error), message).with_source(error.clone())
}

/// As [`failed`], for what may have happened all the same.
pub(crate) fn unacknowledged(action: &str, error: &RedisError) -> LogError {
    let message = format!("redis: cannot {action}: {}", cause(error));
    LogError::new(LogErrorKind::Unacknowledged, message).with_source(error.clone())
}

/// An address, an option or a server that the log cannot work with.
pub(crate) fn refused(cause: impl std::fmt::Display) -> LogError {
    LogError::new(LogErrorKind::Refused, format!("redis: {cause}"))
}

/// Whether the server answered that it cannot do it now, or that another server must. Nothing has happened, and
/// another attempt may succeed.
pub(crate) fn is_passing(error: &RedisError) -> bool {
    let code = code(error);
    code == Some("READONLY") || code.is_some() && kind(error) == LogErrorKind::Unavailable
}

/// Whether the connection is lost, or leads to the wrong server.
pub(crate) fn is_link_error(error: &RedisError) -> bool {
    let is_ours = matches!(error.kind(), ErrorKind::UnexpectedReturnType | ErrorKind::Client);
    code(error).is_none() && !is_ours || is_passing(error)
}

fn kind(error: &RedisError) -> LogErrorKind {
    if let Some(code) = code(error) {
        let known = CODES.iter().find(|(known, _)| *known == code);
        return known.map_or(LogErrorKind::Refused, |(_, kind)| *kind);
    }
    match error.kind() {
        ErrorKind::AuthenticationFailed
        | ErrorKind::InvalidClientConfig
        | ErrorKind::EmptySentinelList
        | ErrorKind::RESP3NotSupported => LogErrorKind::Refused,
        ErrorKind::UnexpectedReturnType => LogErrorKind::Corrupt,
        _ => LogErrorKind::Unavailable,
    }
}

/// The code of an error that the server has answered with.
fn code(error: &RedisError) -> Option<&str> {
    let code = error.code()?;
    // Up to 6.2, a command that fails in a script is an error of the script, with the cause in its text.
    let details = error.detail().unwrap_or_default();
    let within = || CODES.iter().find(|(code, _)| details.contains(&format!(": {code} ")));
    match code {
        "ERR" if details.contains(NO_PERMISSION) => Some("NOPERM"),
        "ERR" if details.contains("@user_script") => Some(within().map_or(code, |(code, _)| code)),
        _ => Some(code),
    }
}

fn cause(error: &RedisError) -> String {
    const NEEDED: &str = "; it needs get, set, xadd, xrange, hget, hset, hdel, zadd and zrem";

    let is_denied = error.detail().is_some_and(|detail| detail.contains(NO_PERMISSION));
    let needed = if is_denied { NEEDED } else { "" };
    match (error.code(), error.detail()) {
        (Some(KEPT), Some(detail)) => format!("it is in the stream, but then: {detail}{needed}"),
        (Some(_), Some(detail)) if is_denied => format!("NOPERM {detail}{needed}"),
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (None, Some(detail)) if error.kind() == ErrorKind::Client => detail.to_owned(),
        _ if error.is_timeout() => "no answer in time".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(line: &str) -> RedisError {
        let value = redis::parse_redis_value(line.as_bytes()).unwrap();
        value.extract_error().unwrap_err()
    }

    #[test]
    fn an_answer_becomes_an_error_of_its_kind_with_its_cause() {
        for (line, kind, message) in [
            (
                "-OOM command not allowed when used memory > 'maxmemory'.\r\n",
                LogErrorKind::Full,
                "redis: cannot append: OOM command not allowed when used memory > 'maxmemory'.",
            ),
            (
                "-NOPERM this user has no permissions\r\n",
                LogErrorKind::Refused,
                "redis: cannot append: NOPERM this user has no permissions",
            ),
            (
                "-LOADING Redis is loading\r\n",
                LogErrorKind::Unavailable,
                "redis: cannot append: LOADING Redis is loading",
            ),
            (
                "-ERR syntax error\r\n",
                LogErrorKind::Refused,
                "redis: cannot append: ERR syntax error",
            ),
            (
                "-KEPT ERR value is not an integer\r\n",
                LogErrorKind::Unacknowledged,
                "redis: cannot append: it is in the stream, but then: ERR value is not an integer",
            ),
            (
                "-KEPT The user executing the script can't run this command or subcommand\r\n",
                LogErrorKind::Unacknowledged,
                "redis: cannot append: it is in the stream, but then: The user executing the script \
                 can't run this command or subcommand; it needs get, set, xadd, xrange, hget, hset, \
                 hdel, zadd and zrem",
            ),
        ] {
            let error = failed("append", &answered(line));
            assert_eq!((error.kind(), error.to_string().as_str()), (kind, message));
        }
    }

    #[test]
    fn the_cause_within_a_script_is_found_in_answers_of_older_servers() {
        let line = "-ERR Error running script (call to f_1): @user_script:4: @user_script: 4: \
                    -OOM command not allowed\r\n";
        let line = line.replace(": -OOM", ": OOM");
        assert_eq!(failed("append", &answered(&line)).kind(), LogErrorKind::Full);
    }

    #[test]
    fn an_append_over_a_lost_link_is_unacknowledged() {
        let lost = RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        assert_eq!(failed("append", &lost).kind(), LogErrorKind::Unavailable);
        assert_eq!(unacknowledged("append", &lost).kind(), LogErrorKind::Unacknowledged);
        assert!(is_link_error(&lost) && !is_passing(&lost));
    }

    #[test]
    fn a_replica_that_answers_is_the_wrong_server_and_worth_another_attempt() {
        let replica = answered("-READONLY You can't write against a read only replica.\r\n");
        assert!(is_passing(&replica) && is_link_error(&replica));
        let full = answered("-OOM command not allowed\r\n");
        assert!(!is_passing(&full) && !is_link_error(&full));
    }
}
