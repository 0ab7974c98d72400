use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tidings::ServerEvent;
use tokio::time::Instant;

use crate::alarm::Alarm;
use crate::writes::MOST;
use crate::{Activity, Hubs};

/// How many bytes of a response may wait that has no task any more, which could end it.
const LITTLE: usize = 4 * 1024;

/// What a response over HTTP/2 has given to its server, and how much of it was sent. The rest waits for windows of its stream and
/// of the connection, which the client opens or not.
#[derive(Debug, Default)]
pub struct Sending {
    waiting: AtomicUsize,
    sent: AtomicUsize,
    /// Waits until little is waiting.
    task: Mutex<Option<Waker>>,
}

impl Sending {
    /// How many bytes of a response a server may have before it takes more of it: two pieces of a large event.
    pub const BUFFER: usize = 8 * 1024;

    /// The server has so many bytes more.
    pub fn begin(&self, bytes: usize) {
        self.waiting.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many of them were sent.
    pub fn advance(&self, bytes: usize) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
        self.leave(bytes);
    }

    /// So many of them were sent, or never will be.
    pub fn leave(&self, bytes: usize) {
        let before = self.waiting.fetch_sub(bytes, Ordering::Relaxed);
        if !Self::is_little(before) && Self::is_little(before - bytes) {
            let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(task) = task {
                task.wake();
            }
        }
    }

    /// Whether no more than 4 KiB wait. A response must not end before that: servers have no task for what it leaves, which
    /// could then stay for as long as the connection.
    pub fn is_almost_sent(&self) -> bool {
        Self::is_little(self.waiting.load(Ordering::Relaxed))
    }

    pub(crate) fn is_little(bytes: usize) -> bool {
        bytes <= LITTLE
    }

    /// Waits until it is almost sent.
    pub fn poll_almost_sent(&self, cx: &mut Context<'_>) -> Poll<()> {
        // An executor's code: not under the lock.
        let waker = cx.waker().clone();
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, so that the last bytes do not leave meanwhile.
        if self.is_almost_sent() {
            return Poll::Ready(());
        }
        let before = task.replace(waker);
        drop(task);
        drop(before);
        Poll::Pending
    }
}

/// Finds out that a stream of HTTP/2 is stalled: it has something to send, and none of it was sent for
/// [`Limits::write_timeout`](crate::Limits::write_timeout).
///
/// While the connection takes no bytes, it is not the stream's fault, and a slow client may need long for what other streams
/// have sent: then it has four times as long.
#[derive(Debug)]
pub struct Stall {
    sending: Arc<Sending>,
    activity: Activity,
    limit: Duration,
    /// How much had been sent when that was last found to have grown, or later; and when.
    sent: usize,
    since: Instant,
    /// Exists while something is to be sent, and a little longer: most of it leaves at once.
    alarm: Option<Alarm>,
}

impl Stall {
    /// Watches this, over the connection with this activity.
    pub fn new(sending: Arc<Sending>, activity: Activity, limit: Duration) -> Self {
        Self { sending, activity, limit, sent: 0, since: Instant::now(), alarm: None }
    }

    /// Runs the task of the stream. When the stream is stalled, that is reported, and the task given up: `None`.
    pub async fn watch<T>(mut self, task: impl Future<Output = T>, hubs: &Hubs) -> Option<T> {
        let mut task = pin!(task);
        let outcome = poll_fn(|cx| match task.as_mut().poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending => self.poll(cx).map(|()| None),
        });
        let outcome = outcome.await;
        if outcome.is_none() {
            hubs.report(ServerEvent::StreamStalled);
        }
        outcome
    }

    /// Is ready when the stream must end. It is to be polled after each poll of its task.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let sent = self.sending.sent.load(Ordering::Relaxed);
            let is_waiting = self.sending.waiting.load(Ordering::Relaxed) > 0;
            let Some(alarm) = &mut self.alarm else {
                if !is_waiting {
                    return Poll::Pending;
                }
                (self.sent, self.since) = (sent, Instant::now());
                self.alarm = Some(Alarm::at(self.since + self.limit / 2));
                continue;
            };
            ready!(alarm.poll(cx));
            if !is_waiting {
                self.alarm = None;
                return Poll::Pending;
            }
            let now = Instant::now();
            if sent != self.sent {
                (self.sent, self.since) = (sent, now);
            }
            let times = if self.activity.is_full() { MOST } else { 1 };
            if now >= self.since + self.limit * times {
                return Poll::Ready(());
            }
            alarm.reset(now + self.limit / 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// After how many seconds a stream with a hundred bytes ends, of which one is sent after each of these seconds.
    async fn ends_after(seconds: &[u64], is_full: bool) -> u64 {
        let began = Instant::now();
        let (sending, activity) = (Arc::new(Sending::default()), Activity::default());
        activity.set_full(is_full);
        let mut stall = Stall::new(sending.clone(), activity, LIMIT);
        sending.begin(100);
        let progress = async {
            for seconds in seconds {
                tokio::time::sleep_until(began + Duration::from_secs(*seconds)).await;
                sending.advance(1);
            }
        };
        tokio::join!(poll_fn(|cx| stall.poll(cx)), progress);
        began.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_without_progress_ends_at_the_limit() {
        assert_eq!(ends_after(&[], false).await, 30);
    }

    #[tokio::test(start_paused = true)]
    async fn progress_begins_the_limit_again() {
        // It is seen after half of the limit.
        assert_eq!(ends_after(&[1], false).await, 15 + 30);
        assert_eq!(ends_after(&[29, 58, 87], false).await, 90 + 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_of_a_connection_that_takes_nothing_has_longer() {
        assert_eq!(ends_after(&[], true).await, 4 * 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_has_nothing_to_send_has_no_timer_and_no_limit() {
        let sending = Arc::new(Sending::default());
        let mut stall = Stall::new(sending.clone(), Activity::default(), LIMIT);
        let mut poll = || stall.poll(&mut Context::from_waker(Waker::noop())).is_pending();
        assert!(poll());
        sending.begin(10);
        assert!(poll());
        sending.advance(3);
        sending.leave(7);
        tokio::time::advance(LIMIT * 10).await;
        assert!(poll());
        assert!(stall.alarm.is_none());
    }

    #[test]
    fn a_response_waits_until_it_is_almost_sent() {
        let sending = Sending::default();
        let mut cx = Context::from_waker(Waker::noop());
        sending.begin(LITTLE);
        assert!(sending.poll_almost_sent(&mut cx).is_ready());
        sending.begin(2);
        assert!(sending.poll_almost_sent(&mut cx).is_pending());
        sending.advance(1);
        assert!(sending.task.lock().unwrap().is_some(), "it waits");
        sending.advance(1);
        assert!(sending.task.lock().unwrap().is_none(), "it was woken");
        assert!(sending.poll_almost_sent(&mut cx).is_ready());
    }
}
