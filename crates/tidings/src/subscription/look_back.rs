//! Looking into the past of a stream's topics: when it begins, and when its next event is gone.

use std::sync::Arc;

use super::beginning::{Beginning, Claim, Request, View};
use super::history::History;
use super::start_point::{Newest, StartPoint};
use crate::background;
use crate::client::Client;
use crate::heartbeat::timer::Call;
use crate::hub::journal::Head;
use crate::hub::journal::topics::Past;
use crate::hub::search::Search;
use crate::hub::shared::Shared;
use crate::log::feed::Feed;
use crate::log::filtered::filter_of;
use crate::log::reset_reason::ResetReason;
use crate::sync::Mutex;
use crate::waking::Waiter;

/// What a stream wants to know of the past.
#[derive(Debug, Clone, Copy)]
pub(super) enum Question {
    /// How it begins.
    Begin(Request),
    /// How it begins again: it has missed something that is gone.
    BeginAgain { reason: ResetReason, has_snapshot: bool },
    /// How it goes on after an offset: the next event is gone from the logs of the present, for this reason.
    AfterOffset(u64, ResetReason),
    /// How it goes on after a position.
    AfterPosition(u64),
}

#[derive(Debug)]
pub(super) enum Answer {
    Begin(Beginning),
    GoOn(StartPoint),
    /// Memory does not have what follows.
    Lost(ResetReason),
}

/// A look into the past.
#[derive(Debug)]
pub(super) enum LookBack {
    /// The answer, as of this head.
    Done(Answer, Head),
    Pending(PendingLook),
}

/// A look that takes long. Nobody looks any more once it is dropped, or its stream is closed.
#[derive(Debug)]
pub(super) struct PendingLook(Outcome);

type Outcome = Arc<Mutex<Option<Result<(Answer, Head), Failed>>>>;

/// A look has ended without an answer, which is a defect.
#[derive(Debug)]
pub(super) struct Failed;

/// The stream that a look is for, which is woken however that ends.
struct Asking {
    outcome: Outcome,
    client: Arc<Client>,
    is_answered: bool,
}

impl Asking {
    fn answer(&mut self, outcome: Result<(Answer, Head), Failed>) {
        self.is_answered = true;
        *self.outcome.lock() = Some(outcome);
        self.client.wake();
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if !self.is_answered {
            self.answer(Err(Failed));
        }
    }
}

/// What is looked for, in steps.
struct Look {
    question: Question,
    head: Head,
    feed: Arc<Feed>,
    /// First, where the past is, if it is not where the present is.
    search: Option<Search>,
    past: Option<Past<'static>>,
    /// Then the newest events that pass a filter.
    newest: Option<Newest>,
}

impl Look {
    fn new(question: Question, head: Head, feed: Arc<Feed>, shared: &Shared) -> Self {
        let search = question.needs_past().then(|| Search::of(&feed.topics, shared)).flatten();
        // Of a selective log, memory has no history.
        let is_here = !head.is_selective() && filter_of(&feed.topics).is_some();
        let count = question.newest().filter(|_| is_here);
        let newest = count.map(|count| Newest::new(count, &head, shared.clock.now()));
        Self { question, head, feed, search, past: None, newest }
    }

    /// Makes a step, unless it is at its end. Returns what it has cost, in comparisons.
    fn step(&mut self, shared: &Shared) -> Option<usize> {
        if let Some(cost) = self.search.as_mut().and_then(|search| search.step(shared)) {
            return Some(cost);
        }
        if let Some(search) = self.search.take() {
            self.past = Some(search.finish(shared));
            return Some(0);
        }
        let Self { feed, past, newest, .. } = self;
        let newest = newest.as_mut()?;
        let past = past.get_or_insert_with(|| {
            let Past { logs, vanished, filter } = Past::of(&feed.topics);
            Past { logs: logs.into_owned().into(), vanished, filter }
        });
        newest.step(past)
    }

    /// The answer, with what reads the past made ready.
    fn answer(self, shared: &Arc<Shared>) -> (Answer, Head) {
        let Self { question, head, feed, past, newest, .. } = self;
        let past = past.unwrap_or_else(|| Past::of(&feed.topics));
        let newest = newest.as_ref().map(Newest::offset);
        let view = View::new(shared, &head, &feed.topics, past);
        let mut answer = question.answer(&View { newest, ..view });
        match &mut answer {
            Answer::Begin(beginning) => beginning.then.prepare(shared),
            Answer::GoOn(start) => start.prepare(shared),
            Answer::Lost(_) => {}
        }
        (answer, head)
    }
}

/// How much of a look is done at once, in comparisons: a millisecond or two. It is little for almost all streams, and many
/// requests at a time must not keep a thread that serves others. The rest is left to threads of its own.
const AT_ONCE: usize = if cfg!(shuttle) { usize::MAX } else { 8 * 1024 };

impl LookBack {
    /// Begins it. If it takes long, the client is woken when it is done.
    pub(super) fn begin(
        question: Question,
        head: Head,
        shared: &Arc<Shared>,
        (client, feed): (&Arc<Client>, &Arc<Feed>),
    ) -> Self {
        let mut look = Look::new(question, head, feed.clone(), shared);
        let mut cost = 0;
        while let Some(more) = look.step(shared) {
            cost += more;
            if cost >= AT_ONCE {
                return Self::Pending(PendingLook::begin(look, shared.clone(), client.clone()));
            }
        }
        let (answer, head) = look.answer(shared);
        answer.note_need(client, shared);
        shared.keep_pinned_limit();
        Self::Done(answer, head)
    }
}

