//! A client that is cut at random times, and comes back to another node each time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tidings_testkit::checker::{EventId, Visit, is_of};
use tidings_testkit::wire::{Connection, Request, Response};
use tidings_tests::random::Random;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::ledger::Receipts;

/// How long a client waits for the head of a response before it tries another node.
const PATIENCE: Duration = Duration::from_secs(2);

/// What clients are told to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    /// Come and go.
    Roam,
    /// Every other client stays away, and the rest come and go.
    StayAway,
    /// Stay until the last events of all topics have come: topics and ids.
    Reach(Arc<Vec<(String, String)>>),
    /// Leave now.
    Leave,
}

pub(crate) struct Client {
    pub(crate) number: usize,
    pub(crate) nodes: Vec<SocketAddr>,
    pub(crate) random: Random,
    pub(crate) call: watch::Receiver<Call>,
    pub(crate) receipts: Receipts,
    /// What it sends as its `Last-Event-ID`; empty for nothing.
    pub(crate) last: String,
    /// Its last node.
    pub(crate) node: usize,
}

impl Client {
    /// Comes and goes until it has reached its goals.
    pub(crate) async fn run(mut self) -> Receipts {
        loop {
            let call = self.call.borrow_and_update().clone();
            match &call {
                Call::StayAway if self.number % 2 == 1 => {
                    self.call.changed().await.expect("the scene goes on");
                    continue;
                }
                Call::Leave => return self.receipts,
                Call::Reach(goals) if self.has(goals, &self.last) => return self.receipts,
                _ => {}
            }
            // Another node, if there are several.
            self.node += 1 + self.random.below(self.nodes.len().max(2) - 1);
            self.visit(&call).await;
        }
    }

    /// Whether a client with this last id has reached the goals of its topics.
    fn has(&self, goals: &[(String, String)], last: &str) -> bool {
        let mut mine = goals.iter().filter(|(topic, _)| is_of(&self.receipts.topics, topic));
        EventId::parse(last).is_some_and(|last| mine.all(|(_, goal)| last.has(EventId::of(goal))))
    }

    /// One connection, which ends in a random way.
    async fn visit(&mut self, call: &Call) {
        let node = self.nodes[self.node % self.nodes.len()];
        let response = timeout(PATIENCE, Connection::try_send(node, &self.request())).await;
        let Ok(Ok(mut response)) = response else {
            // The node has ended or is stopped.
            return sleep(Duration::from_millis(20)).await;
        };
        if response.status() == 204 {
            // Its topics are finished. If it had not the last events, it would never reach its goals.
            return sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(response.status(), 200, "a native EventSource would give up");
        let stay = match call {
            Call::Reach(_) => PATIENCE,
            _ => Duration::from_millis(self.random.logarithmic(3_000) as u64),
        };
        let mut called = self.call.clone();
        let reading = async {
            while response.ending().is_none() {
                if matches!(call, Call::Reach(goals) if self.has(goals, response.last_event_id())) {
                    return;
                }
                response.read_some(usize::MAX).await;
            }
        };
        tokio::select! {
            () = reading => {}
            () = sleep(stay) => {}
            _ = called.changed() => {}
        }
        self.record(&response);
        match self.random.below(3) {
            0 => response.reset(),
            1 => drop(timeout(PATIENCE, response.close()).await),
            _ => drop(response),
        }
    }

    fn request(&self) -> Request {
        let topics: Vec<_> =
            self.receipts.topics.iter().map(|topic| format!("topic={topic}")).collect();
        let part = self.receipts.part.map(|part| format!("&filter.part={part}&filter.part=last"));
        let part = part.unwrap_or_default();
        let request = Request::get(&format!("/events?{}{part}", topics.join("&")));
        match self.last.as_str() {
            "" => request,
            last => request.header("last-event-id", last),
        }
    }

    fn record(&mut self, response: &Response) {
        let claimed = (!self.last.is_empty()).then(|| self.last.clone());
        self.receipts.visits.push(Visit::of(claimed.as_deref(), response));
        if !response.last_event_id().is_empty() {
            self.last = response.last_event_id().to_owned();
        }
    }
}
