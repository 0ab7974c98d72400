use crate::end_reason::EndReason;
use crate::log::reset_reason::ResetReason;
use crate::server_event::ServerEvent;
use crate::status::Status;
use crate::sync::atomic::{AtomicU64, Ordering};

/// What a hub counts: of this node, since it was made.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) published: Counter,
    pub(crate) refused: Counter,
    pub(crate) fresh: Counter,
    pub(crate) resumed: Counter,
    pub(crate) resets_expired: Counter,
    pub(crate) resets_trimmed: Counter,
    pub(crate) resets_unknown: Counter,
    pub(crate) log_reads: Counter,
    pub(crate) snapshots: Counter,
    pub(crate) snapshots_failed: Counter,
    pub(crate) snapshots_timed_out: Counter,
    pub(crate) streams_untold: Counter,
    pub(crate) subscriptions_refused: Counter,
    pub(crate) streams_cut: Counter,
    pub(crate) connections_refused: Counter,
    pub(crate) connections_evicted: Counter,
    pub(crate) connections_timed_out: Counter,
    pub(crate) connections_flooded: Counter,
    pub(crate) streams_stalled: Counter,
    pub(crate) writer_restarts: Counter,
    pub(crate) ended_expired: Counter,
    pub(crate) ended_revoked: Counter,
    pub(crate) ended_limited: Counter,
    pub(crate) ended_superseded: Counter,
    pub(crate) ended_drained: Counter,
    pub(crate) ended_finished: Counter,
    pub(crate) ended_lifetime: Counter,
    pub(crate) publications_limited: Counter,
    pub(crate) checks_failed: Counter,
    pub(crate) subscriptions_finished: Counter,
    pub(crate) presence_removed: Counter,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    pub(crate) fn published(&self, is_ok: bool) {
        let counter = if is_ok { &self.published } else { &self.refused };
        counter.add();
    }

    /// A server has reported something.
    pub(crate) fn reported(&self, event: ServerEvent) {
        match event {
            ServerEvent::ConnectionRefused => self.connections_refused.add(),
            ServerEvent::ConnectionEvicted => self.connections_evicted.add(),
            ServerEvent::ConnectionTimedOut => self.connections_timed_out.add(),
            ServerEvent::ConnectionFlooded => self.connections_flooded.add(),
            ServerEvent::StreamStalled => self.streams_stalled.add(),
            ServerEvent::WriterRestarted => self.writer_restarts.add(),
        }
    }

    /// A stream was sent its end.
    pub(crate) fn ended(&self, reason: EndReason) {
        match reason {
            EndReason::Expired => self.ended_expired.add(),
            EndReason::Revoked => self.ended_revoked.add(),
            EndReason::Limited => self.ended_limited.add(),
            EndReason::Superseded => self.ended_superseded.add(),
            EndReason::Drained => self.ended_drained.add(),
            EndReason::Finished => self.ended_finished.add(),
            EndReason::Lifetime => self.ended_lifetime.add(),
        }
    }

    /// A client was sent its status.
    pub(crate) fn announced(&self, status: Status) {
        match status {
            Status::Fresh => self.fresh.add(),
            Status::Resumed => self.resumed.add(),
            Status::Reset(ResetReason::Expired) => self.resets_expired.add(),
            Status::Reset(ResetReason::Trimmed) => self.resets_trimmed.add(),
            Status::Reset(ResetReason::Unknown) => self.resets_unknown.add(),
            Status::Pending => {}
        }
    }
}
