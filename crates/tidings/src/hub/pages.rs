use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;

use crate::backend::{LogErrorKind, Page, Reach, Read, Receiver, Record, Reply};
use crate::encode;
use crate::log::retention::RetentionRules;
use crate::log::standing::LastEvent;
use crate::pinned::Pinned;
use crate::resume::Epoch;
use crate::sync::{HashMap, Mutex};
use crate::topic::Topic;

/// The pages of a hub's log that are being read, or sent. Clients that ask for the same page share it: when a thousand
/// clients have missed the same events, the log is asked once.
#[derive(Debug, Default)]
pub(crate) struct Pages(Mutex<HashMap<(Read, Ends), Weak<SharedPage>>>);

/// The topics that have had their last events, up to where a page begins or ends.
pub(crate) type Ends = BTreeMap<Topic, LastEvent>;

/// A future of a page.
#[derive(Debug)]
pub(crate) struct Reading(Arc<SharedPage>);

/// Events that were read from the log, as bytes of the event stream.
#[derive(Debug, Clone)]
pub(crate) struct EncodedPage {
    pub(crate) epoch: Epoch,
    pub(crate) bytes: Bytes,
    pub(crate) events: usize,
    /// The page begins after this position.
    pub(crate) from: u64,
    /// The page has everything up to this position.
    pub(crate) to: u64,
    pub(crate) reach: Reach,
    pub(crate) ends: Ends,
}

struct SharedPage {
    state: Mutex<PageState>,
    rules: Arc<RetentionRules>,
    pinned: Arc<Pinned>,
}

enum PageState {
    /// With the topics that have ended before the page.
    Waiting(Receiver<Page>, Ends, Vec<Waker>),
    Done(Result<EncodedPage, LogErrorKind>),
}

impl Pages {
    /// Asks for a page with `ask`, or joins those that have asked for the same one. `ends`: see [`EncodedPage::ends`].
    pub(crate) fn read(
        &self,
        (read, ends): (Read, Ends),
        rules: &Arc<RetentionRules>,
        pinned: &Arc<Pinned>,
        ask: impl FnOnce(Read, Reply<Page>),
    ) -> Reading {
        let mut pages = self.0.lock();
        let key = (read, ends);
        if let Some(page) = pages.get(&key).and_then(Weak::upgrade) {
            return Reading(page);
        }
        if pages.len() == pages.capacity() {
            pages.retain(|_, page| page.strong_count() > 0);
        }
        let (reply, answer) = Reply::new();
        let state = Mutex::new(PageState::Waiting(answer, key.1.clone(), Vec::new()));
        let page = Arc::new(SharedPage { state, rules: rules.clone(), pinned: pinned.clone() });
        let read = key.0.clone();
        pages.insert(key, Arc::downgrade(&page));
        drop(pages);
        ask(read, reply);
        Reading(page)
    }
}

impl Future for Reading {
    type Output = Result<EncodedPage, LogErrorKind>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Cloned before the lock is taken, and dropped after it: a waker is an executor's code.
        let waker = cx.waker().clone();
        let mut state = self.0.state.lock();
        let (page, ends) = match &mut *state {
            PageState::Done(page) => return Poll::Ready(page.clone()),
            PageState::Waiting(page, ends, wakers) => {
                if !wakers.iter().any(|known| known.will_wake(&waker)) {
                    wakers.push(waker);
                }
                let all = Waker::from(self.0.clone());
                let page = std::task::ready!(Pin::new(page).poll(&mut Context::from_waker(&all)));
                (page, std::mem::take(ends))
            }
        };
        let encode = |page| EncodedPage::of(page, ends, &self.0.rules, &self.0.pinned);
        let page = page.map(encode).map_err(|error| error.kind());
        let before = std::mem::replace(&mut *state, PageState::Done(page.clone()));
        drop(state);
        if let PageState::Waiting(.., wakers) = before {
            wakers.into_iter().for_each(Waker::wake);
        }
        Poll::Ready(page)
    }
}

