use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;

use crate::backend::{LogError, Page, Reach, Read, Receiver, Record, Reply, Start};
use crate::encode;
use crate::epoch::Epoch;
use crate::event::EventKey;
use crate::filter::Filter;
use crate::log::retention::RetentionRules;
use crate::log::standing::LastEvent;
use crate::pinned::Pinned;
use crate::sync::{HashMap, HashSet, Mutex};
use crate::topic::{Topic, TopicPattern};
use crate::waking::Waiter;

/// The pages of a hub's log that are being read, or sent. Clients that ask for the same page share it: when a thousand
/// clients with the same filter have missed the same events, the log is asked once.
///
/// What is being read has a limit of its own: some pages at a time. What was read counts as [`Pinned`].
#[derive(Debug, Default)]
pub(crate) struct Pages {
    pages: Mutex<HashMap<Key, Weak<SharedPage>>>,
    turns: Arc<Turns>,
    /// For the newest events a log may have to look through all that it has: clients that resume do not wait for that.
    turns_of_newest: Arc<Turns>,
}

/// What clients that share a page ask for.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    epoch: Epoch,
    topics: Vec<TopicPattern>,
    start: Start,
    /// Of the newest events, the end says which these are. After a position it is where the hub is: while that moves on, a
    /// page that goes up to where it was is as good.
    to: Option<u64>,
    ends: Ends,
    filter: Option<Filter>,
}

impl Key {
    fn of(epoch: &Epoch, read: &Read, ends: Ends, filter: Option<Filter>) -> Self {
        let Read { topics, start, to, .. } = read.clone();
        let to = matches!(start, Start::Newest { .. }).then_some(to);
        Self { epoch: epoch.clone(), topics, start, to, ends, filter }
    }
}

/// The topics that have had their last events, up to where a page begins or ends.
pub(crate) type Ends = BTreeMap<Topic, LastEvent>;

/// A future of a page.
#[derive(Debug)]
pub(crate) struct Reading(Arc<SharedPage>);

/// Events that were read from the log and passed a filter, as bytes of the event stream.
#[derive(Debug, Clone)]
pub(crate) struct EncodedPage {
    pub(crate) epoch: Epoch,
    pub(crate) bytes: Bytes,
    pub(crate) events: usize,
    /// Those of the events, if there is a filter.
    pub(crate) positions: Arc<[u64]>,
    /// The page begins after this position.
    pub(crate) from: u64,
    /// The page has everything up to this position.
    pub(crate) to: u64,
    pub(crate) reach: Reach,
    pub(crate) ends: Ends,
}

struct SharedPage {
    /// Up to where it was asked for.
    to: u64,
    state: Mutex<PageState>,
    /// Wakes every client that waits for it.
    all: Waker,
    filter: Option<Filter>,
    rules: Arc<RetentionRules>,
    /// Of the size of an event.
    limit: usize,
    pinned: Arc<Pinned>,
}

enum PageState {
    /// With the topics that have ended before the page.
    Waiting(Receiver<Page>, Ends, Vec<Waker>, Arc<Turn>),
    Done(Result<EncodedPage, Arc<LogError>>),
}

impl Pages {
    /// Asks for a page of this history with `ask`, or joins those that have asked for the same one. `None` when many pages are
    /// being read: then the waiter is woken when it is its turn to call this again. `ends`: see [`EncodedPage::ends`].
    /// `limit`: of the size of an event.
    pub(crate) fn read<W: Waiter + 'static>(
        &self,
        epoch: &Epoch,
        (read, ends): (Read, Ends),
        (filter, rules, limit): (Option<Filter>, &Arc<RetentionRules>, usize),
        pinned: &Arc<Pinned>,
        waiter: &Arc<W>,
        ask: impl FnOnce(Read, Reply<Page>),
    ) -> Option<Reading> {
        let key = Key::of(epoch, &read, ends.clone(), filter.clone());
        // Dropped after the lock: this may be the last reference to it, and then the next waiter is woken.
        let known;
        let mut pages = self.pages.lock();
        known = pages.get(&key).and_then(Weak::upgrade);
        let fits = |page: &&Arc<SharedPage>| page.to <= read.to && !page.has_failed();
        if let Some(page) = known.as_ref().filter(fits) {
            return Some(Reading(page.clone()));
        }
        let turns = match read.start {
            Start::After(_) => &self.turns,
            Start::Newest { .. } => &self.turns_of_newest,
        };
        let turn = Arc::new(turns.take(waiter)?);
        if pages.len() == pages.capacity() {
            pages.retain(|_, page| page.strong_count() > 0);
        }
        let (reply, answer) = Reply::new();
        let state = Mutex::new(PageState::Waiting(answer, ends, Vec::new(), turn.clone()));
        let (rules, pinned) = (rules.clone(), pinned.clone());
        let page = Arc::new_cyclic(|page| {
            let all = Arc::new(WakeAll(page.clone())).into();
            SharedPage { to: read.to, state, all, filter, rules, limit, pinned }
        });
        pages.insert(key, Arc::downgrade(&page));
        drop(pages);
        // The log may go on reading what nobody waits for any more.
        ask(read, reply.with_deposit(turn));
        Some(Reading(page))
    }
}

