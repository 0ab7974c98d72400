//! What can be set about a log.

use std::time::Duration;

use crate::limits::StreamLimits;

/// See [`NatsLogBuilder`](crate::NatsLogBuilder), which documents each field.
#[derive(Debug)]
pub(crate) struct NatsOptions {
    pub(crate) stream: String,
    pub(crate) prefix: String,
    pub(crate) limits: StreamLimits,
    pub(crate) is_selective: bool,
    pub(crate) append_timeout: Duration,
    pub(crate) request_timeout: Duration,
}

impl Default for NatsOptions {
    fn default() -> Self {
        Self {
            stream: "TIDINGS".to_owned(),
            prefix: "tidings".to_owned(),
            limits: StreamLimits::default(),
            is_selective: false,
            append_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(2),
        }
    }
}
