//! What a hub does with what its log delivers and reports.

use super::journal::entry::{Entry, EntryKind};
use super::publish::ID_ROOM;
use super::replication::Replication;
use super::shared::Shared;
use crate::backend::{Follower, LogError, Origin, Record, RecordError};
use crate::clients::Clients;
use crate::cluster::membership::Received;
use crate::topic::TopicPattern;
use crate::{clock, encode};

impl Shared {
    fn with_replication(&self, act: impl FnOnce(&Replication)) {
        // A hub without a log has no replica.
        if let Some(replication) = &self.replication {
            act(replication);
        }
    }
}

impl Follower for Shared {
    fn deliver(&self, record: Record) {
        let Record { position, at, topic, event, seen } = record;
        let limit = self.defaults.max_event_bytes;
        let body = match encode::fields_within(&event, ID_ROOM, limit) {
            Ok(body) => body,
            Err(size) => {
                let cause = format!("is {size} bytes, over the limit of {limit}");
                return self.rejected(position, &RecordError::new("event", cause));
            }
        };
        // Its age by the wall clock, which may have been set; an event never comes from the future.
        let age = clock::unix_millis().saturating_sub(at);
        let at = self.clock.now().saturating_sub(age);
        let kind = EntryKind::Replicated { position, at, seen };
        // The only error is that the hub is closed, and its streams end.
        let _ = self.append(Entry { topic: &topic, body, tags: event.tags().cloned(), kind });
        self.with_replication(|replication| replication.on_reached(position));
    }

    fn reached(&self, position: u64) {
        self.journal.lock().reach(position);
        self.with_replication(|replication| replication.on_reached(position));
    }

    fn rejected(&self, position: u64, error: &RecordError) {
        self.with_replication(|replication| {
            replication.update_link(|link| link.reject(position, error));
        });
        self.reached(position);
    }

    fn restart(&self, origin: Origin) {
        self.change(|journal, tail| journal.restart(origin, tail));
        self.with_replication(Replication::retry);
    }

    fn followed(&self, names: &[(&TopicPattern, u64)], position: u64) {
        self.change(|journal, tail| journal.follow(names, position, tail));
        self.with_replication(Replication::on_progress);
    }

    fn position(&self) -> u64 {
        self.head().position
    }

    fn caught_up(&self) {
        let now = self.clock.now();
        self.with_replication(|replication| replication.update_link(|link| link.catch_up(now)));
    }

    fn link(&self, link: Result<(), &LogError>) {
        let now = self.clock.now();
        self.with_replication(|replication| {
            // Not at each attempt of the log's that fails: who waits takes retries for seconds.
            if replication.update_link(|state| state.change(link, now)) {
                replication.retry();
            }
        });
    }

    fn signalled(&self, signal: &[u8]) {
        let now = self.clock.now();
        let received = self.cluster.as_ref().and_then(|cluster| cluster.receive(signal, now));
        match received {
            None => {}
            // The new node does not know this one.
            Some(Received::NewNode) => self.announce(),
            Some(Received::Question { from, number, question }) => {
                let total = Clients::new(self).answer(&question);
                self.signal(|cluster| cluster.answer(from, number, total));
            }
            Some(Received::RenewPresence) => {
                self.presence.iter().for_each(|presence| presence.renew());
            }
            Some(Received::Published(sources)) => {
                if let Some(rate) = self.defaults.source_rate {
                    sources.iter().for_each(|(source, count)| {
                        self.sources.published_elsewhere(source, *count, rate, now);
                    });
                }
            }
            Some(Received::Ephemeral { topic, event }) => {
                let body = encode::fields_without_id(&event, 0);
                let tags = event.tags().cloned();
                let entry = Entry { topic: &topic, body, tags, kind: EntryKind::Ephemeral };
                // The hub is closed, or knows that the topic is finished, and that node does not.
                let _ = self.append(entry);
            }
        }
    }
}
