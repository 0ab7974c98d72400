//! The answers that there are: how they are begun, stopped and read. All of it is in the hub, so it is the same on each node.

use std::error::Error;
use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::{Stream, StreamExt};
use tidings_axum::tidings::error::{FieldError, PublishErrorKind};
use tidings_axum::tidings::{Message, Messages};
use tidings_axum::{Event, History, Hub, Retention};
use tokio::select;
use tokio::sync::Semaphore;

use crate::answer::{Answer, AnswerId, Begun, End, Part};
use crate::model::{Failed, Model};
use crate::refused::Refused;

/// How many answers are written at a time. An application limits those of each user, too: a model is paid.
const MAX_AT_A_TIME: usize = 100;

/// A hub whose topics keep whole answers, and the chats that name them, for an hour.
pub(crate) fn hub(heartbeat: Duration) -> Result<Hub, FieldError> {
    let for_an_hour = Retention::default().age(Duration::from_secs(3600));
    let whole = for_an_hour.events(100_000).bytes(4 * 1024 * 1024);
    let hub = Hub::builder().heartbeat(heartbeat).retain("answer:*", whole)?;
    // A message may have photos.
    Ok(hub.retain("chat:*", for_an_hour.bytes(16 * 1024 * 1024))?.build())
}

/// All answers.
#[derive(Debug, Clone)]
pub(crate) struct Answers {
    pub(crate) hub: Hub,
    model: Model,
    places: Arc<Semaphore>,
}

impl Answers {
    pub(crate) fn new(hub: Hub, model: Model) -> Self {
        Self { hub, model, places: Arc::new(Semaphore::new(MAX_AT_A_TIME)) }
    }

    /// Has the question answered, whoever is there to read it.
    pub(crate) async fn begin(&self, model: &str, question: String) -> Result<AnswerId, Refused> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| Refused::Busy)?;
        let id = AnswerId::random()?;
        let created = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let created = created.unwrap_or_default().as_secs();
        let tokens = self.model.answer(&question);
        let begun = Part::Begun(Begun { model: model.to_owned(), created, question });
        // Before anybody knows of the answer: from here on, it is found.
        self.hub.publish(id.topic(), Event::typed(&begun)?).await?;
        let (hub, answer) = (self.hub.clone(), id.clone());
        tokio::spawn(async move {
            let _place = place;
            if produce(&hub, &answer, tokens).await.is_err() {
                // The cause was told. Readers must not wait for ever.
                let _ = end(&hub, &answer, End::Failed("the server has failed".to_owned())).await;
            }
        });
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
    hub: &Hub,
    id: &AnswerId,
    tokens: impl Stream<Item = Result<String, Failed>>,
) -> Result<(), Refused> {
    let mut tokens = pin!(tokens);
    // A model may think for long, and is paid for it. So its job looks for the end, and does not wait for a refusal.
    let messages = hub.subscribe(id.topic()).open()?.into_messages();
    let mut ended = messages.filter(|message| ready(message.as_ref().is_ok_and(is_end)));
    loop {
        let token = select! {
            token = tokens.next() => token,
            Some(_) = ended.next() => return Ok(()),
        };
        let token = match token {
            Some(Ok(token)) => Event::typed(&Part::Token(token))?,
            Some(Err(failed)) => return end(hub, id, End::Failed(failed.to_string())).await,
            None => return end(hub, id, End::Done).await,
        };
        match hub.publish(id.topic(), token).await {
            Err(error) if error.kind() == PublishErrorKind::Finished => return Ok(()),
            published => published?,
        };
    }
}

fn is_end(message: &Message) -> bool {
    matches!(message.typed(), Ok(Part::Ended(_)))
}

/// Publishes the last part, unless there is one.
async fn end(hub: &Hub, id: &AnswerId, end: End) -> Result<(), Refused> {
    match hub.finish(id.topic(), Event::typed(&Part::Ended(end))?).await {
        Err(error) if error.kind() == PublishErrorKind::Finished => Ok(()),
        finished => Ok(finished.map(drop)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use tokio::time::timeout;

    const LIMIT: Duration = Duration::from_secs(10);

    /// An answer that has begun, and whose model is still thinking.
    async fn thinking() -> (Answers, AnswerId) {
        let hub = hub(LIMIT).unwrap();
        let answers = Answers::new(hub, Model::new(Duration::from_secs(3600)));
        let id = answers.begin("fake", "count to 1".to_owned()).await.unwrap();
        (answers, id)
    }

    #[tokio::test]
    async fn a_model_that_is_still_thinking_is_stopped_at_once() {
        let (answers, id) = thinking().await;
        let job = tokio::spawn({
            let (hub, id) = (answers.hub.clone(), id.clone());
            async move { produce(&hub, &id, stream::pending()).await }
        });
        answers.stop(&id).await.unwrap();
        timeout(LIMIT, job).await.unwrap().unwrap().unwrap();
        assert_eq!(answers.whole(&id).await.unwrap().end, Some(End::Stopped));
        // What has ended, stays as it is.
        end(&answers.hub, &id, End::Done).await.unwrap();
        assert_eq!(answers.so_far(&id).await.unwrap().end, Some(End::Stopped));
    }

    #[tokio::test]
    async fn nobody_takes_half_an_answer_for_whole() {
        let (answers, id) = thinking().await;
        let mut reading = answers.read(&id).await.unwrap();
        assert!(reading.next().await.unwrap().is_some());
        let whole = tokio::spawn({
            let (answers, id) = (answers.clone(), id.clone());
            async move { answers.whole(&id).await }
        });
        let all_read = async {
            while answers.hub.clients().count() < 3 {
                tokio::task::yield_now().await;
            }
        };
        timeout(LIMIT, all_read).await.unwrap();
        answers.hub.close();
        timeout(LIMIT, reading.next()).await.unwrap().unwrap_err();
        let refused = timeout(LIMIT, whole).await.unwrap().unwrap().unwrap_err();
        assert!(matches!(refused, Refused::Unavailable));
    }

    #[tokio::test]
    async fn a_question_that_is_too_large_is_refused_for_good() {
        let (answers, _) = thinking().await;
        let refused = answers.begin("fake", "x".repeat(2 << 20)).await.unwrap_err();
        assert!(matches!(refused, Refused::Invalid(_)), "{refused}");
    }

    #[tokio::test]
    async fn only_so_many_answers_are_written_at_a_time() {
        let (answers, first) = thinking().await;
        let begin = || answers.begin("fake", "count to 1".to_owned());
        for _ in 1..MAX_AT_A_TIME {
            begin().await.unwrap();
        }
        assert!(matches!(begin().await, Err(Refused::Busy)));
        answers.stop(&first).await.unwrap();
        let begun = async {
            while begin().await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        timeout(LIMIT, begun).await.unwrap();
    }

    #[tokio::test]
    async fn an_answer_that_is_not_there_is_not_made_by_asking_for_it() {
        let (answers, _) = thinking().await;
        let id = AnswerId::random().unwrap();
        assert!(matches!(answers.read(&id).await, Err(Refused::NotFound)));
        assert!(matches!(answers.stop(&id).await, Err(Refused::NotFound)));
        assert!(matches!(answers.so_far(&id).await, Err(Refused::NotFound)));
    }
}
