//! Follows the stream, for one replica.
//!
//! The stream republishes each message, once it is stored, on a second tree of subjects. The node subscribes there to
//! its hub's interests, with plain subscriptions, which cost the server next to nothing, and
//! [puts the messages back in order](merged_subscriptions).
//!
//! For a selective follower a pattern is a [wildcard](crate::subject::Subjects::filters), which may bring more than
//! the pattern matches. Each message is handed on or left out by its topic: whether an [interest](interests) that
//! is followed matches it, and from which position. So a message may come by several subscriptions, and by one
//! that was made for another interest.
//!
//! # Markers
//!
//! A *marker* is a message that a node publishes to the stream, and that all nodes subscribe to. When it comes back as
//! message `m`, the node has received everything before `m` on the subjects that it had subscribed to before it
//! published the marker. So a marker tells from which position a topic is complete, how far the stream is, and
//! that everything in between works. Each marker replaces the one before it, so the stream keeps only one. A
//! node that sees the marker of another node needs none of its own.
//!
//! # What may be missing, and how it is noticed
//!
//! - The connection was lost: its number has changed. The number is read after the messages, so no message of a
//!   new connection is handed on as if it continued what came before.
//! - A channel was full: as many messages as fit into one have come since all were empty.
//! - The stream's leader has changed, which loses messages that were stored and not yet republished. The leader is
//!   asked for twice a second.
//! - Several connections publish. The server republishes a message only after it was stored, so two messages may be
//!   republished in another order than they were stored in. A follower of everything sees a gap in the numbers.
//!   A selective follower waits a little; if a message is later still, those after it were handed on too early.
//! - Anything else: a message names the one before it on its subject, and that was not seen. This holds for each
//!   subject of a pattern: the message that it names was seen, or comes before the position from which the first
//!   matching interest is followed.
//!
//! The follower then begins again: it sends a marker, reads everything from the last certain position up to the
//! marker from the stream itself, and continues with what has come meanwhile. If events are gone, the
//! replica is told of a gap. If some belong between events that were handed on already, it is unknown which
//! clients went on without them: another history begins, and all clients are reset.

mod delivery;
mod interests;
mod interruption;
mod marker_requests;
mod merged_subscriptions;
mod refill;
#[cfg(all(test, unix))]
mod tests;
mod witness;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_nats::header::{HeaderName, NATS_LAST_SEQUENCE, NATS_SEQUENCE};
use async_nats::{HeaderMap, Message, Subscriber};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{AbortHandle, Fuse, FusedFuture};
use tidings::TopicPattern;
use tidings::backend::{LogError, Replica, Reply};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::connection::CAPACITY;
use crate::engine::Engine;
use crate::error::{asking, link_is_down, no_answer};
use crate::stream_state::StreamState;
use interests::Interests;
use interruption::{Interruption, missed};
use marker_requests::MarkerRequests;
use merged_subscriptions::{Live, MergedSubscriptions};
use witness::Witness;

/// What a hub asks of its follower.
#[derive(Debug)]
pub(crate) enum Command {
    AddInterest(TopicPattern, u64),
    RemoveInterest(TopicPattern),
    /// For the position of the stream's end.
    End(Reply<u64>),
}

/// Follows the stream until the hub is gone.
#[derive(Debug)]
pub(crate) struct Follower {
    engine: Arc<Engine>,
    replica: Replica,
    commands: mpsc::UnboundedReceiver<Command>,
    subscriptions: MergedSubscriptions<Subscriber, Message>,
    is_selective: bool,
    interests: Interests,
    marker_requests: MarkerRequests,
    /// The marker that is on its way, and when it was sent.
    marker: Option<(Bytes, Instant)>,
    last_marker: Instant,
    /// How many markers were sent.
    markers: u64,
    /// Distinguishes this node's markers from those of others.
    name: String,
    /// The replica has everything up to here.
    complete: u64,
    /// The replica had everything up to here while `leader` was the leader.
    certain: u64,
    /// The positions after that which were handed on.
    handed_on: Vec<u64>,
    /// The positions that were handed on last, for messages that are late.
    recent: BTreeSet<u64>,
    /// Another history must begin.
    is_overtaken: bool,
    leader: Option<String>,
    state: StreamState,
    /// The number of the connection that is followed.
    connects: u64,
    has_subscribed: bool,
    /// The newest event that was handed on.
    witness: Option<Witness>,
}

