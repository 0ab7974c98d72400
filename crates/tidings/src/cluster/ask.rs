use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::node::{NodeId, NodeInfo};
use crate::backend::{Receiver, Reply};
use crate::sync::{HashMap, Mutex};

/// A question to all nodes of a cluster: a future of the [`Answer`]. The question was sent when this was made, whether
/// it is awaited or not, and is answered within three seconds.
#[derive(Debug)]
#[must_use = "only the answer says what the nodes have done"]
pub struct Ask(AskState);

#[derive(Debug)]
enum AskState {
    Answered(Option<Answer>),
    Waiting(Receiver<Answer>),
}

/// What the nodes of a cluster have answered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// The sum over the nodes that have answered, this one included.
    pub total: usize,
    /// The nodes that have not answered, and may not have done what was asked.
    pub silent: Vec<NodeId>,
}

impl Ask {
    pub(super) fn of(answer: Answer) -> Self {
        Self(AskState::Answered(Some(answer)))
    }
}

impl Future for Ask {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let answer = match &mut self.0 {
            AskState::Answered(answer) => answer.take(),
            // Questions are always answered: they time out.
            AskState::Waiting(answer) => std::task::ready!(Pin::new(answer).poll(cx)).ok(),
        };
        self.0 = AskState::Answered(None);
        // Polled after it was ready: there is nothing left to give.
        answer.map_or(Poll::Pending, Poll::Ready)
    }
}

/// The questions that this node has asked.
#[derive(Debug, Default)]
pub(super) struct Asks(Mutex<HashMap<u64, OpenQuestion>>);

#[derive(Debug)]
struct OpenQuestion {
    reply: Reply<Answer>,
    total: usize,
    answered: BTreeSet<NodeId>,
    /// The nodes that have not answered yet.
    waiting: BTreeSet<NodeId>,
    /// The lost nodes, which are not waited for.
    lost: BTreeSet<NodeId>,
    /// Milliseconds of the hub's clock.
    since: u64,
}

impl OpenQuestion {
    fn finish(self) {
        let silent = self.waiting.into_iter().chain(self.lost).collect();
        self.reply.send(Ok(Answer { total: self.total, silent }));
    }
}

impl Asks {
    /// Questions time out after this, in milliseconds.
    const TIMEOUT: u64 = 2_000;

    pub(super) fn begin(&self, here: usize, nodes: Vec<NodeInfo>, now: u64) -> (u64, Ask) {
        let (lost, waiting): (Vec<_>, Vec<_>) = nodes.into_iter().partition(|node| node.is_lost);
        let ids = |nodes: Vec<NodeInfo>| nodes.into_iter().map(|node| node.id);
        let (reply, answer) = Reply::new();
        let open = OpenQuestion {
            reply,
            total: here,
            answered: BTreeSet::new(),
            waiting: ids(waiting).collect(),
            lost: ids(lost).collect(),
            since: now,
        };
        let number = fastrand::u64(..);
        if open.waiting.is_empty() {
            open.finish();
        } else {
            self.0.lock().insert(number, open);
        }
        (number, Ask(AskState::Waiting(answer)))
    }

    pub(super) fn answered(&self, number: u64, from: NodeId, total: usize) {
        let mut asks = self.0.lock();
        let Some(open) = asks.get_mut(&number) else { return };
        // A node that is new, or was thought lost, is not waited for, and counts all the same.
        if !open.answered.insert(from) {
            return;
        }
        open.total += total;
        open.waiting.remove(&from);
        open.lost.remove(&from);
        if open.waiting.is_empty() {
            let done = asks.remove(&number);
            drop(asks);
            done.into_iter().for_each(OpenQuestion::finish);
        }
    }

    /// A node has left, and its clients with it.
    pub(super) fn left(&self, node: NodeId) {
        let numbers: Vec<_> = self.0.lock().keys().copied().collect();
        numbers.into_iter().for_each(|number| self.answered(number, node, 0));
    }

    pub(super) fn expire(&self, now: u64) {
        let mut asks = self.0.lock();
        let is_over = |open: &OpenQuestion| now.saturating_sub(open.since) >= Self::TIMEOUT;
        let over: Vec<_> =
            asks.iter().filter(|(_, open)| is_over(open)).map(|(number, _)| *number).collect();
        let over: Vec<_> = over.iter().filter_map(|number| asks.remove(number)).collect();
        drop(asks);
        over.into_iter().for_each(OpenQuestion::finish);
    }
}
