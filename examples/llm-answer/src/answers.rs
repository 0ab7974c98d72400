//! The answers that there are: how they are begun, stopped and read. All of it is in the hub, so it is the same on each node.

use std::error::Error;
use std::future::ready;
use std::pin::pin;
use std::time::{Duration, SystemTime};

use futures_util::{Stream, StreamExt};
use tidings_axum::tidings::error::{FieldError, PublishError, PublishErrorKind};
use tidings_axum::tidings::{Messages, Published};
use tidings_axum::{Event, History, Hub, Retention};
use tokio::select;

use crate::answer::{Answer, AnswerId, Begun, End, Part};
use crate::model::{Failed, Model};
use crate::refused::Refused;

/// A hub whose topics keep whole answers, each for an hour.
pub(crate) fn hub(heartbeat: Duration) -> Result<Hub, FieldError> {
    let whole = Retention::default().events(100_000).bytes(4 * 1024 * 1024);
    let hub = Hub::builder().heartbeat(heartbeat);
    Ok(hub.retain("answer:*", whole.age(Duration::from_secs(3600)))?.build())
}

/// All answers.
#[derive(Debug, Clone)]
pub(crate) struct Answers {
    pub(crate) hub: Hub,
    model: Model,
}

impl Answers {
    pub(crate) fn new(hub: Hub, model: Model) -> Self {
        Self { hub, model }
    }

    /// Has the question answered, whoever is there to read it.
    pub(crate) async fn begin(&self, model: &str, question: String) -> Result<AnswerId, Refused> {
        let id = AnswerId::random()?;
        let created = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let created = created.unwrap_or_default().as_secs();
        let tokens = self.model.answer(&question);
        let begun = Part::Begun(Begun { model: model.to_owned(), created, question });
        // Before anybody knows of the answer: from here on, it is found.
        self.hub.publish(id.topic(), Event::typed(&begun)?).await?;
        tokio::spawn(produce(self.hub.clone(), id.clone(), tokens));
        Ok(id)
    }

    /// Stops an answer: its last event is published from here, and nothing follows a last event. One that has ended stays as it
    /// is.
    pub(crate) async fn stop(&self, id: &AnswerId) -> Result<(), Refused> {
        self.find(id).await?;
        end(&self.hub, id, End::Stopped).await
    }

    /// Refuses the name of an answer that does not exist.
    pub(crate) async fn find(&self, id: &AnswerId) -> Result<(), Refused> {
        match self.hub.history(id.topic(), History::Last(1)).await?.events.is_empty() {
            true => Err(Refused::NotFound),
            false => Ok(()),
        }
    }

    /// Reads an answer from its first part to its last, as it comes.
    pub(crate) async fn read(&self, id: &AnswerId) -> Result<Reading, Refused> {
        self.find(id).await?;
        // Without a status, the stream ends with an error where a client would have to be reset.
        let subscribe = self.hub.subscribe(id.topic()).history(History::All).status(false);
        let messages = subscribe.heartbeat(None).open()?.into_messages();
        Ok(Reading { id: id.clone(), messages, answer: None })
    }

    /// The answer as far as it is.
    pub(crate) async fn so_far(&self, id: &AnswerId) -> Result<Answer, Refused> {
        let mut answer = None;
        for message in self.hub.history(id.topic(), History::All).await?.events {
            Answer::take(&mut answer, id, &message.typed()?)?;
        }
        answer.ok_or(Refused::NotFound)
    }

    /// The answer when it has ended.
    pub(crate) async fn whole(&self, id: &AnswerId) -> Result<Answer, Refused> {
        let mut reading = self.read(id).await?;
        while reading.next().await.map_err(Refused::unavailable)?.is_some() {}
        reading.answer.ok_or(Refused::NotFound)
    }
}

/// Why a reader does not get an answer to its end. It must not take what it has for whole.
pub(crate) type CutShort = Box<dyn Error + Send + Sync>;

/// One reader of an answer.
#[derive(Debug)]
pub(crate) struct Reading {
    id: AnswerId,
    messages: Messages,
    answer: Option<Answer>,
}

impl Reading {
    /// The next part, and what the answer is with it; `None` after the last.
    ///
    /// # Errors
    ///
    /// When the last part has not come, and will not: the hub ends the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<(&Answer, Part)>, CutShort> {
        if self.answer.as_ref().is_some_and(|answer| answer.end.is_some()) {
            return Ok(None);
        }
        let message = self.messages.next().await.ok_or("the answer was cut short")??;
        let part: Part = message.typed()?;
        Ok(Some((Answer::take(&mut self.answer, &self.id, &part)?, part)))
    }
}

/// Publishes the tokens of an answer up to its end, or to that of somebody else.
async fn produce(
    hub: Hub,
    id: AnswerId,
    tokens: impl Stream<Item = Result<String, Failed>>,
) -> Result<(), Refused> {
    let mut tokens = pin!(tokens);
    // A model may think for long, and is paid for it. So its job looks for the end, and does not wait for a refusal.
    let messages = hub.subscribe(id.topic()).open()?.into_messages();
    let mut ended = pin!(messages.for_each(|_| ready(())));
    loop {
        let token = select! {
            token = tokens.next() => token,
            () = &mut ended => return Ok(()),
        };
        match token {
            Some(Ok(token)) => {
                let token = Event::typed(&Part::Token(token))?;
                unless_finished(hub.publish(id.topic(), token).await)?;
            }
            Some(Err(failed)) => return end(&hub, &id, End::Failed(failed.to_string())).await,
            None => return end(&hub, &id, End::Done).await,
        }
    }
}

/// Publishes the last part, unless there is one.
async fn end(hub: &Hub, id: &AnswerId, end: End) -> Result<(), Refused> {
    let ended = Event::typed(&Part::Ended(end))?;
    Ok(unless_finished(hub.finish(id.topic(), ended).await)?)
}

/// Nothing follows a last event: what comes too late is dropped.
fn unless_finished(published: Result<Published, PublishError>) -> Result<(), PublishError> {
    match published {
        Err(error) if error.kind() == PublishErrorKind::Finished => Ok(()),
        published => published.map(drop),
    }
}
