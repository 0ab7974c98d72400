use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{Context, GetStreamErrorKind, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, LastRawMessageErrorKind, Stream};
use tidings::backend::{Epoch, LogError, LogErrorKind};

use crate::error::{asking, error, publishing};
use crate::subject::Subjects;

/// Keeps the epoch of a stream in a second stream with one message, so that one node sets it and the others see it.
///
/// Not in the stream itself, which forgets; nor in its configuration, which has no compare-and-set.
#[derive(Debug)]
pub(crate) struct Epochs {
    context: Context,
    name: String,
    subject: String,
    replicas: usize,
}

struct EpochEntry {
    epoch: Epoch,
    /// When the stream that it belongs to was made.
    created: i128,
    revision: u64,
}

impl Epochs {
    /// How often another node may be faster.
    const ATTEMPTS: usize = 16;

    pub(crate) fn new(
        context: Context,
        stream: &str,
        subjects: &Subjects,
        replicas: usize,
    ) -> Self {
        let (name, subject) = (format!("{stream}_EPOCH"), subjects.epoch());
        Self { context, name, subject, replicas }
    }

    /// The epoch of the stream that was made at this time; a new one if there is none.
    pub(crate) async fn of(&self, created: i128) -> Result<Epoch, LogError> {
        self.settle(created, |entry| entry.created == created).await
    }

    /// Gives the stream another epoch, unless another node just did.
    pub(crate) async fn renew(&self, created: i128, old: &Epoch) -> Result<(), LogError> {
        self.settle(created, |entry| entry.epoch != *old).await.map(|_| ())
    }

    async fn settle(
        &self,
        created: i128,
        is_settled: impl Fn(&EpochEntry) -> bool,
    ) -> Result<Epoch, LogError> {
        for _ in 0..Self::ATTEMPTS {
            let found = self.read().await?;
            if let Some(entry) = found.as_ref().filter(|entry| is_settled(entry)) {
                return Ok(entry.epoch.clone());
            }
            let epoch = Epoch::random();
            if self.write(&epoch, created, found.map_or(0, |entry| entry.revision)).await? {
                return Ok(epoch);
            }
        }
        Err(error(LogErrorKind::Unavailable, "epoch: other nodes keep changing it"))
    }

    /// The stream, if there is anything in it.
    ///
    /// nats-server 2.9 crashes when it is asked for a message of a stream that another node is just creating.
    async fn stream(&self) -> Result<Option<Stream>, LogError> {
        match self.context.get_stream(&self.name).await {
            Ok(stream) => Ok(Some(stream).filter(|stream| stream.cached_info().state.messages > 0)),
            Err(refusal) => match refusal.kind() {
                GetStreamErrorKind::JetStream(error)
                    if error.error_code() == ErrorCode::STREAM_NOT_FOUND =>
                {
                    Ok(None)
                }
                _ => Err(asking("epoch", refusal)),
            },
        }
    }

    async fn read(&self) -> Result<Option<EpochEntry>, LogError> {
        let Some(stream) = self.stream().await? else {
            self.create().await?;
            return Ok(None);
        };
        let message = stream.get_last_raw_message_by_subject(&self.subject).await;
        let message = match message {
            Ok(message) => message,
            Err(refusal) => match refusal.kind() {
                LastRawMessageErrorKind::NoMessageFound => return Ok(None),
                _ => return Err(asking("epoch", refusal)),
            },
        };
        let entry = parse(&message.payload).map(|(epoch, created)| EpochEntry {
            epoch,
            created,
            revision: message.sequence,
        });
        let corrupt =
            || error(LogErrorKind::Corrupt, format_args!("{}: is not an epoch", self.subject));
        entry.map(Some).ok_or_else(corrupt)
    }

    async fn create(&self) -> Result<(), LogError> {
        let config = Config {
            name: self.name.clone(),
            description: Some("Names the history of a Tidings hub's log".to_owned()),
            subjects: vec![self.subject.clone()],
            max_messages: -1,
            max_bytes: -1,
            max_consumers: -1,
            max_messages_per_subject: 1,
            num_replicas: self.replicas,
            ..Config::default()
        };
        let created = self.context.create_stream(config).await;
        created.map(|_| ()).map_err(|error| asking("create stream of the epoch", error))
    }

    /// Writes the epoch, unless another node has since the revision. Returns whether it was written.
    async fn write(&self, epoch: &Epoch, created: i128, revision: u64) -> Result<bool, LogError> {
        let message = PublishMessage::build()
            .payload(format!("{epoch} {created}").into())
            .expected_last_subject_sequence(revision);
        let sent = self.context.send_publish(self.subject.clone(), message).await;
        match sent.map_err(publishing)?.await {
            Ok(_) => Ok(true),
            Err(refusal) if refusal.kind() == PublishErrorKind::WrongLastSequence => Ok(false),
            Err(refusal) => Err(publishing(refusal)),
        }
    }
}

fn parse(text: &[u8]) -> Option<(Epoch, i128)> {
    let (epoch, created) = std::str::from_utf8(text).ok()?.split_once(' ')?;
    Some((Epoch::new(epoch).ok()?, created.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_epoch_is_noticed() {
        assert_eq!(parse(b"abc 17"), Some((Epoch::new("abc").unwrap(), 17)));
        for text in [&b""[..], b"abc", b"a-c 17", b"abc x", b"\xff 1"] {
            assert_eq!(parse(text), None);
        }
    }
}
