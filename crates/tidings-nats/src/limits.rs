//! What the stream keeps.

use std::time::Duration;

use async_nats::jetstream::stream::{
    Config, DiscardPolicy, Republish, RetentionPolicy, StorageType,
};
use tidings::backend::{LogError, LogErrorKind};

use crate::error::error;
use crate::subject::Subjects;

/// The limits of the stream; `None` where none was given.
#[derive(Debug, Clone, Default)]
pub(crate) struct StreamLimits {
    pub(crate) replicas: Option<usize>,
    pub(crate) max_events: Option<u64>,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) idempotency_window: Option<Duration>,
    /// For how long an event is sent again. The stream must know for as long that it has it.
    pub(crate) append_timeout: Duration,
}

impl StreamLimits {
    /// The configuration of a new stream.
    pub(crate) fn config(&self, name: &str, subjects: &Subjects) -> Config {
        Config {
            name: name.to_owned(),
            description: Some("The log of a Tidings hub".to_owned()),
            subjects: vec![subjects.all()],
            republish: Some(republish(subjects)),
            allow_rollup: true,
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::Old,
            storage: StorageType::File,
            num_replicas: self.replicas.unwrap_or(1),
            // Two are the log's own messages.
            max_messages: signed(self.max_events.unwrap_or(100_000)).saturating_add(2),
            max_bytes: signed(self.max_bytes.unwrap_or(1 << 30)),
            max_age: self.max_age.unwrap_or_default(),
            max_messages_per_subject: -1,
            max_consumers: -1,
            duplicate_window: self.window(),
            ..Config::default()
        }
    }

    fn window(&self) -> Duration {
        self.idempotency_window.unwrap_or_else(|| {
            let usual = Duration::from_secs(120);
            self.max_age.map_or(usual, |age| age.min(usual))
        })
    }

    /// Checks that a stream that exists already has what this log needs, and the limits that were given.
    pub(crate) fn check(&self, found: &Config, subjects: &Subjects) -> Result<(), LogError> {
        let expected = self.config(&found.name, subjects);
        let needed = [
            ("subjects", found.subjects == expected.subjects),
            ("republish", found.republish == expected.republish),
            ("retention", found.retention == expected.retention),
            ("allow_rollup_hdrs", found.allow_rollup),
            // Otherwise events would vanish from the middle without notice.
            ("max_msgs_per_subject", found.max_messages_per_subject <= 0),
            ("no_ack", !found.no_ack),
            ("sealed", !found.sealed),
        ];
        let given = [
            (
                "num_replicas",
                self.replicas.is_none() || found.num_replicas == expected.num_replicas,
            ),
            ("max_msgs", self.max_events.is_none() || found.max_messages == expected.max_messages),
            ("max_bytes", self.max_bytes.is_none() || found.max_bytes == expected.max_bytes),
            ("max_age", self.max_age.is_none() || found.max_age == expected.max_age),
            (
                "duplicate_window",
                self.idempotency_window.is_none()
                    || found.duplicate_window == expected.duplicate_window,
            ),
        ];
        let (window, timeout) = (found.duplicate_window, self.append_timeout);
        match needed.into_iter().chain(given).find(|(_, is_so)| !is_so) {
            None if window < timeout => {
                let name = &found.name;
                let cause = format!(
                    "stream {name}: its duplicate_window of {window:?} is shorter than \
                     append_timeout of {timeout:?}: an event could be stored twice"
                );
                Err(error(LogErrorKind::Refused, cause))
            }
            None => Ok(()),
            Some((field, _)) => {
                let cause =
                    format!("stream {}: its {field} is not what this log needs", found.name);
                Err(error(LogErrorKind::Refused, cause))
            }
        }
    }
}

fn republish(subjects: &Subjects) -> Republish {
    let (source, destination) = (subjects.all(), subjects.all_live());
    Republish { source, destination, headers_only: false }
}

fn signed(limit: u64) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subjects() -> Subjects {
        Subjects::new("tidings".to_owned())
    }

    #[test]
    fn a_stream_that_is_as_it_was_made_is_accepted() {
        let limits = StreamLimits { max_events: Some(5), ..StreamLimits::default() };
        let config = limits.config("S", &subjects());
        limits.check(&config, &subjects()).unwrap();
        StreamLimits::default().check(&config, &subjects()).unwrap();
    }

    #[test]
    fn a_stream_that_differs_is_refused_with_the_field() {
        let limits = StreamLimits { max_events: Some(5), ..StreamLimits::default() };
        let mut config = limits.config("S", &subjects());
        config.max_messages = 6;
        let error = limits.check(&config, &subjects()).unwrap_err();
        assert_eq!(error.kind(), LogErrorKind::Refused);
        assert_eq!(error.to_string(), "nats: stream S: its max_msgs is not what this log needs");
        config.republish = None;
        let error = StreamLimits::default().check(&config, &subjects()).unwrap_err();
        assert!(error.to_string().contains("its republish is not"), "{error}");
    }

    #[test]
    fn a_window_that_is_shorter_than_events_are_sent_again_is_refused() {
        let append_timeout = Duration::from_secs(5);
        let limits = StreamLimits { append_timeout, ..StreamLimits::default() };
        let mut config = limits.config("S", &subjects());
        limits.check(&config, &subjects()).unwrap();
        config.duplicate_window = Duration::from_secs(1);
        let error = limits.check(&config, &subjects()).unwrap_err();
        assert_eq!(error.kind(), LogErrorKind::Refused);
        let expected = "nats: stream S: its duplicate_window of 1s is shorter than \
                        append_timeout of 5s: an event could be stored twice";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_window_is_not_longer_than_the_history() {
        let limits =
            StreamLimits { max_age: Some(Duration::from_secs(60)), ..StreamLimits::default() };
        assert_eq!(limits.config("S", &subjects()).duplicate_window, Duration::from_secs(60));
    }
}
