use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::Subscription;
use crate::decode::{Decoder, Message};
use crate::error::StreamError;

/// What a client of a [`Subscription`] dispatches, for an application that reads topics itself: to send them in another format,
/// or to act on them. See [`Subscription::into_messages`].
#[derive(Debug)]
#[must_use = "nothing is read unless this is polled"]
pub struct Messages {
    subscription: Subscription,
    decoder: Decoder,
}

impl Subscription {
    /// Reads the subscription here, in place of a client: a stream of messages, among them those of the hub, which are named
    /// [`STATUS_EVENT`](crate::STATUS_EVENT) and [`END_EVENT`](crate::END_EVENT). It ends, with an error or without, as
    /// the subscription does; dropping it ends the subscription.
    ///
    /// ```
    /// use futures_util::TryStreamExt;
    /// use tidings::{END_EVENT, Event, History, Hub};
    ///
    /// # futures_executor::block_on(async {
    /// let hub = Hub::new();
    /// hub.publish("answer:17", Event::named("token", "Hello")?).await?;
    /// hub.finish("answer:17", Event::named("done", "")?).await?;
    ///
    /// let subscription = hub.subscribe("answer:17").history(History::All).status(false).open()?;
    /// let messages: Vec<_> = subscription.into_messages().try_collect().await?;
    /// let names: Vec<_> = messages.iter().map(|message| message.event()).collect();
    /// assert_eq!(names, ["token", "done", END_EVENT]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn into_messages(self) -> Messages {
        // The hub has limits of its own.
        Messages { subscription: self, decoder: Decoder::new().max_event_bytes(usize::MAX) }
    }
}

impl Stream for Messages {
    type Item = Result<Message, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { subscription, decoder } = &mut *self;
        loop {
            if let Some(message) = decoder.next_message() {
                return Poll::Ready(Some(Ok(message)));
            }
            match ready!(Pin::new(&mut *subscription).poll_next(cx)) {
                Some(Ok(bytes)) => {
                    // There is no limit that it could exceed.
                    let _ = decoder.feed(&bytes);
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}
