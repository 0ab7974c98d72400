//! What a server complains about.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::{Event, ServerError};
use parking_lot::Mutex;
use tidings::backend::{LogError, LogErrorKind};

/// The last error that the server has reported and that answers nothing, such as a permission that is missing: what
/// needs it only gets no answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Complaint(Arc<Mutex<Option<(Instant, String)>>>);

impl Complaint {
    /// For how long it may be why something fails.
    const RECENT: Duration = Duration::from_secs(60);

    pub(crate) fn hear(&self, event: Event) {
        if let Event::ServerError(ServerError::Other(text)) = event {
            *self.0.lock() = Some((Instant::now(), text));
        }
    }

    /// Adds it to an error that has no cause of its own.
    pub(crate) fn explain(&self, error: LogError) -> LogError {
        let has_cause =
            !matches!(error.kind(), LogErrorKind::Unavailable | LogErrorKind::Unacknowledged);
        match &*self.0.lock() {
            Some((at, text)) if !has_cause && at.elapsed() < Self::RECENT => {
                let message = format!("{error}; the server said: {text}");
                LogError::new(error.kind(), message).with_source(error)
            }
            _ => error,
        }
    }

    /// The same for a log that is connecting: it does not get a permission by trying again.
    pub(crate) fn explain_at_connect(&self, error: LogError) -> LogError {
        let explained = self.explain(error);
        let text = explained.to_string();
        match text.contains("Permissions Violation") {
            true => LogError::new(LogErrorKind::Refused, text).with_source(explained),
            false => explained,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{error, no_answer};

    #[test]
    fn it_explains_why_there_was_no_answer() {
        let complaint = Complaint::default();
        let explained = complaint.explain(no_answer("read")).to_string();
        assert_eq!(explained, "nats: read: no answer in time");
        complaint.hear(Event::ServerError(ServerError::Other("Permissions Violation".to_owned())));
        complaint.hear(Event::Connected);
        let explained = complaint.explain(no_answer("read")).to_string();
        let expected = "nats: read: no answer in time; the server said: Permissions Violation";
        assert_eq!(explained, expected);
        assert_eq!(complaint.explain(no_answer("read")).kind(), LogErrorKind::Unavailable);
        let refused = complaint.explain_at_connect(no_answer("read"));
        assert_eq!((refused.kind(), &*refused.to_string()), (LogErrorKind::Refused, expected));
        let full = complaint.explain(error(LogErrorKind::Full, "stream is full"));
        assert_eq!(full.to_string(), "nats: stream is full");
    }
}
