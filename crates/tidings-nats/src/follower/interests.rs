use tidings::TopicPattern;
use tidings::backend::{LogError, Reply};

/// What a marker is wanted for.
#[derive(Debug, Default)]
pub(super) struct Interests {
    /// For the marker that is on its way.
    sent: Interest,
    /// For the next one.
    waiting: Interest,
    /// The next one is wanted for its own sake.
    look: bool,
}

#[derive(Debug, Default)]
struct Interest {
    /// Topics and families that are to be followed, and the numbers of the hub's interests.
    topics: Vec<(TopicPattern, u64)>,
    ends: Vec<Reply<u64>>,
}

impl Interests {
    pub(super) fn follow(&mut self, topics: TopicPattern, number: u64) {
        self.waiting.topics.push((topics, number));
    }

    pub(super) fn ends(&mut self, reply: Reply<u64>) {
        self.waiting.ends.push(reply);
    }

    pub(super) fn look(&mut self) {
        self.look = true;
    }

    pub(super) fn are_there(&self) -> bool {
        self.look || !self.waiting.topics.is_empty() || !self.waiting.ends.is_empty()
    }

    /// A marker is being sent; if one was on its way, this is in its place.
    pub(super) fn send(&mut self) {
        self.sent.topics.append(&mut self.waiting.topics);
        self.sent.ends.append(&mut self.waiting.ends);
        self.look = false;
    }

    /// The marker has come back.
    pub(super) fn fulfilled(&mut self) -> (Vec<(TopicPattern, u64)>, Vec<Reply<u64>>) {
        let Interest { topics, ends } = std::mem::take(&mut self.sent);
        (topics, ends)
    }

    /// Another marker will have to do.
    pub(super) fn put_back(&mut self) {
        self.waiting.topics.append(&mut self.sent.topics);
        self.waiting.ends.append(&mut self.sent.ends);
    }

    /// No marker will come back. Who asks for the end is told; topics are taken care of when the follower
    /// begins anew.
    pub(super) fn fail(&mut self, error: &LogError) {
        let replies = self.sent.ends.drain(..).chain(self.waiting.ends.drain(..));
        replies.for_each(|reply| reply.send(Err(LogError::new(error.kind(), error.to_string()))));
        *self = Self::default();
    }
}