/// The log has answered: every client that waits for the page looks.
impl Wake for SharedPage {
    fn wake(self: Arc<Self>) {
        let wakers = match &mut *self.state.lock() {
            PageState::Waiting(.., wakers) => std::mem::take(wakers),
            PageState::Done(_) => Vec::new(),
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl EncodedPage {
    fn of(page: Page, mut ends: Ends, rules: &RetentionRules, pinned: &Arc<Pinned>) -> Self {
        let Page { epoch, mut records, from, to, reach } = page;
        keep_newest(&mut records, rules);
        let (mut bytes, mut events) = (Vec::new(), 0);
        for Record { position, at, topic, event } in records {
            // As the journal does with what the log delivers.
            if ends.get(&topic).is_some_and(|last| last.voids(at)) {
                continue;
            }
            events += 1;
            bytes.extend(encode::fields_without_id(&event, 0));
            encode::id(&epoch, position, &mut bytes);
            bytes.push(b'\n');
            match event.is_last() {
                true => drop(ends.insert(topic, LastEvent { position, at })),
                false => drop(ends.remove(&topic)),
            }
        }
        Self { epoch, bytes: pinned.hold(bytes), events, from, to, reach, ends }
    }
}

/// Leaves out what newer events of the page supersede, of topics that keep the newest event of each key.
fn keep_newest(records: &mut Vec<Record>, rules: &RetentionRules) {
    let mut newest = HashMap::new();
    for Record { topic, event, position, .. } in &*records {
        if let Some(key) = event.key()
            && rules.of_topic(topic).is_latest_per_key()
        {
            newest.insert((topic.clone(), key.clone()), *position);
        }
    }
    if newest.is_empty() {
        return;
    }
    records.retain(|Record { topic, event, position, .. }| {
        let of_key = event.key().and_then(|key| newest.get(&(topic.clone(), key.clone())));
        of_key.is_none_or(|newest| newest == position)
    });
}

impl fmt::Debug for SharedPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_done = matches!(&*self.state.lock(), PageState::Done(_));
        f.debug_struct("SharedPage").field("is_done", &is_done).finish()
    }
}

#[cfg(test)]
mod tests {
    use futures_executor::block_on;

    use super::*;
    use crate::backend::{LogError, Start};
    use crate::event::Event;
    use crate::topic::TopicPattern;

    fn read(topic: &str) -> (Read, Ends) {
        let topics = vec![TopicPattern::new(topic).unwrap()];
        (Read { topics, start: Start::After(3), to: 9, max_bytes: 100 }, Ends::new())
    }

    #[test]
    fn clients_that_ask_for_the_same_page_share_it() {
        let pages = Pages::default();
        let mut replies = Vec::new();
        let pinned = Pinned::new(0);
        let rules = Arc::default();
        let mut ask =
            |topic| pages.read(read(topic), &rules, &pinned, |_, reply| replies.push(reply));
        let same: Vec<_> = (0..100).map(|_| ask("a")).collect();
        let other = ask("b");
        assert_eq!(replies.len(), 2);
        let mut replies = replies.into_iter();
        let epoch = Epoch::random();
        let record =
            Record { position: 7, at: 0, topic: Topic::new("a").unwrap(), event: Event::new("x") };
        let page = Page::new(epoch.clone(), vec![record], 3, 9);
        // Each waits on its own thread, so all have to be woken.
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
    fn a_page_that_no_client_holds_is_forgotten_and_asked_for_again() {
        let (pages, pinned) = (Pages::default(), Pinned::new(0));
        for n in 0..1_000 {
            drop(pages.read(read(&n.to_string()), &Arc::default(), &pinned, |_, _| {}));
        }
        assert!(pages.0.lock().capacity() < 100);
        let mut asked = 0;
        drop(pages.read(read("a"), &Arc::default(), &pinned, |_, _| asked += 1));
        drop(pages.read(read("a"), &Arc::default(), &pinned, |_, _| asked += 1));
        assert_eq!(asked, 2);
    }
}
