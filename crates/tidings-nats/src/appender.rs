//! Publishes events, many at a time and in order.
//!
//! Each event has a message id, so it can be sent again when the connection was lost before the answer: the stream
//! leaves out a message that it has. But after a loss, some events may still be in the client's buffer and go out
//! over the new connection, while earlier ones are lost. Those would come after later ones when sent again.
//! So a marker is published first: its acknowledgement comes after those of all events that were still in the
//! buffer. An event that has no answer then is sent again if no later one was acknowledged, and has failed
//! otherwise. The client is given a few events at a time: the next ones when those before are in the socket.
//!
//! The server does not know which topics are finished. So the newest message of a topic is looked at first, unless the
//! hub knows that the topic is open. What another node publishes meanwhile is not seen: there the order decides.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::header::{NATS_EXPECTED_LAST_SEQUENCE, NATS_MESSAGE_ID};
use async_nats::jetstream::context::{Context, ContextBuilder, PublishError};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use async_nats::{HeaderMap, jetstream};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, Fuse, FusedFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, unfold};
use tidings::backend::{Append, Appended, LogError, LogErrorKind, Reply};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};

use crate::engine::Engine;
use crate::error::{error, link_is_down, publishing};
use crate::message;

/// An event on its way to the stream.
#[derive(Debug)]
pub(crate) struct Publication {
    subject: String,
    headers: HeaderMap,
    payload: Bytes,
    has_key: bool,
    /// Its topic is known not to be finished.
    is_open: bool,
    /// Its topic is finished: it is sent only to learn whether it is a duplicate.
    is_refused: bool,
    /// Distinguishes this publication from another one with the same key.
    nonce: String,
    deadline: Instant,
    attempts: u32,
    /// A later one is in the stream already.
    is_overtaken: bool,
    reply: Reply<Appended>,
}

const NONCE: &str = "Tidings-Append";

impl Publication {
    pub(crate) fn new(
        append: &Append,
        subject: String,
        timeout: Duration,
        reply: Reply<Appended>,
    ) -> Self {
        let mut headers = message::headers(append);
        let nonce = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        match &append.key {
            Some(key) => {
                headers.insert(NATS_MESSAGE_ID, key.as_str());
                headers.insert(NONCE, nonce.as_str());
            }
            None => headers.insert(NATS_MESSAGE_ID, nonce.as_str()),
        }
        Self {
            subject,
            headers,
            payload: message::payload(append),
            has_key: append.key.is_some(),
            is_open: append.is_open,
            is_refused: false,
            nonce,
            deadline: Instant::now() + timeout,
            attempts: 0,
            is_overtaken: false,
            reply,
        }
    }

    /// Looks whether its topic is finished, unless the hub knows that it is not. `None` if it was answered.
    async fn check(mut self, engine: Arc<Engine>) -> Option<Self> {
        if self.is_open {
            return Some(self);
        }
        let end = loop {
            let connects = engine.connects();
            match timeout_at(self.deadline, engine.end_of(&self.subject)).await {
                Ok(Ok(end)) => break end,
                Ok(Err(refusal)) if engine.is_connected() && engine.connects() == connects => {
                    self.reply.send(Err(engine.complaint.explain(refusal)));
                    return None;
                }
                // It was lost with the connection, and is asked again over the next one.
                Ok(Err(_)) => sleep(Appender::LOOK).await,
                Err(_) => {
                    self.reply.send(Err(engine.complaint.explain(link_is_down())));
                    return None;
                }
            }
        };
        if end.is_some() && !self.has_key {
            self.reply.send(Err(error(LogErrorKind::Finished, "publish: topic is finished")));
            return None;
        }
        if end.is_some() {
            self.headers.insert(NATS_EXPECTED_LAST_SEQUENCE, i64::MAX.to_string());
            self.is_refused = true;
        }
        Some(self)
    }

    /// Its size as the server counts it.
    fn size(&self) -> usize {
        let headers = message::size_of_headers(&self.headers);
        self.payload.len() + headers + "NATS/1.0\r\n\r\n".len()
    }
}

/// Publishes for one log.
pub(crate) struct Appender {
    engine: Arc<Engine>,
    context: Context,
    /// Those that were sent, by the order in which they were published.
    sent: BTreeMap<u64, Publication>,
    answers: FuturesUnordered<BoxFuture<'static, Answer>>,
    next: u64,
    /// Completes when the client has written everything that it was given.
    flushing: Fuse<BoxFuture<'static, ()>>,
    /// How many it was given since the last flush.
    unflushed: usize,
    connects: u64,
}

