use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::future::poll_fn;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_core::Stream;
use tidings::{Message, ResetReason, STATUS_EVENT, Status};

use crate::limit::{Limit, Pause, TURN};
use crate::received::{History, Parser, Received, status_of};

/// How long a test waits for what it expects, unless set: 5 seconds.
pub const DEFAULT_LIMIT: Duration = Duration::from_secs(5);

/// The bytes of a body.
pub(crate) type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, String>>>>;

/// An event stream as its client sees it: any stream of bytes, from any framework.
///
/// ```
/// use futures_util::stream;
/// use tidings::Status;
/// use tidings_test::TestStream;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let hub = tidings::Hub::new();
/// let body = hub.subscribe("jobs").open().unwrap();
/// let mut stream = TestStream::new(body);
/// stream.expect_status(Status::Fresh).await;
///
/// hub.publish("jobs", tidings::Event::named("created", "7").unwrap()).await.unwrap();
/// assert_eq!(stream.expect("created").await.data(), "7");
/// # }
/// ```
///
/// # What is expected
///
/// Every method takes the next thing from the stream, and panics if it is another. The order is thereby tested, too. Two
/// things are skipped unless they are asked for: comments, and the status events `fresh` and `resumed` of Tidings. A `reset`
/// is not skipped, because it says that the client has missed something.
///
/// # Time
///
/// Every method waits at most [`limit`](Self::limit), then panics. It is in the machine's time, also where tokio's clock is
/// paused: a paused clock jumps to the next timer as soon as all tasks are idle, which would end the wait before an event
/// arrives from another thread. Timers of the application jump as they always do, so a test with a paused clock takes no
/// longer for them.
///
/// Only [`expect_silence`](Self::expect_silence) is in tokio's time, and a test with a paused clock does not wait for it. The
/// hub's own time, for heartbeats and the age of events, is that of its clock: see [`ManualClock`](crate::ManualClock).
pub struct TestStream {
    source: Source,
    parser: Parser,
    /// Received, and not taken by the test.
    waiting: VecDeque<Received>,
    history: History,
    pub(crate) last_event_id: String,
    pub(crate) limit: Duration,
    /// The request and the response's status, for error messages.
    pub(crate) title: String,
}

enum Source {
    Open(ByteStream),
    Ended(End),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    Orderly,
    Error(String),
    /// By the test.
    Disconnected,
    /// There never was a stream.
    NoStream(&'static str),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Orderly => f.write_str("the stream ended"),
            Self::Error(error) => write!(f, "the stream ended with an error: {error}"),
            Self::Disconnected => f.write_str("the client had disconnected"),
            Self::NoStream(reason) => f.write_str(reason),
        }
    }
}

/// What comes next.
enum Next {
    Received(Received),
    End(End),
    /// Nothing, until the limit.
    Silence,
    /// What is skipped, until the limit and without a pause.
    Endless,
}

/// What a test does not ask for.
#[derive(Clone, Copy)]
enum Skip {
    Comments,
    Status,
    CommentsAndStatus,
}

impl Skip {
    fn skips(self, received: &Received) -> bool {
        match received {
            Received::Id(_) => true,
            Received::Comment(_) => !matches!(self, Self::Status),
            Received::Message(_) => !matches!(self, Self::Comments) && received.is_quiet_status(),
        }
    }
}

impl TestStream {
    /// Reads this body. Its items are results of bytes, whatever the types of bytes and errors.
    pub fn new<S, B, E>(body: S) -> Self
    where
        S: Stream<Item = Result<B, E>> + 'static,
        B: AsRef<[u8]>,
        E: fmt::Display,
    {
        Self::of(Source::Open(Box::pin(Body { body: Box::pin(body) })))
    }

    fn of(source: Source) -> Self {
        Self {
            source,
            parser: Parser::default(),
            waiting: VecDeque::new(),
            history: History::default(),
            last_event_id: String::new(),
            limit: DEFAULT_LIMIT,
            title: String::new(),
        }
    }

    /// One that has not begun.
    pub(crate) fn unopened() -> Self {
        Self::of(Source::Ended(End::NoStream("the client has not connected")))
    }

    /// How long each wait may take, in the machine's time. Default: [5 seconds](DEFAULT_LIMIT).
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The next event, which must have this name. An event without a name is `message`.
    ///
    /// # Panics
    ///
    /// If another event comes, or the stream ends, or nothing comes; with what did come, at most the last 100 lines.
    #[track_caller]
    pub fn expect(&mut self, name: &str) -> impl Future<Output = Message> {
        let caller = Location::caller();
        async move {
            let expected = format!("event {name:?}");
            match self.next(Skip::CommentsAndStatus).await {
                Next::Received(Received::Message(message)) if message.event() == name => message,
                next => self.fail(caller, &expected, &next),
            }
        }
    }

    /// The next event, whatever its name.
    ///
    /// # Panics
    ///
    /// If the stream ends, or nothing comes.
    #[track_caller]
    pub fn next_message(&mut self) -> impl Future<Output = Message> {
        let caller = Location::caller();
        async move {
            match self.next(Skip::CommentsAndStatus).await {
                Next::Received(Received::Message(message)) => message,
                next => self.fail(caller, "an event", &next),
            }
        }
    }

