//! A stream for each operation.

use std::io;

use async_graphql::Request;
use futures_util::{StreamExt, stream};
use tidings_axum::tidings::{Event, EventStream};
use tidings_axum::{Sse, SseRequest};

use crate::chat::{self, Schema};

/// The results of an operation as events `next`, and `complete` at the end. An error of the request is a result, too.
pub(crate) fn stream(schema: &Schema, request: Request, resume: SseRequest) -> Sse {
    let (results, progress) = chat::execute(schema, request, resume);
    let position = progress.clone();
    let results = results.map(move |result| {
        let event = Event::json("next", &result)?;
        // So an `EventSource` goes on by itself.
        Ok::<_, BoxError>(match position.take_position() {
            Some(id) => event.with_id(id),
            None => event,
        })
    });
    let end = stream::once(async move {
        match progress.is_cut() {
            // A client that has not seen the end comes back.
            true => Err(io::Error::other("the subscription was cut").into()),
            false => Ok(Event::named("complete", "")?),
        }
    });
    EventStream::new(results.chain(end)).into()
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;
