//! Follows the stream, for one replica.
//!
//! The stream sends each message on, once it is stored, to a second tree of subjects. The node subscribes
//! there to what its clients want, with plain subscriptions, which cost the server next to nothing, and
//! [puts the messages back in order](taps).
//!
//! To a selective follower a family of topics is a [wildcard](crate::subject::Subjects::filters), which may bring more than the
//! family. What is handed on is decided for each message by its topic: whether anything that is
//! [followed](wanted) has it, and from where on. So a message may come by several subscriptions, and by one that
//! was meant for something else.
//!
//! # Markers
//!
//! A *marker* is a message that a node publishes to the stream, and that all nodes subscribe to. When it
//! comes back as message `m`, the node has been sent all before `m` that it has subscribed to before it
//! published the marker. So a marker tells from where on a topic is complete, how far the stream is, and
//! that everything works that lies between. Each replaces the one before it in the stream, so only one is
//! kept, and a node that sees another's needs none of its own.
//!
//! # What may be missing, and how that is noticed
//!
//! - The connection was lost: the number of connections made has changed. It is read behind the messages,
//!   so none of a new connection is handed on as if it followed on what came before.
//! - A channel was full: as much as fits into one has come since all were empty.
//! - The stream's leader has changed: what was stored and not yet sent on is not sent on any more. The
//!   leader is asked for twice a second.
//! - Several connections publish: what they have stored one after the other may be sent on in another order,
//!   as the server sends on only when it has stored. Who follows everything sees the gap in the numbers. A
//!   selective follower waits a little; what is later still, it cannot have handed on in order.
//! - Anything else: a message names the one before it on its subject, and that was not seen. In a family, too,
//!   each subject is for itself: what is named was seen, or it lies before the place from which the first of those
//!   is followed that the subject belongs to.
//!
//! Then the follower begins anew: a marker, everything from the last place that is certain up to the
//! marker read from the stream itself, and on with what has come meanwhile. Where events are gone,
//! the replica is told of a hole. Where some belong between those that were handed on already, nobody can
//! tell who has gone on without them: another history begins, and everybody is reset.

pub(crate) mod taps;

mod delivery;
mod interests;
mod refill;
mod wanted;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use async_nats::header::{HeaderName, NATS_LAST_SEQUENCE, NATS_SEQUENCE};
use async_nats::{HeaderMap, Message, Subscriber};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{AbortHandle, Fuse, FusedFuture};
use tidings::TopicPattern;
use tidings::backend::{LogError, LogErrorKind, Refused, Replica, Reply};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::engine::{Engine, State};
use crate::error::{asking, error, link_is_down, no_answer};
use delivery::Witness;
use interests::Interests;
use taps::{Live, Taps};
use wanted::Wanted;

/// What a hub asks of its follower.
#[derive(Debug)]
pub(crate) enum Command {
    Want(TopicPattern, u64),
    Unwant(TopicPattern),
    End(Reply<u64>),
}

/// Follows the stream until the hub is gone.
#[derive(Debug)]
pub(crate) struct Follower {
    engine: Arc<Engine>,
    replica: Replica,
    commands: mpsc::UnboundedReceiver<Command>,
    taps: Taps<Subscriber, Message>,
    is_selective: bool,
    wanted: Wanted,
    interests: Interests,
    /// The marker that is on its way, and when it was sent.
    marker: Option<(Bytes, Instant)>,
    last_marker: Instant,
    /// Markers that were sent.
    count: u64,
    /// Tells this node's markers from others'.
    name: String,
    /// The replica has everything up to here.
    complete: u64,
    /// Up to here, it had everything while the leader was the one below.
    certain: u64,
    /// What was handed on behind that.
    handed: Vec<u64>,
    /// What was handed on last, for messages that are late.
    recent: BTreeSet<u64>,
    /// Another history is to begin.
    is_overtaken: bool,
    leader: Option<String>,
    state: State,
    connects: u64,
    has_tapped: bool,
    /// The newest event that was seen, to know it again.
    witness: Option<Witness>,
}

/// Why following was broken off.
#[derive(Debug)]
enum Break {
    /// The link is down, or nobody answers.
    Lost(LogError),
    /// Something may be missing.
    Missed(LogError),
    /// Something is missing in front of what was handed on: whoever has that has a hole.
    Overtaken,
    /// The hub is gone.
    Gone,
}

impl From<LogError> for Break {
    fn from(error: LogError) -> Self {
        Self::Lost(error)
    }
}

impl From<Refused> for Break {
    fn from(_: Refused) -> Self {
        Self::Gone
    }
}

/// How often the stream's state is asked for. The replica has to be told every second that all is well.
const CHECK: Duration = Duration::from_millis(500);
/// Several publishers' messages may be sent on a little out of order: so long a selective follower waits for
/// those that are late.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long a marker may take.
const MARKER: Duration = Duration::from_secs(2);
/// Between attempts to begin anew, times 0.5 to 1.5.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
];

const ROLLUP: HeaderName = HeaderName::from_static("Nats-Rollup");

impl Follower {
    /// Begins behind `position`.
    pub(crate) fn new(
        engine: Arc<Engine>,
        replica: Replica,
        commands: mpsc::UnboundedReceiver<Command>,
        state: State,
        position: u64,
        is_selective: bool,
    ) -> Self {
        Self {
            taps: Taps::new(read_live, crate::log::CAPACITY, is_selective.then_some(PATIENCE)),
            engine,
            replica,
            commands,
            is_selective,
            wanted: Wanted::default(),
            interests: Interests::default(),
            marker: None,
            last_marker: Instant::now(),
            count: 0,
            name: format!("{:016x}", fastrand::u64(..)),
            complete: position,
            certain: position,
            handed: Vec::new(),
            recent: BTreeSet::new(),
            is_overtaken: false,
            leader: state.leader.clone(),
            state,
            // Nothing was subscribed to yet.
            connects: 0,
            has_tapped: false,
            witness: None,
        }
    }

