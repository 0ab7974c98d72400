use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use pin_project_lite::pin_project;

use crate::clock::Clock;
use crate::encode;
use crate::error::StreamError;
use crate::event::Event;
use crate::heartbeat::timer::HeartbeatTimer;
use crate::heartbeat::{EMPTY_COMMENT, Heartbeat};
use crate::pace::Pace;
use crate::retry::jittered;
use crate::telling;

pin_project! {
    /// Any stream of events as the bytes of an event stream: without a hub, topics, or ids of the hub.
    ///
    /// For events that only one client sees, such as the answer of a language model. Events are sent as they are, as
    /// soon as they come. The stream adds [heartbeats](Heartbeat) while it is idle (comments, which clients ignore; every 15 seconds
    /// by default). If no event is ready at once, an empty comment comes first, so that proxies forward the headers.
    ///
    /// The items are events, or results of events. An error ends the response after the last whole event. It is returned
    /// one poll later, so that the server can send the events that came before it.
    ///
    /// ```
    /// use tidings::{Event, EventStream};
    ///
    /// let answer = futures_util::stream::iter([
    ///     Event::json_data(&"Hello")?,
    ///     Event::new("[DONE]"),
    /// ]);
    /// let body = EventStream::new(answer);
    /// # let chunks: Vec<_> = futures_executor::block_on_stream(body).map(Result::unwrap).collect();
    /// # assert_eq!(chunks.concat(), b"data: \"Hello\"\n\ndata: [DONE]\n\n");
    /// # Ok::<(), tidings::error::EventError>(())
    /// ```
    #[must_use = "a stream does nothing unless it is sent"]
    #[derive(Debug)]
    pub struct EventStream<S> {
        #[pin]
        events: S,
        heartbeat: Heartbeat,
        // Starts with the first poll, when the settings are known.
        timer: Option<StartedTimer>,
        // What comes before the first event.
        prelude: Vec<u8>,
        clock: Clock,
        begun: bool,
        // Returned one poll later: a server drops what it has not sent when it meets an error, and does not send as long
        // as there is more.
        failed: Option<StreamError>,
        // It has been pending since it failed.
        paused: bool,
        ended: bool,
        pace: Pace,
    }
}

#[derive(Debug)]
struct StartedTimer(Arc<HeartbeatTimer>);

impl StartedTimer {
    fn new(clock: &Clock, interval: Option<Duration>) -> Self {
        let timer = Arc::new(HeartbeatTimer::new(clock.clone(), interval));
        timer.start(&timer);
        Self(timer)
    }
}

impl Drop for StartedTimer {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl<S> EventStream<S> {
    /// Sends the events of `events`.
    pub fn new(events: S) -> Self {
        Self {
            events,
            heartbeat: Heartbeat::comment(),
            timer: None,
            prelude: Vec::new(),
            clock: Clock::system(),
            begun: false,
            failed: None,
            paused: false,
            ended: false,
            pace: Pace::default(),
        }
    }

    /// What the stream sends when it is idle, and how long it is idle before; `None` for nothing, and a duration for an
    /// empty comment. Default: an empty comment after 15 seconds.
    pub fn heartbeat(mut self, heartbeat: impl Into<Heartbeat>) -> Self {
        self.heartbeat = heartbeat.into();
        self
    }

    /// How long the client is told to wait before it connects again, with a jitter of ±20 %. Default: it is not told,
    /// since most of these streams must not be repeated.
    pub fn retry(mut self, delay: impl Into<Option<Duration>>) -> Self {
        self.prelude.clear();
        if let Some(delay) = delay.into() {
            encode::retry(jittered(delay), &mut self.prelude);
            self.prelude.push(b'\n');
        }
        self
    }

    /// The stream's clock. Default: the system's monotonic clock.
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }
}

/// An [`EventStream`] of any events, for adapters, which do not know their type.
pub trait AnyEventStream: Stream<Item = Result<Bytes, StreamError>> {
    /// Sets the stream's heartbeats: see [`EventStream::heartbeat`].
    fn set_heartbeat(self: Pin<&mut Self>, heartbeat: Heartbeat);
}

impl<S> AnyEventStream for EventStream<S>
where
    S: Stream,
    S::Item: StreamItem,
{
    fn set_heartbeat(self: Pin<&mut Self>, heartbeat: Heartbeat) {
        let this = self.project();
        *this.heartbeat = heartbeat;
        *this.timer = None;
    }
}

