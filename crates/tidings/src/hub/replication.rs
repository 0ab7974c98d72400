use bytes::Bytes;

use super::shared::Shared;
use crate::backend::{LogError, Origin, Record, RecordError};
use crate::topic::Topic;

impl Shared {
    pub(crate) fn deliver(&self, record: Record) {
        let _ = record;
    }

    pub(crate) fn reached(&self, position: u64) {
        let _ = position;
    }

    pub(crate) fn rejected(&self, position: u64, error: &RecordError) {
        let _ = (position, error);
    }

    pub(crate) fn restart(&self, origin: Origin) {
        let _ = origin;
    }

    pub(crate) fn followed<'a>(&self, topics: impl IntoIterator<Item = &'a Topic>, position: u64) {
        let _ = (topics.into_iter().count(), position);
    }

    pub(crate) fn link_caught_up(&self) {}

    pub(crate) fn link_changed(&self, link: Result<(), &LogError>) {
        let _ = link;
    }

    pub(crate) fn signalled(&self, signal: &Bytes) {
        let _ = signal;
    }
}
