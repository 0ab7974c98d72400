use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::stream::{AbortHandle, Abortable, SelectAll};
use futures_util::{Stream, future};
use tokio::time::{Instant, sleep_until};

/// Many subscriptions of one connection, each with its own channel. Puts their messages back into the order in which
/// the connection received them.
///
/// The stream republishes its messages in order, and a connection keeps the order. The task that reads the
/// connection puts each message into its channel before it looks at the next. So when message `m` has come, all
/// messages before it are in their channels. Draining the channels gives the highest `m`. Draining them once more
/// completes everything up to `m`, which can then be sorted.
///
/// A channel that looks empty must be empty: see [`Flag`].
#[derive(Debug)]
pub(crate) struct MergedSubscriptions<S: Stream, T> {
    streams: SelectAll<Abortable<S>>,
    held: Vec<Live<T>>,
    /// Reads what a subscription yields; `None` leaves it out.
    read: fn(S::Item) -> Option<Live<T>>,
    capacity: usize,
    /// How long to wait for messages that should have come before.
    patience: Option<Duration>,
    /// The position that completes the next batch, and when to make it: also if the wait for it is given up and begun
    /// again, however often.
    due: Option<(u64, Instant)>,
    /// How many have come since the last batch.
    taken: usize,
}

/// A message that has come by a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Live<T> {
    /// Its position in the stream.
    pub(crate) sequence: u64,
    /// The position of the message before it on the same subject, if the stream still has it; or 0.
    pub(crate) previous: u64,
    pub(crate) message: T,
}

/// Messages in order, each once, without a gap between the first and the last.
#[derive(Debug)]
pub(crate) struct Batch<T> {
    pub(crate) messages: Vec<Live<T>>,
    /// As many have come as a channel holds: one may have been full, and messages may be missing.
    pub(crate) has_overflowed: bool,
}

impl<S: Stream + Unpin, T> MergedSubscriptions<S, T> {
    /// `capacity` is the capacity of a subscription's channel.
    pub(crate) fn new(
        read: fn(S::Item) -> Option<Live<T>>,
        capacity: usize,
        patience: Option<Duration>,
    ) -> Self {
        Self {
            streams: SelectAll::new(),
            held: Vec::new(),
            read,
            capacity,
            patience,
            due: None,
            taken: 0,
        }
    }

    /// Adds a subscription, which the handle ends.
    pub(crate) fn add(&mut self, subscription: S) -> AbortHandle {
        let (handle, registration) = AbortHandle::new_pair();
        self.streams.push(Abortable::new(subscription, registration));
        handle
    }

    /// The next messages, at least one. Nothing is lost when it is dropped before it is ready.
    pub(crate) async fn batch(&mut self) -> Batch<T> {
        // Tokio's budget for a task would make channels look empty that are not.
        let (complete, at) =
            tokio::task::unconstrained(future::poll_fn(|cx| self.poll_due(cx))).await;
        // A timer, even one that is late, may need another turn of the runtime.
        if at > Instant::now() {
            sleep_until(at).await;
        }
        tokio::task::unconstrained(future::poll_fn(|cx| Poll::Ready(self.finish(complete, cx))))
            .await
    }

    /// Waits for the first message of a batch, unless it has come already.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<(u64, Instant)> {
        if let Some(due) = self.due {
            return Poll::Ready(due);
        }
        self.poll_first(cx).map(|complete| {
            let at = Instant::now() + self.patience.unwrap_or_default();
            *self.due.insert((complete, at))
        })
    }

    /// Waits for a message. Returns the highest position that has come.
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<u64> {
        self.taken += self.drain(cx);
        match self.held.iter().map(|live| live.sequence).max() {
            Some(complete) => Poll::Ready(complete),
            None => Poll::Pending,
        }
    }

    fn finish(&mut self, complete: u64, cx: &mut Context<'_>) -> Batch<T> {
        self.due = None;
        let taken = std::mem::take(&mut self.taken) + self.drain(cx);
        self.held.sort_by_key(|live| live.sequence);
        self.held.dedup_by_key(|live| live.sequence);
        let beyond = self.held.partition_point(|live| live.sequence <= complete);
        let rest = self.held.split_off(beyond);
        let messages = std::mem::replace(&mut self.held, rest);
        Batch { messages, has_overflowed: taken >= self.capacity }
    }

    /// Takes all messages out of the channels, and returns how many there were.
    fn drain(&mut self, cx: &mut Context<'_>) -> usize {
        let flag = Arc::new(Flag { is_raised: AtomicBool::new(false), waker: cx.waker().clone() });
        let waker = Waker::from(flag.clone());
        let mut flagged = Context::from_waker(&waker);
        let mut taken = 0;
        while taken < 2 * self.capacity {
            match Pin::new(&mut self.streams).poll_next(&mut flagged) {
                Poll::Ready(Some(item)) => {
                    taken += 1;
                    self.held.extend((self.read)(item));
                }
                Poll::Ready(None) => return taken,
                Poll::Pending if flag.is_raised.swap(false, Ordering::AcqRel) => {}
                Poll::Pending => return taken,
            }
        }
        taken
    }
}

