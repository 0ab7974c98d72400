use std::sync::Arc;

use super::TopicLog;
use super::coverage::Coverage;
use super::retention::Retention;
use crate::filter::Filter;

/// What makes a topic's log a *filtered log*: it has only those events of another log that match a filter.
///
/// The streams of a topic that have equal filters read and wait in one filtered log, as the streams without a filter do in
/// the topic's own: events that do not match wake nobody, take no room in the live window, and are no gap when they are
/// evicted. It begins with the first of these streams, and ends with the last. The past is in the log that it is of.
#[derive(Debug)]
pub(crate) struct Filtered {
    pub(crate) of: Arc<TopicLog>,
    pub(crate) filter: Filter,
}

/// The filter of a stream with these logs.
pub(crate) fn filter_of(logs: &[Arc<TopicLog>]) -> Option<&Filter> {
    logs.first().and_then(|log| log.filter())
}

impl TopicLog {
    /// `nothing` is its retention: the live window is enough, because the past is in the other log.
    pub(crate) fn filtered(
        id: u64,
        filtered: Filtered,
        nothing: Arc<Retention>,
        coverage: Coverage,
    ) -> Self {
        let name = filtered.of.name.clone();
        Self { filtered: Some(Box::new(filtered)), ..Self::new(id, name, nothing, coverage, false) }
    }

    pub(crate) fn filter(&self) -> Option<&Filter> {
        self.filtered.as_ref().map(|filtered| &filtered.filter)
    }

    /// The log that has all events of its name: of a filtered log another one, otherwise itself.
    pub(crate) fn whole(self: &Arc<Self>) -> &Arc<TopicLog> {
        self.filtered.as_ref().map_or(self, |filtered| &filtered.of)
    }
}
