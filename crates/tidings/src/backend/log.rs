use std::fmt;

use bytes::Bytes;

use super::read::{Page, Read};
use super::record::{Append, Appended};
use super::replica::Replica;
use super::reply::Reply;
use crate::epoch::Epoch;
use crate::topic::{Topic, TopicPattern};

/// A log of events on some engine. The [module](super) says what it promises.
///
/// A backend makes it when it has connected to its engine, or opened its file, and knows the epoch.
pub trait Log: fmt::Debug + Send + Sync + 'static {
    /// Which history this is, and from where the replica will be given all of it. Called once, before
    /// [`start`](Self::start).
    ///
    /// The origin should be far enough back that the replica gets the events that reconnecting clients are likely to
    /// ask for: about ten thousand.
    fn origin(&self) -> Origin;

    /// Begins to deliver every event after the [origin](Self::origin). Called once. Events may be delivered before this
    /// returns, but only from another thread or task.
    fn start(&self, replica: Replica);

    /// Appends an event, and answers when it is safe.
    fn append(&self, append: Append, reply: Reply<Appended>);

    /// Reads events back.
    fn read(&self, read: Read, reply: Reply<Page>);

    /// Answers with the position of the newest event in the log, as the engine has it now. The replica must reach that
    /// position without further events: if no delivery brings it there, the log calls [`Replica::reached`].
    fn end(&self, reply: Reply<u64>);

    /// Answers with those of these topics that are finished, as far as the log knows, each with the position of its
    /// [last event](crate::Event::is_last). The hub asks for topics of which it has no event, so no answer is needed for
    /// events that are newer than the [origin](Self::origin). Default: none, for a log that does not find them.
    fn finished(&self, topics: Vec<Topic>, reply: Reply<Vec<(Topic, u64)>>) {
        drop(topics);
        reply.send(Ok(Vec::new()));
    }

    /// Ends the log's work: the last handle of the hub was dropped. Appends that came before are finished and answered;
    /// later requests are answered with [`LogErrorKind::Closed`](super::LogErrorKind::Closed). The log itself is dropped
    /// later, with the last stream of the hub; so what it holds exclusively, such as a file, must be free when this
    /// returns. It may block for that.
    fn stop(&self);

    /// Whether other processes may have replicas of this log. Default: no.
    fn is_shared(&self) -> bool {
        false
    }

    /// Sends some bytes to [`Replica::signalled`] on every *other* node that is connected now, at most once. For events
    /// that are not retained, and for the questions that nodes ask each other. Default: does nothing.
    fn signal(&self, signal: Bytes) {
        drop(signal);
    }

    /// Whether the log delivers only events of topics that the hub [is interested in](Self::set_interest). Always the
    /// same. Default: no, it delivers all.
    fn is_selective(&self) -> bool {
        false
    }

    /// Of a selective log: the hub is interested in the events of a topic or pattern from now on, or no longer (`None`).
    /// An event that several interests match is delivered once, and as long as one of them exists.
    ///
    /// The number names this interest: a topic may lose its last subscriber and get a new one before the log has acted,
    /// and [`Replica::followed`] says which of the two interests it answers. Calls come in the order of the changes,
    /// one at a time.
    fn set_interest(&self, pattern: &TopicPattern, interest: Option<u64>) {
        let _ = (pattern, interest);
    }
}

/// Where a replica begins.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Origin {
    /// The name of the history.
    pub epoch: Epoch,
    /// Events after this position will be delivered; those up to it will not.
    pub position: u64,
    /// The position of the newest event in the log, or of the origin if there is none after it. Events up to here are
    /// history: a fresh client is not sent them as news.
    pub end: u64,
}

impl Origin {
    /// A history from after this position, with events up to `end`.
    pub fn new(epoch: Epoch, position: u64, end: u64) -> Self {
        Self { epoch, position, end }
    }
}
