//! Whether a stream's topics are finished: what memory knows, and what the hub's log has to be asked.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::Subscription;
use super::beginning::Request;
use super::look_back::Question;
use super::out_of_band::Ready;
use crate::backend::{LogError, Receiver, Reply};
use crate::end_reason::EndReason;
use crate::heartbeat::timer::Call;
use crate::hub::journal::Head;
use crate::hub::pages::Ends;
use crate::log::TopicLog;
use crate::log::standing::{End, LastEvent, Standing};
use crate::topic::{Topic, TopicPattern};

/// Topics of which the hub has no event, and whose last events its log may have.
#[derive(Debug)]
pub(super) struct AskedEnds {
    logs: Vec<Arc<TopicLog>>,
    answer: Receiver<Vec<(Topic, u64)>>,
    /// Of a fresh client, who begins when this is known.
    begins: Option<(Request, Head)>,
}

impl AskedEnds {
    /// The same topics are not asked for again for this long, in milliseconds: many streams may have them.
    const PATIENCE: u64 = 5_000;

    /// A stream of more topics that would have to be asked for does not end: anybody may name topics that nobody has heard
    /// of, and a log may look for each of them.
    const MOST: usize = 64;

    /// Whether the stream waits for the answer.
    pub(super) fn is_waited_for(&self) -> bool {
        self.begins.is_some()
    }

    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Vec<(Topic, u64)>, LogError>> {
        Pin::new(&mut self.answer).poll(cx)
    }
}

impl Subscription {
    /// The stream has read everything: whether it ends, or has something to do before it waits.
    #[inline]
    pub(super) fn ends_here(&mut self) -> bool {
        match self.feed().end(self.cursor.offset) {
            End::Open => false,
            end => self.may_end(end),
        }
    }

    #[cold]
    fn may_end(&mut self, end: End) -> bool {
        if end == End::Reached {
            // Whoever changes the topics is told that the stream is open, or it ends: not both.
            if self.client.heartbeat.note_unless(Call::End, Call::Topics) {
                self.client.end(EndReason::Finished);
            }
            return true;
        }
        let is_asking = self.out_of_band.as_ref().is_some_and(|it| it.ends.is_some());
        !is_asking && self.ask_for_ends(None)
    }

    /// Begins as a fresh client, after the hub's log has said whether the topics are finished. Returns false if it need not
    /// say that.
    pub(super) fn begins_with_ends(&mut self, request: Request, head: &Head) -> bool {
        request.may_want_ends()
            && self.feed().end(head.offset) == End::Unknown
            && self.ask_for_ends(Some((request, head.clone())))
    }

    /// Asks the hub's log which topics are finished, if that is not known.
    fn ask_for_ends(&mut self, begins: Option<(Request, Head)>) -> bool {
        let Some(replication) = &self.shared.replication else { return false };
        let feed = self.feed().clone();
        let topics = &feed.topics;
        if topics.iter().filter(|log| log.end(0) == End::Unknown).count() > AskedEnds::MOST {
            return false;
        }
        let now = self.shared.clock.now();
        let is_due = |log: &&Arc<TopicLog>| {
            let state = &mut *log.lock();
            let Standing::Unknown { asked } = &mut state.standing else { return false };
            let is_due = begins.is_some() || *asked == 0 || *asked + AskedEnds::PATIENCE <= now;
            if is_due {
                *asked = now.max(1);
            }
            is_due
        };
        let logs: Vec<_> = topics.iter().map(TopicLog::whole).filter(is_due).cloned().collect();
        if logs.is_empty() {
            return false;
        }
        let (reply, answer) = Reply::new();
        let names = logs.iter().map(|log| &log.name);
        replication.log.finished(names.filter_map(TopicPattern::topic).collect(), reply);
        self.out_of_band().ends = Some(AskedEnds { logs, answer, begins });
        true
    }

    /// The stream has read last events in the hub's log, up to where memory has the rest.
    pub(super) fn on_ends_read(&mut self, ends: &Ends) {
        if ends.is_empty() {
            return;
        }
        let logs = self.feed().topics.iter();
        let known = logs.filter_map(|log| {
            let last = log.name.topic().and_then(|topic| ends.get(&topic).copied())?;
            Some((log.whole().clone(), Some(last)))
        });
        self.shared.learn_ends(&known.collect::<Vec<_>>());
    }

    /// The hub's log has answered, or has not: then it is asked again when the stream has nothing else to do.
    pub(super) fn on_ends(
        &mut self,
        asked: AskedEnds,
        answer: Result<Vec<(Topic, u64)>, LogError>,
    ) {
        let AskedEnds { logs, begins, .. } = asked;
        if let Ok(finished) = answer {
            let end_of = |log: &Arc<TopicLog>| {
                let end = finished.iter().find(|(topic, _)| topic.as_str() == log.name.as_str());
                end.map(|(_, position)| LastEvent { position: *position })
            };
            let ends = logs.iter().map(|log| (log.clone(), end_of(log)));
            self.shared.learn_ends(&ends.collect::<Vec<_>>());
        }
        if let Some((request, head)) = begins {
            self.look_back(Question::Begin(request), head, Ready::default());
        }
    }
}