/// How often the stream's state is asked for. The replica must hear every second that it has caught up.
const CHECK: Duration = Duration::from_millis(500);
/// How long a selective follower waits for messages that are republished late, out of order.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long a marker may take to come back.
const MARKER: Duration = Duration::from_secs(2);
/// Pauses between attempts to begin again, times 0.5 to 1.5.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
];

const ROLLUP: HeaderName = HeaderName::from_static("Nats-Rollup");

impl Follower {
    /// Begins after `position`.
    pub(crate) fn new(
        engine: Arc<Engine>,
        replica: Replica,
        commands: mpsc::UnboundedReceiver<Command>,
        state: StreamState,
        position: u64,
        is_selective: bool,
    ) -> Self {
        Self {
            subscriptions: MergedSubscriptions::new(
                read_live,
                CAPACITY,
                is_selective.then_some(PATIENCE),
            ),
            engine,
            replica,
            commands,
            is_selective,
            interests: Interests::default(),
            marker_requests: MarkerRequests::default(),
            marker: None,
            last_marker: Instant::now(),
            markers: 0,
            name: format!("{:016x}", fastrand::u64(..)),
            complete: position,
            certain: position,
            handed_on: Vec::new(),
            recent: BTreeSet::new(),
            is_overtaken: false,
            leader: state.leader.clone(),
            state,
            connects: 0,
            has_subscribed: false,
            witness: None,
        }
    }

    pub(crate) async fn run(mut self) {
        let mut failures = 0;
        loop {
            let interruption = match self.refill_unless_link_is_lost().await {
                Ok(()) => {
                    failures = 0;
                    self.follow().await
                }
                // Even reading the stream does not bring it.
                Err(Interruption::Missed(error)) => Interruption::LinkLost(error),
                Err(interruption) => interruption,
            };
            match interruption {
                Interruption::HubGone => return,
                Interruption::Missed(_) => self.marker_requests.marker_lost(),
                Interruption::Overtaken => {
                    self.marker_requests.marker_lost();
                    self.begin_history().await;
                }
                Interruption::LinkLost(error) => {
                    let error = self.engine.complaint.explain(error);
                    // Those that wait are answered, too: without a link, nothing else takes them.
                    while let Ok(command) = self.commands.try_recv() {
                        self.take_command(command);
                    }
                    self.marker_requests.fail(&error);
                    if self.replica.link(Err(&error)).is_err() {
                        return;
                    }
                    self.rest(failures).await;
                    failures += 1;
                }
            }
        }
    }

    /// Clients were sent events with a gap. All must be reset, also those of other nodes and those that are away.
    async fn begin_history(&mut self) {
        let engine = self.engine.clone();
        let old = self.state.history.clone();
        if engine.begin_history(&old).await.is_err() {
            // The link is down. The next refill tries again.
            self.is_overtaken = true;
        }
    }

    async fn refill_unless_link_is_lost(&mut self) -> Result<(), Interruption> {
        let engine = self.engine.clone();
        if !engine.is_connected() {
            return Err(link_is_down().into());
        }
        let connects = engine.connects();
        tokio::select! {
            refilled = self.refill(connects) => refilled,
            () = engine.is_lost(connects) => Err(link_is_down().into()),
        }
    }

    async fn rest(&self, failures: usize) {
        let pause = PAUSES[usize::min(failures, PAUSES.len() - 1)];
        sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
        // The client does not notice a link that works in one direction only.
        let is_same = self.engine.is_connected() && self.engine.connects() == self.connects;
        if failures > 0 && is_same {
            let _ = timeout(MARKER, self.engine.client.force_reconnect()).await;
        }
    }

    /// Hands on what comes, as long as nothing can be missing.
    async fn follow(&mut self) -> Interruption {
        let mut check = interval(CHECK);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = self.complete;
        let mut question = Fuse::terminated();
        let engine = self.engine.clone();
        let lost = engine.is_lost(self.connects);
        tokio::pin!(lost);
        loop {
            let done = tokio::select! {
                () = &mut lost => Err(link_is_down().into()),
                command = self.commands.recv() => match command {
                    None => Err(Interruption::HubGone),
                    Some(command) => self.take_commands(command).await,
                },
                batch = self.subscriptions.batch() => self.take_batch(batch),
                _ = check.tick(), if question.is_terminated() => {
                    seen = self.complete;
                    let engine = self.engine.clone();
                    question = async move { engine.state().await }.boxed().fuse();
                    self.check_marker()
                }
                state = &mut question => self.take_state(seen, state),
            };
            let done = match done {
                Ok(()) => self.send_marker_if_needed().await,
                interrupted => interrupted,
            };
            if let Err(interruption) = done {
                return interruption;
            }
        }
    }

