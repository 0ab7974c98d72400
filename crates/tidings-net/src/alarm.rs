use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that costs little to be polled before its time.
///
/// tokio's registers the waker anew at each poll, and a connection polls it at each event.
#[derive(Debug)]
pub(crate) struct Alarm {
    sleep: Pin<Box<Sleep>>,
    /// Will be woken.
    waker: Option<Waker>,
}

impl Alarm {
    pub(crate) fn at(at: Instant) -> Self {
        Self { sleep: Box::pin(sleep_until(at)), waker: None }
    }

    pub(crate) fn reset(&mut self, at: Instant) {
        self.sleep.as_mut().reset(at);
        self.waker = None;
    }

    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_registered = |waker: &Waker| waker.will_wake(cx.waker());
        if self.waker.as_ref().is_some_and(is_registered) && !self.sleep.is_elapsed() {
            return Poll::Pending;
        }
        self.register(cx)
    }

    #[cold]
    fn register(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Without its budget, the task would be woken by something else, and the waker not be registered.
        let outcome = pin!(unconstrained(self.sleep.as_mut())).poll(cx);
        self.waker = outcome.is_pending().then(|| cx.waker().clone());
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::time::Duration;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_waker_that_has_polled_last_is_woken() {
        let mut alarm = Alarm::at(Instant::now() + Duration::from_secs(1));
        let wakers = [(); 2].map(|()| Arc::new(Count::default()));
        for waker in &wakers {
            let waker = waker.clone().into();
            for _ in 0..2 {
                assert!(alarm.poll(&mut Context::from_waker(&waker)).is_pending());
            }
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(wakers.map(|waker| waker.0.load(Ordering::Relaxed)), [0, 1]);
        poll_fn(|cx| alarm.poll(cx)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_that_is_reset_rings_at_its_new_time() {
        let began = Instant::now();
        let mut alarm = Alarm::at(began + Duration::from_secs(1));
        poll_fn(|cx| alarm.poll(cx)).await;
        alarm.reset(began + Duration::from_secs(3));
        poll_fn(|cx| alarm.poll(cx)).await;
        assert_eq!(began.elapsed().as_secs(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_rings_for_a_task_that_had_no_budget_left() {
        let mut alarm = Alarm::at(Instant::now() + Duration::from_secs(1));
        let mut is_first = true;
        poll_fn(|cx| {
            // It wakes the task when there is none left.
            if std::mem::take(&mut is_first) {
                while let Poll::Ready(coop) = tokio::task::coop::poll_proceed(cx) {
                    coop.made_progress();
                }
            }
            alarm.poll(cx)
        })
        .await;
    }
}