impl Answer {
    /// What reads the past may keep much from now on.
    fn note_need(&self, client: &Client, shared: &Shared) {
        let replay = match self {
            Self::Begin(beginning) => &beginning.then.replay,
            Self::GoOn(start) => &start.replay,
            Self::Lost(_) => return,
        };
        if let Some(replay) = replay {
            replay.note_need(&client.outlet, shared.clock.recent());
        }
    }
}

impl PendingLook {
    fn begin(look: Look, shared: Arc<Shared>, client: Arc<Client>) -> Self {
        let this = Self(Arc::default());
        let is_wanted = {
            let (outcome, client) = (this.0.clone(), client.clone());
            // This, that of the work, and that of the stream.
            move || Arc::strong_count(&outcome) > 2 && !client.heartbeat.calls().has(Call::Close)
        };
        let mut asking = Asking { outcome: this.0.clone(), client, is_answered: false };
        let memory = look.search.as_ref().map_or(0, |search| search.most_memory(&shared));
        let mut look = Some(look);
        background::run(memory, is_wanted, move || {
            if look.as_mut().is_some_and(|look| look.step(&shared).is_some()) {
                return true;
            }
            if let Some(look) = look.take() {
                let answer = look.answer(&shared);
                answer.0.note_need(&asking.client, &shared);
                asking.answer(Ok(answer));
                shared.keep_pinned_limit();
            }
            false
        });
        this
    }

    /// The answer, if it is there. The caller has registered the client's waker.
    pub(super) fn take(&self) -> Option<Result<(Answer, Head), Failed>> {
        self.0.lock().take()
    }
}

impl Question {
    /// Where the past is need not be looked up for a client that is sent none of it.
    fn needs_past(&self) -> bool {
        match self {
            Self::Begin(request) => !request.is_live(),
            Self::BeginAgain { has_snapshot, .. } => !has_snapshot,
            Self::AfterOffset(..) | Self::AfterPosition(_) => true,
        }
    }

    /// How many of the newest events of its topics the client is sent.
    fn newest(&self) -> Option<usize> {
        match self {
            Self::Begin(Request { claim: Claim::None, history: History::Last(count), .. }) => {
                Some(*count)
            }
            _ => None,
        }
    }

    fn answer(self, view: &View<'_>) -> Answer {
        match self {
            Self::Begin(request) => Answer::Begin(Beginning::of(&request, view)),
            Self::BeginAgain { reason, has_snapshot } => {
                Answer::Begin(Beginning::reset(reason, has_snapshot, view))
            }
            Self::AfterOffset(offset, reason) => {
                match StartPoint::after_offset(&view.past, offset, view.head) {
                    Some(start) => Answer::GoOn(start),
                    None => Answer::Lost(reason),
                }
            }
            Self::AfterPosition(position) => match view.after(position) {
                Ok(start) => Answer::GoOn(start),
                Err(reason) => Answer::Lost(reason),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Poll, Wake, Waker};
    use std::thread;
    use std::time::{Duration, Instant};

    use bytes::Bytes;
    use futures_core::Stream;

    use super::*;
    use crate::error::{StreamError, StreamErrorKind};
    use crate::event::Event;
    use crate::hub::Hub;
    use crate::subscription::Subscription;

    fn look(stream: &Subscription) -> PendingLook {
        let (shared, client) = (stream.shared().clone(), stream.client().clone());
        let question = Question::AfterOffset(0, ResetReason::Trimmed);
        let look = Look::new(question, shared.head(), client.feed.clone(), &shared);
        PendingLook::begin(look, shared, client)
    }

    /// The outcome, when nobody looks any more.
    #[track_caller]
    fn outcome(look: &PendingLook) -> Option<Result<(Answer, Head), Failed>> {
        let began = Instant::now();
        while Arc::strong_count(&look.0) > 1 {
            assert!(began.elapsed() < Duration::from_secs(30), "it ends");
            thread::yield_now();
        }
        look.take()
    }

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    fn poll(
        stream: &mut Subscription,
        woken: &Arc<Woken>,
    ) -> Poll<Option<Result<Bytes, StreamError>>> {
        let waker = Waker::from(woken.clone());
        Pin::new(stream).poll_next(&mut Context::from_waker(&waker))
    }

    #[test]
    fn nobody_looks_for_a_stream_that_is_closed() {
        let hub = Hub::new();
        hub.publish("p/1", Event::new("x")).wait().unwrap();
        let stream = hub.subscribe_matching(["p/*"]).open().unwrap();
        assert!(matches!(outcome(&look(&stream)), Some(Ok((Answer::GoOn(_), _)))));
        stream.client().close();
        assert!(matches!(outcome(&look(&stream)), Some(Err(Failed))));
    }

    #[test]
    fn a_stream_whose_look_fails_is_woken_and_ends_with_an_error() {
        let hub = Hub::new();
        let mut stream = hub.subscribe("a").open().unwrap();
        let (look, client) = (PendingLook(Arc::default()), stream.client().clone());
        let (outcome, asks) = (look.0.clone(), client.clone());
        let asking = Asking { outcome, client: asks, is_answered: false };
        stream.out_of_band().look_back = Some(look);
        let woken = Arc::new(Woken::default());
        // It sends what it has, and lets the server do so, before it waits.
        (0..5).for_each(|_| drop(poll(&mut stream, &woken)));
        woken.0.store(false, Ordering::Relaxed);
        assert!(poll(&mut stream, &woken).is_pending());
        assert!(!woken.0.load(Ordering::Relaxed));
        drop(asking);
        assert!(woken.0.load(Ordering::Relaxed));
        let error = (0..5).find_map(|_| match poll(&mut stream, &woken) {
            Poll::Ready(Some(Err(error))) => Some(error.kind()),
            _ => None,
        });
        assert_eq!(error, Some(StreamErrorKind::Ended));
    }
}