/// Distinguishes a set of streams that is empty from one that only yields: both are pending, but the latter wakes its
/// task at once.
struct Flag {
    is_raised: AtomicBool,
    waker: Waker,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_raised.store(true, Ordering::Release);
        self.waker.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc::{Receiver, Sender, channel};
    use tokio::time::timeout;

    /// A subscription, as the NATS client has it.
    struct Channel(Receiver<u64>);

    impl Stream for Channel {
        type Item = u64;

        fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<u64>> {
            self.0.poll_recv(cx)
        }
    }

    type Merged = MergedSubscriptions<Channel, ()>;

    fn merged(channels: usize, capacity: usize) -> (Merged, Vec<Sender<u64>>) {
        let read = |sequence| Some(Live { sequence, previous: 0, message: () });
        let mut merged = Merged::new(read, capacity, None);
        let senders = (0..channels).map(|_| {
            let (sender, receiver) = channel(capacity);
            merged.add(Channel(receiver));
            sender
        });
        let senders = senders.collect();
        (merged, senders)
    }

    async fn next(merged: &mut Merged) -> Batch<()> {
        timeout(Duration::from_secs(10), merged.batch()).await.expect("a batch in time")
    }

    #[tokio::test]
    async fn messages_of_many_channels_come_in_one_order() {
        let (mut merged, senders) = merged(3, 16);
        for (sequence, channel) in [(1, 2), (2, 0), (3, 1), (4, 2), (5, 0)] {
            senders[channel].try_send(sequence).unwrap();
        }
        let batch = next(&mut merged).await;
        let sequences: Vec<_> = batch.messages.iter().map(|live| live.sequence).collect();
        assert_eq!(sequences, [1, 2, 3, 4, 5]);
        assert!(!batch.has_overflowed);
    }

    #[tokio::test]
    async fn a_message_that_came_twice_is_in_the_batch_once() {
        let (mut merged, senders) = merged(2, 16);
        for channel in &senders {
            channel.try_send(1).unwrap();
        }
        assert_eq!(next(&mut merged).await.messages.len(), 1);
    }

    #[tokio::test]
    async fn as_many_messages_as_a_channel_holds_may_be_too_many() {
        let (mut merged, senders) = merged(1, 4);
        (1..=4).for_each(|sequence| senders[0].try_send(sequence).unwrap());
        assert!(next(&mut merged).await.has_overflowed);
        senders[0].try_send(6).unwrap();
        assert!(!next(&mut merged).await.has_overflowed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_interrupted_again_and_again_ends_as_soon_as_any_other() {
        let (mut merged, senders) = merged(1, 16);
        merged.patience = Some(Duration::from_millis(20));
        senders[0].try_send(1).unwrap();
        let interrupted = async {
            loop {
                tokio::select! {
                    batch = merged.batch() => break batch,
                    () = tokio::time::sleep(Duration::from_millis(10)) => {}
                }
            }
        };
        let batch = timeout(Duration::from_secs(1), interrupted).await.expect("a batch in time");
        let sequences: Vec<_> = batch.messages.iter().map(|live| live.sequence).collect();
        assert_eq!(sequences, [1]);
        // The next one is waited for anew.
        senders[0].try_send(2).unwrap();
        let began = Instant::now();
        assert_eq!(next(&mut merged).await.messages.len(), 1);
        assert!(began.elapsed() >= Duration::from_millis(20));
    }

    /// A connection on its own thread puts messages into channels as they come. Whatever the reader is doing meanwhile,
    /// it must not hand on a message before an earlier one.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nothing_overtakes_while_messages_come() {
        const MESSAGES: u64 = 200_000;
        let (mut merged, senders) = merged(50, 1 << 16);
        let sender = std::thread::spawn(move || {
            for sequence in 1..=MESSAGES {
                let channel = (sequence.wrapping_mul(2_654_435_761) >> 7) as usize % senders.len();
                senders[channel].blocking_send(sequence).unwrap();
            }
        });
        let mut expected = 1;
        while expected <= MESSAGES {
            for live in next(&mut merged).await.messages {
                assert_eq!(live.sequence, expected);
                expected += 1;
            }
        }
        sender.join().unwrap();
    }
}
