use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;

use crate::backend::{Log, LogErrorKind, Page, Read, Receiver, Reply};
use crate::encode;
use crate::resume::Epoch;
use crate::sync::{HashMap, Mutex};

/// The pages of a hub's log that are being read, or sent. Who asks for the same as somebody else shares
/// it: when a thousand clients have missed the same events, the log is asked once.
#[derive(Debug, Default)]
pub(crate) struct Pages(Mutex<HashMap<Read, Weak<Shared>>>);

/// A future of a page.
#[derive(Debug)]
pub(crate) struct Reading(Arc<Shared>);

/// Events that were read from the log, as bytes of the event stream.
#[derive(Debug, Clone)]
pub(crate) struct EncodedPage {
    pub(crate) epoch: Epoch,
    pub(crate) bytes: Bytes,
    pub(crate) events: usize,
    /// Behind this position it begins.
    pub(crate) from: u64,
    /// Up to this position it has everything.
    pub(crate) to: u64,
}

struct Shared(Mutex<State>);

enum State {
    Waiting(Receiver<Page>, Vec<Waker>),
    Done(Result<EncodedPage, LogErrorKind>),
}

impl Pages {
    /// Asks for a page, or joins those who have asked for the same. `asked` is called if it is the first.
    pub(crate) fn read(&self, read: Read, log: &dyn Log, asked: impl FnOnce()) -> Reading {
        let mut pages = self.0.lock();
        if let Some(shared) = pages.get(&read).and_then(Weak::upgrade) {
            return Reading(shared);
        }
        if pages.len() == pages.capacity() {
            pages.retain(|_, page| page.strong_count() > 0);
        }
        let (reply, page) = Reply::new();
        let shared = Arc::new(Shared(Mutex::new(State::Waiting(page, Vec::new()))));
        pages.insert(read.clone(), Arc::downgrade(&shared));
        drop(pages);
        asked();
        log.read(read, reply);
        Reading(shared)
    }
}

impl Future for Reading {
    type Output = Result<EncodedPage, LogErrorKind>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let shared = &self.0;
        let mut state = shared.0.lock();
        let page = match &mut *state {
            State::Done(page) => return Poll::Ready(page.clone()),
            State::Waiting(page, wakers) => {
                if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
                    wakers.push(cx.waker().clone());
                }
                let everybody = Waker::from(shared.clone());
                std::task::ready!(Pin::new(page).poll(&mut Context::from_waker(&everybody)))
            }
        };
        let page = page.map(EncodedPage::of).map_err(|error| error.kind());
        let before = std::mem::replace(&mut *state, State::Done(page.clone()));
        drop(state);
        if let State::Waiting(_, wakers) = before {
            wakers.into_iter().for_each(Waker::wake);
        }
        Poll::Ready(page)
    }
}

/// The answer is there: all who wait for it look.
impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        let wakers = match &mut *self.0.lock() {
            State::Waiting(_, wakers) => std::mem::take(wakers),
            State::Done(_) => Vec::new(),
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl EncodedPage {
    fn of(page: Page) -> Self {
        let Page { epoch, records, from, to } = page;
        let mut bytes = Vec::new();
        for record in &records {
            bytes.extend(encode::fields_without_id(&record.event, 0));
            encode::id(&epoch, record.position, &mut bytes);
            bytes.push(b'\n');
        }
        Self { epoch, bytes: bytes.into(), events: records.len(), from, to }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_done = matches!(&*self.0.lock(), State::Done(_));
        f.debug_struct("Shared").field("is_done", &is_done).finish()
    }
}

#[cfg(test)]
mod tests {
    use futures_executor::block_on;

    use super::*;
    use crate::backend::{Append, Appended, LogError, Origin, Record, Replica, Start};
    use crate::event::Event;
    use crate::topic::{Topic, TopicPattern};

    /// Answers when it is told to.
    #[derive(Debug, Default)]
    struct Slow(Mutex<Vec<Reply<Page>>>);

    impl Log for Slow {
        fn start(&self, _: Replica) -> Origin {
            unreachable!("no hub has it")
        }

        fn append(&self, _: Append, _: Reply<Appended>) {}

        fn read(&self, _: Read, reply: Reply<Page>) {
            self.0.lock().push(reply);
        }

        fn end(&self, _: Reply<u64>) {}

        fn stop(&self) {}
    }

    fn read(topic: &str) -> Read {
        let topics = vec![TopicPattern::new(topic).unwrap()];
        Read { topics, start: Start::After(3), to: 9, max_bytes: 100 }
    }

    #[test]
    fn who_asks_for_the_same_shares_the_answer() {
        let (pages, log) = (Pages::default(), Slow::default());
        let mut asked = 0;
        let mut ask = |topic| pages.read(read(topic), &log, || asked += 1);
        let same: Vec<_> = (0..100).map(|_| ask("a")).collect();
        let other = ask("b");
        assert_eq!(asked, 2);
        let mut replies = std::mem::take(&mut *log.0.lock()).into_iter();
        let epoch = Epoch::random();
        let record =
            Record { position: 7, at: 0, topic: Topic::new("a").unwrap(), event: Event::new("x") };
        let page = Page { epoch: epoch.clone(), records: vec![record], from: 3, to: 9 };
        // They wait on threads of their own, so all have to be woken.
        let waiting: Vec<_> =
            same.into_iter().map(|page| std::thread::spawn(move || block_on(page))).collect();
        replies.next().unwrap().send(Ok(page));
        let pages: Vec<_> = waiting.into_iter().map(|page| page.join().unwrap().unwrap()).collect();
        let wire = format!("data: x\nid: {epoch}-7\n\n");
        assert!(pages.iter().all(|page| page.bytes == wire && page.to == 9 && page.events == 1));
        let one = pages[0].bytes.as_ptr();
        assert!(pages.iter().all(|page| page.bytes.as_ptr() == one));

        replies.next().unwrap().send(Err(LogError::new(LogErrorKind::Trimmed, "gone")));
        assert_eq!(block_on(other).unwrap_err(), LogErrorKind::Trimmed);
    }

    #[test]
    fn a_page_that_nobody_holds_is_forgotten_and_asked_for_again() {
        let (pages, log) = (Pages::default(), Slow::default());
        for n in 0..1_000 {
            drop(pages.read(read(&n.to_string()), &log, || {}));
            log.0.lock().clear();
        }
        assert!(pages.0.lock().capacity() < 100);
        let mut asked = 0;
        drop(pages.read(read("a"), &log, || asked += 1));
        drop(pages.read(read("a"), &log, || asked += 1));
        assert_eq!(asked, 2);
    }
}
