//! An answer as the event stream of another format: its parts, encoded, and comments while nothing comes. There is nothing of
//! Tidings in it: no ids, no `retry`, no status, no end.

use futures_util::{TryStreamExt, stream};
use serde_json::Value;
use tidings_axum::Sse;
use tidings_axum::tidings::error::EventError;
use tidings_axum::tidings::{Event, EventStream};

use crate::App;
use crate::answer::{Answer, AnswerId, Part};
use crate::answers::CutShort;
use crate::refused::Refused;

impl App {
    /// Sends what `encode` makes of each part of an answer, from the first on, and of what the answer is with it.
    ///
    /// The same parts make the same events. So a reader that comes back may be sent those after the ones it has, by any node,
    /// and nobody has to remember who has what.
    pub(crate) async fn stream<F>(&self, id: &AnswerId, encode: F) -> Result<Sse, Refused>
    where
        F: FnMut(&Answer, &Part) -> Result<Vec<Event>, EventError> + Send + 'static,
    {
        let reading = self.answers.read(id).await?;
        let events = stream::try_unfold((reading, encode), async |(mut reading, mut encode)| {
            let Some((answer, part)) = reading.next().await? else { return Ok(None) };
            let events = encode(answer, &part)?.into_iter().map(Ok::<_, CutShort>);
            Ok::<_, CutShort>(Some((stream::iter(events), (reading, encode))))
        });
        // An error cuts the response, so that no client takes what it has for whole.
        Ok(EventStream::new(events.try_flatten()).heartbeat(self.heartbeat).into())
    }
}

/// An event whose JSON has its name as `type`.
pub(crate) fn named(name: &'static str, mut fields: Value) -> Result<Event, EventError> {
    fields["type"] = name.into();
    Event::json(name, &fields)
}

/// The event with which streams of unnamed events end.
pub(crate) fn done() -> Event {
    Event::new("[DONE]")
}
