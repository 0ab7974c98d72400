//! One connection, and the stream at its other end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State as Connection;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{Context, ContextBuilder, GetStreamError, GetStreamErrorKind};
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use parking_lot::Mutex;
use tidings::backend::{Epoch, LogError};
use tokio::sync::watch;
use tokio::time::interval;

use crate::epoch::Epochs;
use crate::error::{asking, publishing};
use crate::settings::Limits;
use crate::subject::Subjects;

/// What all parts of a log share.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) client: Client,
    pub(crate) context: Context,
    pub(crate) subjects: Subjects,
    stream: Stream<()>,
    name: String,
    limits: Limits,
    epochs: Epochs,
    /// What is known of the history by now.
    history: Mutex<History>,
    /// Behind so many connects it was found out which history it is.
    verified: watch::Sender<u64>,
}

/// Which history it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct History {
    pub(crate) epoch: Epoch,
    /// When the stream was made, in nanoseconds since the Unix epoch.
    pub(crate) created: i128,
}

/// The stream at a moment, as its leader says.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) history: History,
    /// The server that leads the stream; `None` where there is only one.
    pub(crate) leader: Option<String>,
    /// The position of the oldest message that there is still.
    pub(crate) first: u64,
    /// That of the newest that there ever was.
    pub(crate) last: u64,
}

impl Engine {
    /// Finds the stream, or makes it.
    pub(crate) async fn open(
        client: Client,
        name: String,
        subjects: Subjects,
        limits: Limits,
        request_timeout: Duration,
    ) -> Result<(Arc<Self>, State), LogError> {
        let context = ContextBuilder::new().timeout(request_timeout).build(client.clone());
        make_stream(&context, &name, &subjects, &limits).await?;
        let replicas = limits.replicas.unwrap_or(1);
        let epochs = Epochs::new(context.clone(), &name, &subjects, replicas);
        let stream = context.get_stream_no_info(&name).await;
        let stream = stream.map_err(|error| asking("stream", error))?;
        // Known in a moment.
        let history = Mutex::new(History { epoch: Epoch::random(), created: 0 });
        let verified = watch::Sender::new(0);
        let engine =
            Self { client, context, subjects, stream, name, limits, epochs, history, verified };
        let state = engine.state().await?;
        Ok((Arc::new(engine), state))
    }

    /// Makes the stream anew, if it is gone.
    pub(crate) async fn restore(&self) -> Result<(), LogError> {
        make_stream(&self.context, &self.name, &self.subjects, &self.limits).await
    }

    /// How often a connection was made: what comes behind it may not follow on what came before.
    pub(crate) fn connects(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Acquire)
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.client.connection_state() == Connection::Connected
    }

    /// Waits until the link is not the one of this number any more.
    pub(crate) async fn is_lost(&self, connects: u64) {
        // The client tells nobody, so it has to be asked.
        let mut look = interval(Duration::from_millis(50));
        while self.is_connected() && self.connects() == connects {
            look.tick().await;
        }
    }

    /// Notes that the history is known of the connection of this number.
    pub(crate) fn verified(&self, connects: u64) {
        self.verified.send_replace(connects);
    }

    pub(crate) fn is_verified(&self) -> bool {
        *self.verified.borrow() == self.connects()
    }

    /// The epoch of what was acknowledged by the present connection, which may be another one's than
    /// that of the connection before.
    pub(crate) async fn verified_epoch(&self) -> Epoch {
        let mut verified = self.verified.subscribe();
        while !self.is_verified() {
            // The sender is held here.
            let _ = verified.changed().await;
        }
        self.history().epoch
    }

    pub(crate) fn history(&self) -> History {
        self.history.lock().clone()
    }

    /// Asks for the stream's state, and whether its history is still the same.
    pub(crate) async fn state(&self) -> Result<State, LogError> {
        let info = self.stream.get_info().await.map_err(|error| asking("stream", error))?;
        let created = info.created.unix_timestamp_nanos();
        let epoch = self.epochs.of(created).await?;
        let history = History { epoch, created };
        self.history.lock().clone_from(&history);
        Ok(State {
            history,
            leader: info.cluster.and_then(|cluster| cluster.leader),
            first: info.state.first_sequence,
            last: info.state.last_sequence,
        })
    }

    /// Declares that the stream does not continue the history of this epoch.
    pub(crate) async fn begin_history(&self, old: &History) -> Result<(), LogError> {
        self.epochs.renew(old.created, &old.epoch).await
    }

    /// The first message at a position or behind it whose subject matches, as the stream's leader has it.
    ///
    /// Not by a consumer, and not by a direct get: on a cluster these may be answered by a server that
    /// has not heard of the newest events yet, and nobody could tell that from there being none.
    pub(crate) async fn next(
        &self,
        filter: &str,
        from: u64,
    ) -> Result<Option<StreamMessage>, LogError> {
        let request = self.stream.raw_message_builder().sequence(from).next_by_subject(filter);
        match request.send().await {
            Ok(message) => Ok(Some(message)),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(asking("read", error)),
        }
    }
}

async fn make_stream(
    context: &Context,
    name: &str,
    subjects: &Subjects,
    limits: &Limits,
) -> Result<(), LogError> {
    let info = match context.get_stream(name).await {
        Ok(stream) => stream.cached_info().clone(),
        Err(error) if is_absent(&error) => {
            let config = limits.config(name, subjects);
            let made = context.create_stream(config).await;
            made.map_err(|error| asking("create stream", error))?.cached_info().clone()
        }
        Err(error) => return Err(asking("stream", error)),
    };
    limits.check(&info.config, subjects)?;
    if info.state.last_sequence == 0 {
        lay_foundation(context, subjects).await?;
    }
    Ok(())
}

/// The stream's first message. As long as it is there, nothing is gone: markers come and go, and where
/// they were all that there is, their going would look like a loss.
async fn lay_foundation(context: &Context, subjects: &Subjects) -> Result<(), LogError> {
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