    pub(crate) async fn run(mut self) {
        let mut failures = 0;
        loop {
            let broken = match self.refill_unless_link_is_lost().await {
                Ok(()) => {
                    failures = 0;
                    self.follow().await
                }
                // It goes on to be missing.
                Err(Break::Missed(error)) => Break::Lost(error),
                Err(broken) => broken,
            };
            match broken {
                Break::Gone => return,
                Break::Missed(_) => self.interests.put_back(),
                Break::Overtaken => {
                    self.interests.put_back();
                    self.begin_history().await;
                }
                Break::Lost(error) => {
                    self.interests.fail(&error);
                    if self.replica.link(Err(&error)).is_err() {
                        return;
                    }
                    self.rest(failures).await;
                    failures += 1;
                }
            }
        }
    }

    /// What clients were sent is not what the stream has: all of them are to be reset, those of other nodes
    /// and those who are away, too.
    async fn begin_history(&mut self) {
        let engine = self.engine.clone();
        let old = self.state.history.clone();
        if engine.begin_history(&old).await.is_err() {
            // The link; it is found out anew when that is back.
            self.is_overtaken = true;
        }
    }

    async fn refill_unless_link_is_lost(&mut self) -> Result<(), Break> {
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
        // A link that works in one direction only is never noticed by the client, as long as anything
        // comes by it.
        let is_same = self.engine.is_connected() && self.engine.connects() == self.connects;
        if failures > 0 && is_same {
            let _ = timeout(MARKER, self.engine.client.force_reconnect()).await;
        }
    }

    /// Hands on what comes, for as long as nothing can be missing.
    async fn follow(&mut self) -> Break {
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
                    None => Err(Break::Gone),
                    Some(command) => self.take_commands(command).await,
                },
                batch = self.taps.batch() => self.take_batch(batch),
                _ = check.tick(), if question.is_terminated() => {
                    seen = self.complete;
                    let engine = self.engine.clone();
                    question = async move { engine.state().await }.boxed().fuse();
                    self.look_for_marker()
                }
                state = &mut question => self.take_state(seen, state),
            };
            let done = match done {
                Ok(()) => self.send_marker_if_needed().await,
                broken => broken,
            };
            if let Err(broken) = done {
                return broken;
            }
        }
    }

    async fn take_commands(&mut self, first: Command) -> Result<(), Break> {
        self.take_command(first);
        while let Ok(command) = self.commands.try_recv() {
            self.take_command(command);
        }
        Ok(self.tap_wanted().await?)
    }

    fn take_command(&mut self, command: Command) {
        match command {
            Command::Want(topics, interest) => {
                if self.wanted.want(&self.engine.subjects, topics.clone(), interest) {
                    self.interests.follow(topics, interest);
                }
            }
            Command::Unwant(topics) => self.wanted.unwant(&topics),
            Command::End(reply) => self.interests.ends(reply),
        }
    }

    /// Subscribes to what is wanted. What it did not get to is left for the next time.
    async fn tap_wanted(&mut self) -> Result<(), LogError> {
        while let Some(filter) = self.wanted.untapped() {
            let tap = self.tap(self.engine.subjects.live(&filter)).await?;
            self.wanted.tapped(&filter, tap);
        }
        Ok(())
    }

    async fn tap(&mut self, subject: String) -> Result<AbortHandle, LogError> {
        // Waits only if very much is waiting for the link.
        let subscribed = timeout(MARKER, self.engine.client.subscribe(subject)).await;
        let subscription = subscribed
            .map_err(|_| no_answer("subscribe"))?
            .map_err(|error| asking("subscribe", error))?;
        Ok(self.taps.add(subscription))
    }

    fn look_for_marker(&self) -> Result<(), Break> {
        match self.marker {
            Some((_, sent)) if sent.elapsed() > MARKER => Err(no_answer("marker").into()),
            _ => Ok(()),
        }
    }

    /// Looks whether the stream and its leader are still the same, and how far it is. The replica had
    /// everything up to `seen` when they were asked for.
    fn take_state(&mut self, seen: u64, state: Result<State, LogError>) -> Result<(), Break> {
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
        // All that the stream had when it was asked before has come, and nothing names what was gone by then.
        if self.state.last <= self.complete {
            self.wanted.forget_before(self.state.first);
        }
        // What had come before the question was sent on by this leader.
        self.certain = seen;
        self.handed.drain(..self.handed.partition_point(|sequence| *sequence <= seen));
        if state.last <= self.complete {
            self.replica.caught_up()?;
        } else if self.last_marker.elapsed() >= CHECK {
            self.interests.look();
        }
        self.state = state;
        Ok(())
    }

    async fn send_marker_if_needed(&mut self) -> Result<(), Break> {
        if self.marker.is_none() && self.interests.are_there() {
            self.interests.send();
            self.send_marker().await?;
        }
        Ok(())
    }

    async fn send_marker(&mut self) -> Result<(), LogError> {
        self.count += 1;
        let text = Bytes::from(format!("{} {}", self.name, self.count));
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

fn missed(what: impl Display) -> Break {
    Break::Missed(error(LogErrorKind::Unavailable, format_args!("something is missing: {what}")))
}

/// What has come by a subscription, if it was the stream that has sent it.
fn read_live(message: Message) -> Option<Live<Message>> {
    let number = |name| message.headers.as_ref()?.get(name)?.as_str().parse().ok();
    let (sequence, previous) = (number(NATS_SEQUENCE)?, number(NATS_LAST_SEQUENCE).unwrap_or(0));
    Some(Live { sequence, previous, message })
}
