use std::fmt::Debug;
use std::sync::{Arc, Weak};
use std::task::Waker;

use bytes::Bytes;

use crate::client::Client;
use crate::end_reason::End;
use crate::heartbeat::timer::Call;
use crate::sync::Mutex;
use crate::topic_changes::TopicChanges;

/// What is on its way from a stream to its client, and can be taken from it: see [`Shared::relieve`]. And what
/// others have told the stream: how it is to end, and how its topics change.
///
/// Most streams have nothing there most of the time, and pay for one pointer.
///
/// [`Shared::relieve`]: crate::hub::shared::Shared::relieve
#[derive(Debug, Default)]
pub(crate) struct Outlet(Mutex<Option<Box<InTransit>>>);

#[derive(Debug, Default)]
struct InTransit {
    /// When the client has last taken something, in milliseconds of the hub's clock.
    since: u64,
    /// The rest of an event that is handed out in pieces.
    rest: Bytes,
    /// What a transport holds, and the waker that makes it let go.
    held: Option<(usize, Waker)>,
    /// What the stream needs to go on.
    needed: Option<Weak<dyn CanLetGo>>,
    is_cut: bool,
    end: Option<End>,
    topic_changes: Option<Arc<TopicChanges>>,
}

/// Memory of a stream that can be taken from it, whatever it is doing.
pub(crate) trait CanLetGo: Debug + Send + Sync {
    /// How many bytes are pinned because of it, at most.
    fn bytes(&self) -> usize;

    /// Takes it. Returns how many bytes of vanished topics may be free only later. To be called with no lock held.
    fn let_go(&self) -> usize;
}

impl InTransit {
    fn needs_memory(&self) -> bool {
        self.needed.as_ref().is_some_and(|needed| needed.strong_count() > 0)
    }

    fn is_nothing(&self) -> bool {
        self.rest.is_empty()
            && self.held.is_none()
            && !self.needs_memory()
            && !self.is_cut
            && self.end.is_none()
            && self.topic_changes.is_none()
    }
}

/// The rest of an event was taken from its stream.
#[derive(Debug)]
pub(crate) struct Cut;

impl Outlet {
    /// Keeps the rest of an event.
    pub(crate) fn put(&self, rest: Bytes, now: u64) {
        let mut outlet = self.0.lock();
        let in_transit = outlet.get_or_insert_default();
        in_transit.since = now;
        let before = std::mem::replace(&mut in_transit.rest, rest);
        drop(outlet);
        drop(before);
    }

    /// Copies out the next piece of the rest. Returns whether it was the last.
    ///
    /// # Errors
    ///
    /// When the stream was cut.
    pub(crate) fn next_piece(&self, size: usize, now: u64) -> Result<(Bytes, bool), Cut> {
        let mut outlet = self.0.lock();
        let Some(in_transit) = outlet.as_mut().filter(|in_transit| !in_transit.is_cut) else {
            return Err(Cut);
        };
        in_transit.since = now;
        let piece = in_transit.rest.split_to(size.min(in_transit.rest.len()));
        let is_last = in_transit.rest.is_empty();
        let rest = is_last.then(|| std::mem::take(&mut in_transit.rest));
        outlet.take_if(|in_transit| in_transit.is_nothing());
        drop(outlet);
        drop(rest);
        Ok((Bytes::copy_from_slice(&piece), is_last))
    }

    /// The whole rest, for a transport that takes events whole.
    pub(crate) fn take_rest(&self) -> Option<Bytes> {
        let mut outlet = self.0.lock();
        let rest = outlet.as_mut().map(|in_transit| std::mem::take(&mut in_transit.rest));
        drop(outlet);
        rest.filter(|rest| !rest.is_empty())
    }

    /// A transport holds that many bytes.
    pub(crate) fn hold(&self, bytes: usize, waker: Waker, now: u64) {
        let mut outlet = self.0.lock();
        let in_transit = outlet.get_or_insert_default();
        in_transit.since = now;
        let before = in_transit.held.replace((bytes, waker));
        drop(outlet);
        // A waker is an executor's code.
        drop(before);
    }

    /// The transport holds nothing any more.
    pub(crate) fn release(&self) {
        let mut outlet = self.0.lock();
        let before = outlet.as_mut().and_then(|in_transit| in_transit.held.take());
        outlet.take_if(|in_transit| in_transit.is_nothing());
        drop(outlet);
        drop(before);
    }

