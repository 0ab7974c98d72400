//! One connection, and the stream at its other end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State as ConnectionState;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{Context, ContextBuilder, GetStreamError, GetStreamErrorKind};
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::jetstream::stream::{LastRawMessageError, LastRawMessageErrorKind, Stream};
use parking_lot::Mutex;
use tidings::backend::{Epoch, LogError, LogErrorKind};
use tokio::sync::watch;
use tokio::time::{interval, sleep, timeout};

use crate::complaint::Complaint;
use crate::epoch::Epochs;
use crate::error::{asking, no_answer, publishing};
use crate::limits::StreamLimits;
use crate::stream_state::{History, StreamState};
use crate::subject::Subjects;

/// What all parts of a log share.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) client: Client,
    pub(crate) complaint: Complaint,
    pub(crate) context: Context,
    pub(crate) subjects: Subjects,
    stream: Stream<()>,
    name: String,
    limits: StreamLimits,
    epochs: Epochs,
    /// The history that the stream had when it was last asked for.
    history: Mutex<History>,
    /// The number of the connection over which the history was last examined.
    verified: watch::Sender<u64>,
    /// How long a question may take, with the wait for the client to take it: without a link, it may take nothing.
    limit: Duration,
    /// How long it takes until a question is asked again.
    pause: Duration,
}

impl Engine {
    /// How often a question is asked that is not answered.
    const ATTEMPTS: usize = 3;

    /// Finds or makes the stream.
    pub(crate) async fn open(
        (client, complaint): (Client, Complaint),
        name: String,
        subjects: Subjects,
        limits: StreamLimits,
        request_timeout: Duration,
    ) -> Result<(Arc<Self>, StreamState), LogError> {
        let context = ContextBuilder::new().timeout(request_timeout).build(client.clone());
        make_stream(&context, &name, &subjects, &limits).await?;
        let replicas = limits.replicas.unwrap_or(1);
        let epochs = Epochs::new(context.clone(), &name, &subjects, replicas);
        let stream = context.get_stream_no_info(&name).await;
        let stream = stream.map_err(|error| asking("stream", error))?;
        // Replaced below.
        let history = Mutex::new(History { epoch: Epoch::random(), created: 0 });
        let verified = watch::Sender::new(0);
        let engine = Self {
            client,
            complaint,
            context,
            subjects,
            stream,
            name,
            limits,
            epochs,
            history,
            verified,
            // Some questions are several requests.
            limit: request_timeout.saturating_mul(5),
            // So that all attempts at one request take less than that.
            pause: request_timeout / 2,
        };
        let state = engine.state().await?;
        Ok((Arc::new(engine), state))
    }

    /// Makes the stream again, if it is gone.
    pub(crate) async fn restore(&self) -> Result<(), LogError> {
        make_stream(&self.context, &self.name, &self.subjects, &self.limits).await
    }