#[derive(Debug)]
struct Answer {
    number: u64,
    attempt: u32,
    outcome: Result<PublishAck, PublishError>,
}

/// The number of the marker.
const MARKER: u64 = u64::MAX;

impl Appender {
    /// How many publications may be without an answer.
    const IN_FLIGHT: usize = 4_096;
    /// How many may wait for a look at their topics.
    const CHECKS: usize = 256;
    /// How many the client is given at a time.
    const AT_ONCE: usize = 16;
    /// How often deadlines and the link are checked.
    const LOOK: Duration = Duration::from_millis(50);

    pub(crate) fn new(engine: Arc<Engine>, timeout: Duration) -> Self {
        let context = ContextBuilder::new()
            .timeout(timeout)
            // Includes, for a while, those of markers and of attempts that were lost. Nothing may wait for room here: only
            // this task makes it.
            .max_ack_inflight(1 << 20)
            .backpressure_on_inflight(false)
            .build(engine.client.clone());
        let connects = engine.connects();
        Self {
            engine,
            context,
            sent: BTreeMap::new(),
            answers: FuturesUnordered::new(),
            next: 0,
            flushing: Fuse::terminated(),
            unflushed: 0,
            connects,
        }
    }

    /// Runs until the queue is closed and everything in it is answered.
    pub(crate) async fn run(mut self, queue: mpsc::Receiver<Publication>) {
        let mut look = interval(Self::LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let engine = self.engine.clone();
        let queue = unfold(queue, async |mut queue| Some((queue.recv().await?, queue)));
        let checked = queue.map(|publication| publication.check(engine.clone()));
        let checked = checked.buffered(Self::CHECKS).fuse();
        tokio::pin!(checked);
        let mut held: Option<Publication> = None;
        let mut is_open = true;
        while is_open || held.is_some() || !self.sent.is_empty() {
            if self.engine.connects() != self.connects {
                self.recover().await;
            }
            if self.may_send()
                && let Some(publication) = held.take()
            {
                self.publish(publication).await;
            }
            let has_room = held.is_none() && self.sent.len() < Self::IN_FLIGHT;
            tokio::select! {
                Some(answer) = self.answers.next() => self.take(answer),
                publication = checked.next(), if is_open && has_room => match publication {
                    Some(publication) => held = publication.and_then(still_in_time),
                    None => is_open = false,
                },
                () = &mut self.flushing, if !self.flushing.is_terminated() => {}
                _ = look.tick() => {
                    self.fail_late_ones();
                    held = held.and_then(still_in_time);
                }
            }
        }
    }

    fn may_send(&self) -> bool {
        let is_same = self.engine.is_connected() && self.engine.connects() == self.connects;
        is_same && self.flushing.is_terminated()
    }

    async fn publish(&mut self, publication: Publication) {
        let limit = self.engine.client.server_info().max_payload;
        let size = publication.size();
        if size > limit {
            let cause = format!("event is {size} bytes, over the server's max_payload of {limit}");
            return publication.reply.send(Err(error(LogErrorKind::Refused, cause)));
        }
        let number = self.next;
        self.next += 1;
        self.sent.insert(number, publication);
        self.send(number).await;
        self.unflushed += 1;
        if self.unflushed == Self::AT_ONCE {
            self.unflushed = 0;
            let client = self.engine.client.clone();
            // Fails when the client has ended, and with it the log.
            self.flushing = async move { drop(client.flush().await) }.boxed().fuse();
        }
    }

    async fn send(&mut self, number: u64) {
        let Some(publication) = self.sent.get_mut(&number) else { return };
        publication.attempts += 1;
        let attempt = publication.attempts;
        let message = PublishMessage::build()
            .headers(publication.headers.clone())
            .payload(publication.payload.clone());
        match self.context.send_publish(publication.subject.clone(), message).await {
            Ok(answer) => self.expect(number, attempt, answer),
            Err(refusal) => self.take(Answer { number, attempt, outcome: Err(refusal) }),
        }
    }

    fn expect(&self, number: u64, attempt: u32, answer: jetstream::context::PublishAckFuture) {
        let answer = answer.into_future();
        let answer = answer.map(move |outcome| Answer { number, attempt, outcome });
        self.answers.push(answer.boxed());
    }

    fn take(&mut self, answer: Answer) {
        let Answer { number, attempt, outcome } = answer;
        match outcome {
            Ok(acknowledgement) => {
                let Some(publication) = self.sent.remove(&number) else { return };
                // Answers come in order, so those before it were lost.
                for (_, before) in self.sent.range_mut(..number) {
                    before.is_overtaken = true;
                }
                self.answer(publication, &acknowledgement);
            }
            Err(refusal) => {
                let is_last = |publication: &Publication| publication.attempts == attempt;
                if self.sent.get(&number).is_some_and(is_last) {
                    let refusal = publishing(refusal);
                    // If it was sent twice, the first may have been stored.
                    let is_clean = attempt == 1 || self.sent[&number].is_refused;
                    let refusal = match is_clean {
                        true => refusal,
                        false => LogError::new(LogErrorKind::Unacknowledged, refusal.to_string()),
                    };
                    self.fail(number, refusal);
                }
            }
        }
    }

    fn answer(&self, publication: Publication, acknowledgement: &PublishAck) {
        let position = acknowledgement.sequence;
        let is_duplicate = acknowledgement.duplicate && publication.has_key;
        // It may be the duplicate of its own first attempt.
        let is_doubtful = is_duplicate && publication.attempts > 1;
        if !is_doubtful && self.engine.is_verified() {
            let epoch = self.engine.history().epoch;
            return publication.reply.send(Ok(Appended::new(epoch, position, is_duplicate)));
        }
        let engine = self.engine.clone();
        tokio::spawn(async move {
            // The connection may be a new one, to a stream of another history.
            let epoch = timeout_at(publication.deadline, engine.verified_epoch()).await;
            let Ok(epoch) = epoch else {
                let what = "publish: is stored, in a history that is not known yet";
                return publication.reply.send(Err(error(LogErrorKind::Unacknowledged, what)));
            };
            let is_own = is_doubtful && is_own(&engine, position, &publication).await;
            let is_duplicate = is_duplicate && !is_own;
            publication.reply.send(Ok(Appended::new(epoch, position, is_duplicate)));
        });
    }

    fn fail(&mut self, number: u64, error: LogError) {
        if let Some(publication) = self.sent.remove(&number) {
            publication.reply.send(Err(self.engine.complaint.explain(error)));
        }
    }

    fn fail_late_ones(&mut self) {
        let now = Instant::now();
        while let Some(entry) = self.sent.first_entry() {
            if entry.get().deadline > now {
                return;
            }
            let error = self.engine.complaint.explain(unacknowledged());
            entry.remove().reply.send(Err(error));
        }
    }

    /// Sends again the publications that were lost with a connection.
    async fn recover(&mut self) {
        let connects = self.engine.connects();
        // If the stream is gone, the marker must not be the first message of a new one.
        if self.engine.restore().await.is_err() {
            return;
        }
        let message = PublishMessage::build().header("Nats-Rollup", "sub").payload("append".into());
        let sent = self.context.send_publish(self.engine.subjects.marker(), message).await;
        let Ok(answer) = sent else { return };
        self.expect(MARKER, 0, answer);
        let mut look = interval(Self::LOOK);
        loop {
            tokio::select! {
                Some(answer) = self.answers.next() => {
                    let is_marker = answer.number == MARKER;
                    let is_there = answer.outcome.is_ok();
                    self.take(answer);
                    match (is_marker, is_there) {
                        (true, true) => break,
                        (true, false) => return,
                        _ => {}
                    }
                }
                _ = look.tick() => {
                    self.fail_late_ones();
                    if self.engine.connects() != connects {
                        return;
                    }
                }
            }
        }
        self.connects = connects;
        self.flushing = Fuse::terminated();
        let sent: Vec<_> =
            self.sent.iter().map(|(number, sent)| (*number, sent.is_overtaken)).collect();
        for (number, is_overtaken) in sent {
            match is_overtaken {
                true => self.fail(number, unacknowledged()),
                false => self.send(number).await,
            }
        }
    }
}

/// Fails a publication that was not sent before its deadline.
fn still_in_time(publication: Publication) -> Option<Publication> {
    if publication.deadline > Instant::now() {
        return Some(publication);
    }
    publication.reply.send(Err(link_is_down()));
    None
}

fn unacknowledged() -> LogError {
    error(LogErrorKind::Unacknowledged, "publish: no acknowledgement in time")
}

/// Whether the message at a position is this very publication.
async fn is_own(engine: &Engine, position: u64, publication: &Publication) -> bool {
    let found = engine.next(&engine.subjects.all(), position).await;
    let found = found.ok().flatten().filter(|found| found.sequence == position);
    let nonce = found.as_ref().and_then(|found| found.headers.get(NONCE));
    nonce.is_some_and(|nonce| nonce.as_str() == publication.nonce)
}