    /// The status event of a hub's stream, which must be next and have this status. Returns it; its data is JSON.
    ///
    /// ```
    /// # use tidings_test::TestStream;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use tidings::{Hub, ResetReason, Resume, Status};
    ///
    /// let hub = Hub::new();
    /// let resume = Resume::new().with_last_event_id(b"from-another-server");
    /// let body = hub.subscribe("news").resume(resume).open().unwrap();
    /// let mut stream = TestStream::new(body);
    /// stream.expect_status(Status::Reset(ResetReason::Unknown)).await;
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If something else comes or nothing does.
    #[track_caller]
    pub fn expect_status(&mut self, status: Status) -> impl Future<Output = Message> {
        let caller = Location::caller();
        async move {
            let (name, reason) = wire_names(status);
            let expected = match &reason {
                Some(reason) => format!("status {name:?} with the reason {reason:?}"),
                None => format!("status {name:?}"),
            };
            let wanted = Some((name.to_owned(), reason));
            match self.next(Skip::Comments).await {
                Next::Received(Received::Message(message))
                    if message.event() == STATUS_EVENT && status_of(&message) == wanted =>
                {
                    message
                }
                next => self.fail(caller, &expected, &next),
            }
        }
    }

    /// The next comment, without the space that may begin it: a heartbeat, unless the application has another. No client of
    /// the application sees comments.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tidings::Hub;
    /// # use tidings_test::{ManualClock, TestStream};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let clock = ManualClock::new();
    /// let hub = Hub::builder().clock(&clock).build();
    /// let mut stream = TestStream::new(hub.subscribe("news").open().unwrap());
    /// stream.expect_silence(Duration::ZERO).await;
    ///
    /// // Every 15 seconds of silence, and up to 50 milliseconds late.
    /// clock.advance(Duration::from_secs(16));
    /// assert_eq!(stream.expect_comment().await, "");
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If an event comes first, or the stream ends, or nothing comes.
    #[track_caller]
    pub fn expect_comment(&mut self) -> impl Future<Output = String> {
        let caller = Location::caller();
        async move {
            match self.next(Skip::Status).await {
                Next::Received(Received::Comment(comment)) => comment,
                next => self.fail(caller, "a comment", &next),
            }
        }
    }