/// The items that an [`EventStream`] takes: `Event`, or `Result<Event, E>`.
pub trait StreamItem: private::Sealed {
    #[doc(hidden)]
    fn into_event(self) -> Result<Event, StreamError>;
}

impl StreamItem for Event {
    fn into_event(self) -> Result<Event, StreamError> {
        Ok(self)
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> StreamItem for Result<Event, E> {
    fn into_event(self) -> Result<Event, StreamError> {
        self.map_err(|error| StreamError::application(error.into()))
    }
}

mod private {
    pub trait Sealed {}

    impl Sealed for crate::Event {}
    impl<E> Sealed for Result<crate::Event, E> {}
}

impl<S> Stream for EventStream<S>
where
    S: Stream,
    S::Item: StreamItem,
{
    type Item = Result<Bytes, StreamError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        if *this.ended {
            return Poll::Ready(None);
        }
        if this.failed.is_some() && !std::mem::replace(this.paused, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(error) = this.failed.take() {
            *this.ended = true;
            return Poll::Ready(Some(Err(error)));
        }
        let interval = this.heartbeat.interval;
        let StartedTimer(timer) =
            this.timer.get_or_insert_with(|| StartedTimer::new(this.clock, interval));
        timer.turn.end();
        // Whether it has more, only its next poll would tell.
        if this.pace.is_spent() && this.pace.pauses(|| true, timer, timer, cx) {
            return Poll::Pending;
        }
        let begins = !std::mem::replace(this.begun, true);
        let bytes = match this.events.poll_next(cx) {
            Poll::Ready(Some(item)) => match item.into_event() {
                Ok(event) if begins && !this.prelude.is_empty() => {
                    this.prelude.extend_from_slice(&event.encode());
                    std::mem::take(this.prelude).into()
                }
                Ok(event) => event.encode(),
                Err(error) => {
                    tracing::warn!(target: telling::STREAM, reason = %error, "stream of events failed");
                    *this.failed = Some(error);
                    // The client connects again after an error too.
                    if begins && !this.prelude.is_empty() {
                        std::mem::take(this.prelude).into()
                    } else {
                        *this.paused = true;
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
            },
            Poll::Ready(None) => {
                *this.ended = true;
                // The client connects again after an empty answer too.
                match begins && !this.prelude.is_empty() {
                    true => std::mem::take(this.prelude).into(),
                    false => return Poll::Ready(None),
                }
            }
            Poll::Pending if begins && this.prelude.is_empty() => EMPTY_COMMENT,
            Poll::Pending if begins => std::mem::take(this.prelude).into(),
            Poll::Pending => {
                // The waker first: a heartbeat that falls due from here on wakes it.
                timer.register(cx.waker());
                if !timer.take() {
                    this.pace.rest();
                    return Poll::Pending;
                }
                this.heartbeat.bytes.get()
            }
        };
        timer.on_write();
        this.pace.count(bytes.len());
        Poll::Ready(Some(Ok(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;

    use super::*;

    /// What a server gets from poll to poll.
    fn turns_of(
        stream: EventStream<impl Stream<Item = Result<Event, &'static str>>>,
    ) -> Vec<&'static str> {
        let mut stream = pin!(stream);
        let mut turns = Vec::new();
        // The executor polls again only if it was woken.
        futures_executor::block_on(poll_fn(|cx| {
            loop {
                match stream.as_mut().poll_next(cx) {
                    Poll::Ready(Some(Ok(bytes))) if bytes.starts_with(b"retry: ") => {
                        turns.push("retry");
                    }
                    Poll::Ready(Some(Ok(_))) => turns.push("event"),
                    Poll::Ready(Some(Err(_))) => turns.push("error"),
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Pending => {
                        turns.push("pause");
                        return Poll::Pending;
                    }
                }
            }
        }));
        turns
    }

    #[test]
    fn an_error_comes_one_poll_later_so_that_the_server_sends_what_came_before_it() {
        let events = futures_util::stream::iter([Ok(Event::new("one")), Err("gone")]);
        assert_eq!(turns_of(EventStream::new(events)), ["event", "pause", "error"]);
    }

    #[test]
    fn the_retry_is_sent_before_an_error_that_comes_first() {
        let stream = || EventStream::new(futures_util::stream::iter([Err("gone")]));
        assert_eq!(turns_of(stream()), ["pause", "error"]);
        let told = stream().retry(Duration::from_secs(1));
        assert_eq!(turns_of(told), ["retry", "pause", "error"]);
    }
}