/// How many pages of a kind may be read at a time.
#[derive(Debug, Default)]
struct Turns(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    taken: usize,
    /// Streams that wait for a turn, in their order, and their addresses. They are not kept: some leave meanwhile.
    waiting: VecDeque<Weak<dyn Waiter>>,
    addresses: HashSet<usize>,
}

impl Queue {
    fn add<W: Waiter + 'static>(&mut self, waiter: &Arc<W>) {
        if !self.addresses.insert(Arc::as_ptr(waiter).addr()) {
            return;
        }
        if self.waiting.len() == self.waiting.capacity() {
            self.waiting.retain(|waiter| waiter.strong_count() > 0);
            self.waiting.reserve(self.waiting.len() + 1);
            self.addresses = self.waiting.iter().map(address).collect();
            self.addresses.insert(Arc::as_ptr(waiter).addr());
        }
        let waiter: Weak<W> = Arc::downgrade(waiter);
        self.waiting.push_back(waiter);
    }

    /// The first that is still there.
    fn next(&mut self) -> Option<Arc<dyn Waiter>> {
        loop {
            let waiter = self.waiting.pop_front()?;
            self.addresses.remove(&address(&waiter));
            if let Some(waiter) = waiter.upgrade() {
                return Some(waiter);
            }
        }
    }
}

fn address(waiter: &Weak<dyn Waiter>) -> usize {
    waiter.as_ptr().cast::<()>().addr()
}

/// The right to read a page; another stream has its turn when this is dropped. The page has it until it is encoded, and the log
/// until it has answered.
#[derive(Debug)]
struct Turn(Arc<Turns>);

impl Turns {
    /// With pages of 256 KiB, this is 8 MiB.
    const MOST: usize = 32;

    fn take<W: Waiter + 'static>(self: &Arc<Self>, waiter: &Arc<W>) -> Option<Turn> {
        let mut queue = self.0.lock();
        if queue.taken < Self::MOST {
            queue.taken += 1;
            return Some(Turn(self.clone()));
        }
        queue.add(waiter);
        None
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut queue = self.0.0.lock();
        queue.taken -= 1;
        // One that goes now loses it: those that wait look again every second.
        let next = queue.next();
        drop(queue);
        if let Some(next) = next {
            next.wake();
        }
    }
}

impl SharedPage {
    fn has_failed(&self) -> bool {
        matches!(&*self.state.lock(), PageState::Done(Err(_)))
    }
}

impl Reading {
    /// Up to where it was asked for.
    pub(crate) fn to(&self) -> u64 {
        self.0.to
    }
}

impl Future for Reading {
    type Output = Result<EncodedPage, Arc<LogError>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Cloned before the lock is taken, and dropped after it: a waker is an executor's code.
        let waker = cx.waker().clone();
        let mut state = self.0.state.lock();
        let (page, ends) = match &mut *state {
            PageState::Done(page) => return Poll::Ready(page.clone()),
            PageState::Waiting(page, ends, wakers, _) => {
                if !wakers.iter().any(|known| known.will_wake(&waker)) {
                    wakers.push(waker);
                }
                let mut cx = Context::from_waker(&self.0.all);
                let page = std::task::ready!(Pin::new(page).poll(&mut cx));
                (page, std::mem::take(ends))
            }
        };
        let SharedPage { filter, rules, limit, pinned, .. } = &*self.0;
        let encode = |page| EncodedPage::of(page, ends, filter.as_ref(), rules, *limit, pinned);
        let page = page.map(encode).map_err(Arc::new);
        let before = std::mem::replace(&mut *state, PageState::Done(page.clone()));
        drop(state);
        if let PageState::Waiting(_, _, wakers, turn) = before {
            wakers.into_iter().for_each(Waker::wake);
            drop(turn);
        }
        Poll::Ready(page)
    }
}

/// The log has answered: every client that waits for the page looks. It does not keep the page: the log is told that nobody
/// waits for it any more.
struct WakeAll(Weak<SharedPage>);