    /// The stream needs this memory to go on, and has gone on just now.
    pub(crate) fn need(&self, memory: Weak<dyn CanLetGo>, now: u64) {
        let mut outlet = self.0.lock();
        let in_transit = outlet.get_or_insert_default();
        in_transit.since = now;
        let before = in_transit.needed.replace(memory);
        drop(outlet);
        drop(before);
    }

    /// The stream needs it no longer.
    pub(crate) fn need_nothing(&self) {
        let mut outlet = self.0.lock();
        let before = outlet.as_mut().and_then(|in_transit| in_transit.needed.take());
        outlet.take_if(|in_transit| in_transit.is_nothing());
        drop(outlet);
        drop(before);
    }

    /// Sets how the stream is to end. The first end counts; but one that sends the rest gives way to that of the client's
    /// rights. Returns what the stream is to be called for.
    pub(crate) fn end(&self, end: End) -> Option<Call> {
        let mut outlet = self.0.lock();
        let in_transit = outlet.get_or_insert_default();
        let call = match in_transit.end {
            None => Call::End,
            Some(before) if before.reason.sends_the_rest() && end.reason.is_of_rights() => {
                Call::EndSooner
            }
            Some(_) => return None,
        };
        in_transit.end = Some(end);
        Some(call)
    }

    /// The changes of the stream's topics, if there ever were any.
    pub(crate) fn topic_changes(&self) -> Option<Arc<TopicChanges>> {
        self.0.lock().as_ref().and_then(|in_transit| in_transit.topic_changes.clone())
    }

    pub(crate) fn topic_changes_or_else(
        &self,
        begin: impl FnOnce() -> Arc<TopicChanges>,
    ) -> Arc<TopicChanges> {
        let mut outlet = self.0.lock();
        outlet.get_or_insert_default().topic_changes.get_or_insert_with(begin).clone()
    }

    /// How the stream is to end, if it was told that.
    pub(crate) fn how_to_end(&self) -> Option<End> {
        self.0.lock().as_ref().and_then(|in_transit| in_transit.end)
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.0.lock().as_ref().is_some_and(|in_transit| in_transit.is_cut)
    }

    /// Whether there may be anything that can be taken.
    pub(crate) fn is_in_use(&self) -> bool {
        self.0.lock().is_some()
    }

    /// Since when the client has taken nothing, and how many bytes are pinned for what its stream needs; `None` if it holds
    /// nothing that counts, or is cut already. To be called with no lock held.
    pub(crate) fn stalled(&self) -> Option<(u64, usize)> {
        let outlet = self.0.lock();
        let in_transit = outlet.as_ref().filter(|in_transit| !in_transit.is_cut)?;
        let holds = in_transit.held.is_some() || !in_transit.rest.is_empty();
        let (since, needed) = (in_transit.since, in_transit.needed.clone());
        drop(outlet);
        // It may be the last reference by now.
        let needs = needed.and_then(|it| it.upgrade()).map_or(0, |needed| needed.bytes());
        (holds || needs > 0).then_some((since, needs))
    }
}

impl Client {
    /// Makes the stream end with an error, and takes what is on its way. To be called with no lock held.
    pub(crate) fn cut(self: Arc<Self>) -> CutStream {
        let mut outlet = self.outlet.0.lock();
        let in_transit = outlet.get_or_insert_default();
        in_transit.is_cut = true;
        let (rest, held) = (std::mem::take(&mut in_transit.rest), in_transit.held.take());
        let needed = in_transit.needed.take().and_then(|needed| needed.upgrade());
        drop(outlet);
        drop(rest);
        let vanished = needed.map_or(0, |needed| needed.let_go());
        let (held, waker) = held.map_or((0, None), |(bytes, waker)| (bytes, Some(waker)));
        CutStream { client: self, waker, held, vanished }
    }
}

/// A stream that was cut, and does not know yet.
#[must_use = "it has to be woken"]
pub(crate) struct CutStream {
    pub(crate) client: Arc<Client>,
    waker: Option<Waker>,
    /// How many bytes its transport lets go of when it is woken.
    pub(crate) held: usize,
    /// How many bytes of vanished topics may be free only later.
    pub(crate) vanished: usize,
}

impl CutStream {
    /// To be called with no lock held.
    pub(crate) fn wake(self) {
        self.client.close();
        if let Some(waker) = self.waker {
            waker.wake();
        }
    }
}