    /// Waits so long, and no event may come, and no end.
    ///
    /// The time is tokio's: if it is paused, it passes as soon as all tasks are idle. Everything that is published to a hub in
    /// memory until then would be found, so the outcome does not depend on threads. `Duration::ZERO` looks at what is there
    /// already.
    ///
    /// # Panics
    ///
    /// If an event comes, or the stream ends. If comments come without a pause, no task is idle: then after this duration and
    /// the limit, in the machine's time.
    #[track_caller]
    pub fn expect_silence(&mut self, duration: Duration) -> impl Future<Output = ()> {
        let caller = Location::caller();
        async move {
            let mut pause = Pause::new(duration);
            let end = Instant::now().checked_add(duration.saturating_add(self.limit));
            let mut is_endless = false;
            let is_over = |cx: &mut Context<'_>| {
                let over = pause.poll(cx);
                is_endless = over.is_pending() && end.is_some_and(|end| end <= Instant::now());
                if is_endless { Poll::Ready(()) } else { over }
            };
            let mut next = self.next_until(Skip::CommentsAndStatus, is_over).await;
            if is_endless && matches!(next, Next::Silence) {
                next = Next::Endless;
            }
            if !matches!(next, Next::Silence) {
                self.fail(caller, &format!("silence for {duration:?}"), &next);
            }
        }
    }

    /// The stream must end now, in an orderly way. Browsers connect again after that; only another status or content type
    /// keeps them from it.
    ///
    /// # Panics
    ///
    /// If an event comes, or the stream ends with an error, or does not end.
    #[track_caller]
    pub fn expect_end(&mut self) -> impl Future<Output = ()> {
        let caller = Location::caller();
        async move {
            match self.next(Skip::CommentsAndStatus).await {
                Next::End(End::Orderly) => {}
                next => self.fail(caller, "the end of the stream", &next),
            }
        }
    }

    /// The stream must end with an error now: the response is cut off. Returns the error's message.
    ///
    /// # Panics
    ///
    /// If an event comes, or the stream ends in an orderly way, or does not end.
    #[track_caller]
    pub fn expect_error(&mut self) -> impl Future<Output = String> {
        let caller = Location::caller();
        async move {
            match self.next(Skip::CommentsAndStatus).await {
                Next::End(End::Error(error)) => error,
                next => self.fail(caller, "an error", &next),
            }
        }
    }

    /// The id that a browser would send as `Last-Event-ID` if it had received what the test has taken; empty if there is none.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// How long the server wants clients to wait before they connect again, if it said so. Tests need not wait.
    #[must_use]
    pub fn retry(&self) -> Option<Duration> {
        self.parser.retry()
    }

    /// Goes on with the next response.
    pub(crate) fn begin(&mut self, source: Result<ByteStream, &'static str>) {
        self.source = match source {
            Ok(body) => Source::Open(body),
            Err(reason) => Source::Ended(End::NoStream(reason)),
        };
        self.parser = Parser::default();
        self.history = History::default();
    }

    /// Ends the stream, after what the test has taken and a status event that is there.
    pub(crate) fn cut(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        // A stream may have endless comments.
        for _ in 0..TURN {
            match self.poll_next(&mut cx) {
                Poll::Ready(Next::Received(received))
                    if Skip::CommentsAndStatus.skips(&received) =>
                {
                    self.take(&received);
                }
                _ => break,
            }
        }
        self.source = Source::Ended(End::Disconnected);
        self.waiting.clear();
    }

    pub(crate) fn is_disconnected(&self) -> bool {
        matches!(self.source, Source::Ended(End::Disconnected))
    }

    async fn next(&mut self, skip: Skip) -> Next {
        let mut limit = Limit::new(self.limit);
        self.next_until(skip, |cx| limit.poll(cx)).await
    }

    async fn next_until(
        &mut self,
        skip: Skip,
        mut is_over: impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> Next {
        poll_fn(|cx| {
            for _ in 0..TURN {
                // Before the look at the stream: what came meanwhile counts.
                let over = is_over(cx);
                match self.poll_next(cx) {
                    Poll::Ready(Next::Received(received)) => {
                        self.take(&received);
                        if !skip.skips(&received) {
                            return Poll::Ready(Next::Received(received));
                        }
                        // A stream may have endless comments.
                        if over.is_ready() {
                            return Poll::Ready(Next::Silence);
                        }
                    }
                    Poll::Ready(next) => return Poll::Ready(next),
                    Poll::Pending => return over.map(|()| Next::Silence),
                }
            }
            // A timer of tokio fires only if the task yields.
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        for _ in 0..TURN {
            if let Some(received) = self.waiting.pop_front() {
                return Poll::Ready(Next::Received(received));
            }
            let body = match &mut self.source {
                Source::Open(body) => body,
                Source::Ended(end) => return Poll::Ready(Next::End(end.clone())),
            };
            let end = match body.as_mut().poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(bytes))) => {
                    let Self { parser, waiting, history, .. } = self;
                    let fed = parser.feed(&bytes, |received| {
                        history.push(&received);
                        waiting.push_back(received);
                    });
                    match fed {
                        Ok(()) => continue,
                        Err(error) => End::Error(error.to_string()),
                    }
                }
                Poll::Ready(Some(Err(error))) => End::Error(error),
                Poll::Ready(None) => End::Orderly,
            };
            self.source = Source::Ended(end);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn take(&mut self, received: &Received) {
        if let Some(id) = received.last_event_id() {
            id.clone_into(&mut self.last_event_id);
        }
    }

    /// Panics with what was expected, what is next, and what came.
    fn fail(&self, caller: &Location<'_>, expected: &str, next: &Next) -> ! {
        let found = match next {
            Next::Received(received) => format!("next is {received}"),
            Next::End(end) => end.to_string(),
            Next::Silence => format!("nothing came within {:?}", self.limit),
            Next::Endless => "comments come without a pause".to_owned(),
        };
        panic!("{caller}: expected {expected}, but {found}\n{}", self.report());
    }

    /// What came, and how the stream is.
    pub(crate) fn report(&self) -> String {
        let mut report = String::new();
        if !self.title.is_empty() {
            let _ = writeln!(report, "{}", self.title);
        }
        let end = match &self.source {
            Source::Open(_) => "the stream is open".to_owned(),
            Source::Ended(end) => end.to_string(),
        };
        let _ = write!(report, "{}      {end}", self.history);
        report
    }
}

impl fmt::Debug for TestStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestStream")
            .field("received", &self.history)
            .field("last_event_id", &self.last_event_id)
            .finish_non_exhaustive()
    }
}

/// As the status event has them.
fn wire_names(status: Status) -> (&'static str, Option<String>) {
    let reason = |reason: ResetReason| {
        let name = serde_json::to_value(reason).ok()?;
        name.as_str().map(str::to_owned)
    };
    match status {
        Status::Fresh => ("fresh", None),
        Status::Resumed => ("resumed", None),
        Status::Reset(why) => ("reset", reason(why)),
        // No stream has it. What comes instead is in the panic.
        _ => ("pending", None),
    }
}

/// Any bytes and errors as one kind.
struct Body<S> {
    body: Pin<Box<S>>,
}

impl<S, B, E> Stream for Body<S>
where
    S: Stream<Item = Result<B, E>>,
    B: AsRef<[u8]>,
    E: fmt::Display,
{
    type Item = Result<Bytes, String>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.body.as_mut().poll_next(cx).map(|item| {
            Some(match item? {
                Ok(bytes) => Ok(Bytes::copy_from_slice(bytes.as_ref())),
                Err(error) => Err(error.to_string()),
            })
        })
    }
}
