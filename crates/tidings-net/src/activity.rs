use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// What a server does with a connection, for its [`Guarded`](crate::Guarded). Clones are of the same connection.
///
/// The server tells it when it begins to answer a request, when it wants the request's body, and when it gives the connection
/// away for an upgrade.
#[derive(Debug, Clone, Default)]
pub struct Activity(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// Counts the changes of what the server does.
    changes: AtomicUsize,
    /// How many of them are being answered.
    answering: AtomicUsize,
    /// How many bodies of requests are wanted.
    reading: AtomicUsize,
    /// The last request's body was not read to its end.
    has_unread_body: AtomicBool,
    is_upgraded: AtomicBool,
    must_end: AtomicBool,
    is_full: AtomicBool,
    is_of_proxy: AtomicBool,
    /// Waits until no request is being answered.
    idle_waker: Mutex<Option<Waker>>,
}

impl Counts {
    /// To be called after a change.
    fn change(&self) {
        self.changes.fetch_add(1, Ordering::Release);
    }

    fn idle_waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.idle_waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Activity {
    /// A request has begun, and is being answered until the result is dropped: with the response's body.
    pub fn answer(&self) -> Answering {
        self.0.has_unread_body.store(false, Ordering::Relaxed);
        self.0.answering.fetch_add(1, Ordering::Relaxed);
        self.0.change();
        Answering(self.0.clone())
    }

    /// A request has a body, which is wanted until the result is dropped.
    pub fn read_body(&self) -> ReadingBody {
        self.0.reading.fetch_add(1, Ordering::Relaxed);
        self.0.change();
        ReadingBody { counts: self.0.clone(), is_finished: false }
    }

    /// The connection belongs to another protocol from now on: no limits on requests apply.
    pub fn upgrade(&self) {
        self.0.is_upgraded.store(true, Ordering::Relaxed);
        self.0.change();
    }

    /// Whether no request is being answered.
    pub fn is_idle(&self) -> bool {
        self.0.answering.load(Ordering::Relaxed) == 0
    }

    /// Wakes this when no request is being answered any more; the caller looks again whether that is so already.
    pub(crate) fn wake_when_idle(&self, waker: Waker) {
        let before = self.0.idle_waker().replace(waker);
        drop(before);
    }

    /// Whether the connection must end when no request is being answered. Over HTTP/2, it has been idle for too long, and the
    /// server should end it, by GOAWAY. Over HTTP/1, the server has said so, and then reads what it would if the client had
    /// closed.
    pub fn must_end(&self) -> bool {
        self.0.must_end.load(Ordering::Relaxed)
    }

    /// Says that it [must end](Self::must_end).
    pub fn set_must_end(&self) {
        self.0.must_end.store(true, Ordering::Relaxed);
    }

    /// Is another number when another request is answered, or something else is done for it.
    pub(crate) fn changes(&self) -> usize {
        self.0.changes.load(Ordering::Acquire)
    }

    /// Whether the connection is a proxy's, whose `X-Forwarded-For` is believed.
    pub(crate) fn is_of_proxy(&self) -> bool {
        self.0.is_of_proxy.load(Ordering::Relaxed)
    }

    pub(crate) fn set_of_proxy(&self, is_of_proxy: bool) {
        self.0.is_of_proxy.store(is_of_proxy, Ordering::Relaxed);
    }

    /// Whether the connection takes no bytes at the moment.
    pub(crate) fn is_full(&self) -> bool {
        self.0.is_full.load(Ordering::Relaxed)
    }

    pub(crate) fn set_full(&self, is_full: bool) {
        self.0.is_full.store(is_full, Ordering::Relaxed);
    }

    pub(crate) fn is_reading(&self) -> bool {
        self.0.reading.load(Ordering::Relaxed) > 0
    }

    /// Whether [`upgrade`](Self::upgrade) was called.
    pub fn is_upgraded(&self) -> bool {
        self.0.is_upgraded.load(Ordering::Relaxed)
    }

    pub(crate) fn has_unread_body(&self) -> bool {
        self.0.has_unread_body.load(Ordering::Relaxed)
    }
}

/// A request that is being answered: see [`Activity::answer`].
#[derive(Debug)]
pub struct Answering(Arc<Counts>);

impl Drop for Answering {
    fn drop(&mut self) {
        let is_last = self.0.answering.fetch_sub(1, Ordering::Relaxed) == 1;
        self.0.change();
        if is_last {
            let waker = self.0.idle_waker().take();
            waker.inspect(Waker::wake_by_ref);
        }
    }
}

/// A request's body that is being read: see [`Activity::read_body`].
#[derive(Debug)]
pub struct ReadingBody {
    counts: Arc<Counts>,
    is_finished: bool,
}

impl ReadingBody {
    /// The body was read to its end.
    pub fn finish(mut self) {
        self.is_finished = true;
    }
}

impl Drop for ReadingBody {
    fn drop(&mut self) {
        if !self.is_finished {
            self.counts.has_unread_body.store(true, Ordering::Relaxed);
        }
        self.counts.reading.fetch_sub(1, Ordering::Relaxed);
        self.counts.change();
    }
}
