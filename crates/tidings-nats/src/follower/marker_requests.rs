use std::mem;

use tidings::TopicPattern;
use tidings::backend::{LogError, Reply};

/// What a marker is sent for.
#[derive(Debug, Default)]
pub(super) struct MarkerRequests {
    /// For the marker that is on its way.
    sent: Requests,
    /// For the next one.
    waiting: Requests,
    /// The next one is to show whether everything works.
    is_probe_due: bool,
}

#[derive(Debug, Default)]
pub(super) struct Requests {
    /// Patterns that are to be followed, with the numbers of the hub's interests.
    pub(super) patterns: Vec<(TopicPattern, u64)>,
    /// Questions for the position of the stream's end.
    pub(super) ends: Vec<Reply<u64>>,
}

impl Requests {
    fn append(&mut self, other: &mut Self) {
        self.patterns.append(&mut other.patterns);
        self.ends.append(&mut other.ends);
    }
}

impl MarkerRequests {
    pub(super) fn follow(&mut self, pattern: TopicPattern, number: u64) {
        self.waiting.patterns.push((pattern, number));
    }

    pub(super) fn answer_end(&mut self, reply: Reply<u64>) {
        self.waiting.ends.push(reply);
    }

    pub(super) fn probe(&mut self) {
        self.is_probe_due = true;
    }

    pub(super) fn is_marker_needed(&self) -> bool {
        let Requests { patterns, ends } = &self.waiting;
        self.is_probe_due || !patterns.is_empty() || !ends.is_empty()
    }

    /// A marker is sent. If one was on its way, this one takes its place.
    pub(super) fn marker_sent(&mut self) {
        self.sent.append(&mut self.waiting);
        self.is_probe_due = false;
    }

    /// The marker has come back.
    pub(super) fn marker_came(&mut self) -> Requests {
        mem::take(&mut self.sent)
    }

    /// The marker may not come back: the next one has to do.
    pub(super) fn marker_lost(&mut self) {
        self.waiting.append(&mut self.sent);
    }

    /// No marker will come back. Questions are answered with the error; patterns are followed when the follower
    /// begins again.
    pub(super) fn fail(&mut self, error: &LogError) {
        let Self { sent, waiting, .. } = mem::take(self);
        for reply in sent.ends.into_iter().chain(waiting.ends) {
            reply.send(Err(LogError::new(error.kind(), error.to_string())));
        }
    }
}