    async fn take_commands(&mut self, first: Command) -> Result<(), Interruption> {
        self.take_command(first);
        while let Ok(command) = self.commands.try_recv() {
            self.take_command(command);
        }
        Ok(self.subscribe_to_interests().await?)
    }

    fn take_command(&mut self, command: Command) {
        match command {
            Command::AddInterest(pattern, number) => {
                if self.interests.add(&self.engine.subjects, pattern.clone(), number) {
                    self.marker_requests.follow(pattern, number);
                }
            }
            Command::RemoveInterest(pattern) => self.interests.remove(&pattern),
            Command::End(reply) => self.marker_requests.answer_end(reply),
        }
    }

    /// Makes the subscriptions that the interests need. If one fails, the rest is left for the next time.
    async fn subscribe_to_interests(&mut self) -> Result<(), LogError> {
        while let Some(filter) = self.interests.next_unsubscribed() {
            let subscription = self.subscribe(self.engine.subjects.live(&filter)).await?;
            self.interests.subscribed(&filter, subscription);
        }
        Ok(())
    }

    async fn subscribe(&mut self, subject: String) -> Result<AbortHandle, LogError> {
        // Waits only if many commands are waiting for the link.
        let subscribed = timeout(MARKER, self.engine.client.subscribe(subject)).await;
        let subscription = subscribed
            .map_err(|_| no_answer("subscribe"))?
            .map_err(|error| asking("subscribe", error))?;
        Ok(self.subscriptions.add(subscription))
    }

    fn check_marker(&self) -> Result<(), Interruption> {
        match self.marker {
            Some((_, sent)) if sent.elapsed() > MARKER => Err(no_answer("marker").into()),
            _ => Ok(()),
        }
    }

    /// Checks that the stream and its leader are still the same, and how far the stream is. The replica had
    /// everything up to `seen` when the state was asked for.
    fn take_state(
        &mut self,
        seen: u64,
        state: Result<StreamState, LogError>,
    ) -> Result<(), Interruption> {
        let state = state?;
        if state.history != self.state.history {
            return Err(missed("the history is another"));
        }
        if state.leader != self.leader {
            return Err(missed("the stream has another leader"));
        }
        if state.last < seen {
            return Err(missed("the stream has gone back"));
        }
        // Everything that the stream had at the last look has come. No later message names one that was gone by then.
        if self.state.last <= self.complete {
            self.interests.forget_before(self.state.first);
        }
        // Messages that came before the question were republished by this leader.
        self.certain = seen;
        self.handed_on.drain(..self.handed_on.partition_point(|sequence| *sequence <= seen));
        if state.last <= self.complete {
            self.replica.caught_up()?;
        } else if self.last_marker.elapsed() >= CHECK {
            self.marker_requests.probe();
        }
        self.state = state;
        Ok(())
    }

    async fn send_marker_if_needed(&mut self) -> Result<(), Interruption> {
        if self.marker.is_none() && self.marker_requests.is_marker_needed() {
            self.marker_requests.marker_sent();
            self.send_marker().await?;
        }
        Ok(())
    }

    async fn send_marker(&mut self) -> Result<(), LogError> {
        self.markers += 1;
        let text = Bytes::from(format!("{} {}", self.name, self.markers));
        let mut headers = HeaderMap::new();
        headers.insert(ROLLUP, "sub");
        let subject = self.engine.subjects.marker();
        let sent = self.engine.client.publish_with_headers(subject, headers, text.clone());
        match timeout(MARKER, sent).await {
            Ok(Ok(())) => {
                self.marker = Some((text, Instant::now()));
                Ok(())
            }
            _ => Err(link_is_down()),
        }
    }
}

/// A message that has come by a subscription, if it is one that the stream has republished.
fn read_live(message: Message) -> Option<Live<Message>> {
    let number = |name| message.headers.as_ref()?.get(name)?.as_str().parse().ok();
    let (sequence, previous) = (number(NATS_SEQUENCE)?, number(NATS_LAST_SEQUENCE).unwrap_or(0));
    Some(Live { sequence, previous, message })
}