impl Wake for WakeAll {
    fn wake(self: Arc<Self>) {
        let Some(page) = self.0.upgrade() else { return };
        let wakers = match &mut *page.state.lock() {
            PageState::Waiting(_, _, wakers, _) => std::mem::take(wakers),
            PageState::Done(_) => Vec::new(),
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl EncodedPage {
    fn of(
        page: Page,
        mut ends: Ends,
        filter: Option<&Filter>,
        rules: &RetentionRules,
        limit: usize,
        pinned: &Arc<Pinned>,
    ) -> Self {
        let Page { epoch, records, from, to, reach } = page;
        let last = records.last().map(|record| record.position);
        let encode = |record: Record| {
            // Before anything else: what memory is never given voids and supersedes nothing.
            let body = encode::fields_within(&record.event, 0, limit).ok()?;
            Some((body, record))
        };
        let mut records: Vec<_> = records.into_iter().filter_map(encode).collect();
        // As the journal does with what the log delivers.
        records.retain(|(_, Record { position, topic, event, seen, .. })| {
            if ends.get(topic).is_some_and(|last| last.voids(*seen)) {
                return false;
            }
            if event.is_last() {
                ends.insert(topic.clone(), LastEvent { position: *position });
            } else {
                ends.remove(topic);
            }
            true
        });
        keep_newest(&mut records, rules);
        let (mut bytes, mut events, mut positions) = (Vec::new(), 0, Vec::new());
        for (body, Record { position, event, .. }) in records {
            if filter.is_none_or(|filter| filter.matches(&event)) {
                bytes.extend(body);
                encode::id(&epoch, position, &mut bytes);
                bytes.push(b'\n');
                events += 1;
                positions.extend(filter.map(|_| position));
            }
        }
        // Where the next page begins. A client that knows it need not be reset for what is hidden from it.
        if let Some(last) = last.filter(|last| filter.is_some() && positions.last() != Some(last)) {
            encode::id(&epoch, last, &mut bytes);
            bytes.push(b'\n');
        }
        let (bytes, positions) = (pinned.hold(bytes), positions.into());
        Self { epoch, bytes, events, positions, from, to, reach, ends }
    }
}

/// Leaves out what newer events of the page supersede, of topics that keep the newest event of each key.
fn keep_newest(records: &mut Vec<(Vec<u8>, Record)>, rules: &RetentionRules) {
    let mut newest: HashMap<(Topic, EventKey), u64> = HashMap::default();
    for (_, Record { topic, event, position, .. }) in &*records {
        if let Some(key) = event.key()
            && rules.of_topic(topic).is_latest_per_key()
        {
            newest.insert((topic.clone(), key.clone()), *position);
        }
    }
    if newest.is_empty() {
        return;
    }
    records.retain(|(_, Record { topic, event, position, .. })| {
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
    use std::cell::RefCell;

    use futures_executor::block_on;

    use super::*;
    use crate::backend::LogErrorKind;
    use crate::event::Event;
    use crate::event::tags::Tags;
    use crate::log::retention::Retention;
    use crate::topic::TopicPattern;

    fn read(topic: &str, to: u64) -> (Read, Ends) {
        let topics = vec![TopicPattern::new(topic).unwrap()];
        (Read { topics, start: Start::After(3), to, max_bytes: 100 }, Ends::new())
    }

    /// Counts how often it is woken.
    #[derive(Debug, Default)]
    struct Bell(std::sync::atomic::AtomicUsize);

    impl Waiter for Bell {
        fn wake(&self) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    impl Bell {
        fn rung(&self) -> usize {
            self.0.load(std::sync::atomic::Ordering::Relaxed)
        }
    }

    #[test]
    fn clients_that_ask_for_the_same_page_share_it() {
        let pages = Pages::default();
        let mut replies = Vec::new();
        let pinned = Pinned::new(0);
        let (epoch, bell, rules) = (Epoch::random(), Arc::new(Bell::default()), Arc::default());
        let mut ask = |topic, to| {
            let of_records = (None, &rules, usize::MAX);
            let answer = |_, reply| replies.push(reply);
            pages.read(&epoch, read(topic, to), of_records, &pinned, &bell, answer).unwrap()
        };
        // Also while the hub goes on.
        let same: Vec<_> = (0..100).map(|n| ask("a", 9 + n)).collect();
        let other = ask("b", 9);
        // This one must not be told of what comes after 8.
        let earlier = ask("a", 8);
        assert_eq!(replies.len(), 3);
        drop(earlier);
        let mut replies = replies.into_iter();
        let record = Record::new(7, 0, Topic::new("a").unwrap(), Event::new("x"));
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
        assert_eq!(block_on(other).unwrap_err().kind(), LogErrorKind::Trimmed);
    }

    #[test]
    fn a_page_that_no_client_holds_is_forgotten_and_asked_for_again() {
        let (pages, pinned) = (Pages::default(), Pinned::new(0));
        let (epoch, bell, rules) = (Epoch::random(), Arc::new(Bell::default()), Arc::default());
        let mut asked = 0;
        let mut ask = |topic: &str| {
            let of_records = (None, &rules, usize::MAX);
            let answer = |_, _| asked += 1;
            drop(pages.read(&epoch, read(topic, 9), of_records, &pinned, &bell, answer));
        };
        for n in 0..1_000 {
            ask(&n.to_string());
        }
        assert!(pages.pages.lock().capacity() < 100);
        (0..2).for_each(|_| ask("a"));
        assert_eq!(asked, 1_002);
    }

    #[test]
    fn an_event_that_is_too_large_is_not_in_a_page_and_voids_and_supersedes_nothing() {
        let (pages, pinned, epoch) = (Pages::default(), Pinned::new(0), Epoch::random());
        let keyed = Arc::new(Retention::latest_per_key());
        let rules = Arc::new(RetentionRules { rules: Vec::new(), otherwise: keyed });
        let mut reply = None;
        let limit = "data: 1\n".len() + "k".len();
        let of_records = (None, &rules, limit);
        let (bell, ask) = (Arc::new(Bell::default()), |_, to| reply = Some(to));
        let reading = pages.read(&epoch, read("a", 9), of_records, &pinned, &bell, ask);
        let record = |position, data: &str, is_last| {
            let key = EventKey::new("k").unwrap();
            let tags = Tags { key: Some(key), is_last, ..Tags::default() };
            let event = Event::new(data).with_tags(tags);
            Record { seen: Some(0), ..Record::new(position, 0, Topic::new("a").unwrap(), event) }
        };
        let records = vec![record(4, "0", false), record(5, "1", false), record(6, "22", true)];
        reply.unwrap().send(Ok(Page::new(epoch.clone(), records, 3, 9)));
        let page = block_on(reading.unwrap()).unwrap();
        assert_eq!(page.bytes, format!("data: 1\nid: {epoch}-5\n\n"));
        assert_eq!((page.events, page.to, page.ends.len()), (1, 9, 0));
    }

    #[test]
    fn some_pages_are_read_at_a_time_and_the_others_have_their_turns() {
        let (pages, pinned, epoch) = (Pages::default(), Pinned::new(0), Epoch::random());
        let rules = Arc::default();
        let replies = RefCell::new(Vec::new());
        let ask = |n: usize, bell: &Arc<Bell>| {
            let (read, of_records) = (read(&n.to_string(), 9), (None, &rules, usize::MAX));
            let answer = |_, reply| replies.borrow_mut().push(reply);
            pages.read(&epoch, read, of_records, &pinned, bell, answer)
        };
        let first = Arc::new(Bell::default());
        let mut reading: Vec<_> = (0..Turns::MOST).map(|n| ask(n, &first).unwrap()).collect();
        for n in 0..1_002 {
            assert!(ask(2_000 + n, &Arc::default()).is_none(), "it waits, and leaves");
        }
        assert!(pages.turns.0.lock().waiting.capacity() < 100);
        let bells = [(); 2].map(|()| Arc::new(Bell::default()));
        assert!(ask(1_000, &bells[0]).is_none() && ask(1_000, &bells[0]).is_none());
        assert!(ask(1_001, &bells[1]).is_none());
        assert!(ask(3, &bells[1]).is_some(), "what is read anyway is shared");
        let newest = Start::Newest { count: 1, since: 0 };
        let read = (Read { start: newest, ..read("a", 9).0 }, Ends::new());
        let newest = pages.read(&epoch, read, (None, &rules, 0), &pinned, &first, |_, _| {});
        assert!(newest.is_some(), "these have turns of their own");
        // The log learns that nobody waits for it, and may go on until then.
        let mut given_up = reading.pop().unwrap();
        assert!(Pin::new(&mut given_up).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let reply = replies.borrow_mut().pop().unwrap();
        assert!(reply.is_awaited());
        drop(given_up);
        assert!(!reply.is_awaited());
        assert_eq!(bells.each_ref().map(|bell| bell.rung()), [0, 0]);
        drop(reply);
        assert_eq!(bells.each_ref().map(|bell| bell.rung()), [1, 0]);
        reading.push(ask(1_000, &bells[0]).unwrap());
        assert!(ask(1_001, &bells[1]).is_none());
        replies.borrow_mut().remove(0).send(Err(LogError::new(LogErrorKind::Trimmed, "gone")));
        let gone = reading.remove(0);
        assert_eq!(block_on(gone).unwrap_err().kind(), LogErrorKind::Trimmed);
        assert_eq!(bells.each_ref().map(|bell| bell.rung()), [1, 1]);
        assert_eq!(first.rung(), 0);
    }
}
