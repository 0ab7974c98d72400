//! What can be set about a log.

use std::time::Duration;

use tidings::backend::LogError;

use crate::error::refused;

/// See [`RedisLogBuilder`](crate::RedisLogBuilder), which documents each field.
#[derive(Debug, Clone)]
pub(crate) struct RedisOptions {
    pub(crate) name: String,
    pub(crate) max_events: u64,
    pub(crate) max_age: Option<Duration>,
    pub(crate) replay: u64,
    pub(crate) idempotency_window: Duration,
    pub(crate) max_pending: usize,
    pub(crate) append_timeout: Duration,
    pub(crate) answer_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) replicas: Option<(u32, Duration)>,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            name: "tidings".to_owned(),
            max_events: 100_000,
            max_age: None,
            replay: 10_000,
            idempotency_window: Duration::from_secs(120),
            max_pending: 10_000,
            append_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(2),
            replicas: None,
        }
    }
}

impl RedisOptions {
    pub(crate) fn max_age_millis(&self) -> u128 {
        self.max_age.map_or(0, |age| age.as_millis())
    }

    pub(crate) fn check(&self) -> Result<(), LogError> {
        const MAX_NAME: usize = 100;
        const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

        let name = &self.name;
        let is_name = |byte: u8| byte.is_ascii_graphic() && byte != b'{' && byte != b'}';
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_name) {
            return Err(refused(format_args!(
                "name: {name:?} is not 1 to {MAX_NAME} visible ASCII characters other than braces"
            )));
        }
        if self.max_events == 0 {
            return Err(refused("max events is 0"));
        }
        for (field, time) in [
            ("idempotency window", self.idempotency_window),
            ("append timeout", self.append_timeout),
            ("answer timeout", self.answer_timeout),
            ("connect timeout", self.connect_timeout),
            ("timeout of replicas", self.replicas.map_or(Duration::ZERO, |(_, timeout)| timeout)),
        ] {
            // Clocks end somewhere, and so do the times to live of keys.
            if time > YEAR {
                return Err(refused(format_args!("{field} is longer than a year")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_out_of_range_are_refused_with_the_field() {
        let refused = |options: RedisOptions| options.check().unwrap_err().to_string();
        for name in ["", "a b", "a{b", &"a".repeat(101)] {
            let error = refused(RedisOptions { name: name.to_owned(), ..Default::default() });
            assert!(error.starts_with("redis: name: "), "{error}");
        }
        let error = refused(RedisOptions { max_events: 0, ..Default::default() });
        assert_eq!(error, "redis: max events is 0");
        let (ever, options) = (Duration::MAX, RedisOptions::default());
        for (field, options) in [
            ("idempotency window", RedisOptions { idempotency_window: ever, ..options.clone() }),
            ("append timeout", RedisOptions { append_timeout: ever, ..options.clone() }),
            ("answer timeout", RedisOptions { answer_timeout: ever, ..options.clone() }),
            ("connect timeout", RedisOptions { connect_timeout: ever, ..options.clone() }),
            ("timeout of replicas", RedisOptions { replicas: Some((1, ever)), ..options }),
        ] {
            assert_eq!(refused(options), format!("redis: {field} is longer than a year"));
        }
        assert!(RedisOptions::default().check().is_ok());
    }
}