    /// The number of the connection. What comes over another one may not continue what came before.
    pub(crate) fn connects(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Acquire)
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.client.connection_state() == ConnectionState::Connected
    }

    /// Waits until the connection of this number is lost.
    pub(crate) async fn is_lost(&self, connects: u64) {
        // The client does not notify anybody, so it is polled.
        let mut look = interval(Duration::from_millis(50));
        while self.is_connected() && self.connects() == connects {
            look.tick().await;
        }
    }

    /// Records that the history was examined over the connection of this number.
    pub(crate) fn set_verified(&self, connects: u64) {
        self.verified.send_replace(connects);
    }

    pub(crate) fn is_verified(&self) -> bool {
        *self.verified.borrow() == self.connects()
    }

    /// The epoch of events that are acknowledged over the present connection. It may differ from that of the
    /// connection before.
    pub(crate) async fn verified_epoch(&self) -> Epoch {
        let mut verified = self.verified.subscribe();
        while !self.is_verified() {
            // Never fails: the sender is held here.
            let _ = verified.changed().await;
        }
        self.history().epoch
    }

    pub(crate) fn history(&self) -> History {
        self.history.lock().clone()
    }

    /// Asks for the stream's state, with its history.
    pub(crate) async fn state(&self) -> Result<StreamState, LogError> {
        self.in_time("stream", self.state_at_any_time()).await
    }

    async fn state_at_any_time(&self) -> Result<StreamState, LogError> {
        let info = self.stream.get_info().await.map_err(|error| asking("stream", error))?;
        let created = info.created.unix_timestamp_nanos();
        let epoch = self.epochs.of(created).await?;
        let history = History { epoch, created };
        self.history.lock().clone_from(&history);
        Ok(StreamState {
            history,
            leader: info.cluster.and_then(|cluster| cluster.leader),
            first: info.state.first_sequence,
            last: info.state.last_sequence,
        })
    }

    /// Declares that the stream does not continue this history.
    pub(crate) async fn begin_history(&self, old: &History) -> Result<(), LogError> {
        self.epochs.renew(old.created, &old.epoch).await
    }

    /// The first message at or after a position whose subject matches, as the stream's leader has it.
    ///
    /// Not by a consumer, and not by a direct get: on a cluster a server may answer these that does not have the
    /// newest events yet, which looks as if there were none.
    pub(crate) async fn next(
        &self,
        filter: &str,
        from: u64,
    ) -> Result<Option<StreamMessage>, LogError> {
        let request = self.stream.raw_message_builder().sequence(from).next_by_subject(filter);
        self.in_time("read", async { answered(request.send().await) }).await
    }

    /// The newest message on a subject, as the stream's leader has it.
    pub(crate) async fn newest_of(&self, subject: &str) -> Result<Option<StreamMessage>, LogError> {
        let request = self.stream.raw_message_builder().last_by_subject(subject);
        self.in_time("read", async { answered(request.send().await) }).await
    }

    /// Asks for something, and again if the answer is late or the stream is unavailable: a server that stalls for a moment, or
    /// a cluster that elects a leader, does not end what takes many questions. Only over one connection: whoever asks is told
    /// when the link is lost.
    pub(crate) async fn again<T, A>(&self, ask: impl Fn() -> A) -> Result<T, LogError>
    where
        A: Future<Output = Result<T, LogError>>,
    {
        let connects = self.connects();
        for _ in 1..Self::ATTEMPTS {
            let answer = ask().await;
            let is_same = self.is_connected() && self.connects() == connects;
            match answer {
                Err(error) if is_same && error.kind() == LogErrorKind::Unavailable => {
                    sleep(self.pause).await;
                }
                answer => return answer,
            }
        }
        ask().await
    }

    async fn in_time<T>(
        &self,
        what: &str,
        answer: impl Future<Output = Result<T, LogError>>,
    ) -> Result<T, LogError> {
        timeout(self.limit, answer).await.unwrap_or_else(|_| Err(no_answer(what)))
    }
}

fn answered(
    answer: Result<StreamMessage, LastRawMessageError>,
) -> Result<Option<StreamMessage>, LogError> {
    match answer {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(asking("read", error)),
    }
}

async fn make_stream(
    context: &Context,
    name: &str,
    subjects: &Subjects,
    limits: &StreamLimits,
) -> Result<(), LogError> {
    let info = match context.get_stream(name).await {
        Ok(stream) => stream.cached_info().clone(),
        Err(error) if is_absent(&error) => {
            let config = limits.config(name, subjects);
            limits.check(&config, subjects)?;
            let made = context.create_stream(config).await;
            made.map_err(|error| asking("create stream", error))?.cached_info().clone()
        }
        Err(error) => return Err(asking("stream", error)),
    };
    limits.check(&info.config, subjects)?;
    if info.state.last_sequence == 0 {
        publish_beginning(context, subjects).await?;
    }
    Ok(())
}

/// Publishes the stream's first message. While it is there, nothing was trimmed. Without it, a marker might be the
/// first, and look trimmed when the next one takes its place.
async fn publish_beginning(context: &Context, subjects: &Subjects) -> Result<(), LogError> {
    let message = PublishMessage::build().message_id("tidings-begin");
    let sent = context.send_publish(subjects.beginning(), message).await.map_err(publishing)?;
    sent.await.map(|_| ()).map_err(publishing)
}

fn is_absent(error: &GetStreamError) -> bool {
    matches!(
        error.kind(),
        GetStreamErrorKind::JetStream(refusal) if refusal.error_code() == ErrorCode::STREAM_NOT_FOUND
    )
}
