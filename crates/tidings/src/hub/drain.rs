//! Ending a hub's streams over a time, so that their clients do not all come back at one moment.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::shared::Shared;
use crate::client_id::ClientId;
use crate::clock::millis;
use crate::end_reason::EndReason;
use crate::sync::Mutex;
use crate::timers::{Timed, TimerSlot};

/// A future that is ready when no stream is left, or when the time is over and all were told: see
/// [`Hub::drain`](crate::Hub::drain).
///
/// The drain goes on whether this is awaited or not.
#[derive(Debug)]
#[must_use = "the drain takes its time; only the future says when it is over"]
pub struct Drain(Arc<Draining>);

/// The drain of a hub: one due time in the shared timers, whatever the number of its streams.
#[derive(Debug)]
pub(super) struct Draining {
    shared: Weak<Shared>,
    slot: TimerSlot,
    schedule: Mutex<Schedule>,
}

/// Who is told when.
#[derive(Debug)]
struct Schedule {
    /// Milliseconds of the hub's clock.
    began: u64,
    ends: u64,
    /// How many streams there were when it began.
    streams: usize,
    /// Those that were not told yet; the last one is the next.
    ///
    /// Their order is random. Streams that connected at the same moment, because they are of one page, one network or one
    /// topic, or because another node sent them away a minute ago, would come back at the same moment otherwise.
    untold: Vec<ClientId>,
    is_over: bool,
    wakers: Vec<Waker>,
}

impl Schedule {
    fn new(mut untold: Vec<ClientId>, began: u64, ends: u64) -> Self {
        fastrand::shuffle(&mut untold);
        let streams = untold.len();
        Self { began, ends, streams, untold, is_over: false, wakers: Vec::new() }
    }

    /// Begins again with those that were not told yet, if that ends earlier.
    fn hasten(&mut self, now: u64, ends: u64) {
        if ends < self.ends {
            (self.began, self.ends, self.streams) = (now, ends, self.untold.len());
        }
    }

    /// Those whose time has come: of all streams, the part that has passed of the time.
    fn take_due(&mut self, now: u64) -> Vec<ClientId> {
        let (passed, time) = (now.saturating_sub(self.began), self.ends - self.began);
        let due = match passed < time {
            // Rounded up, so that a single stream does not wait.
            true => (self.streams as u128 * u128::from(passed)).div_ceil(u128::from(time)) as usize,
            false => self.streams,
        };
        let left = self.streams - due;
        self.untold.split_off(left.min(self.untold.len()))
    }
}

impl Draining {
    /// Begins to drain a hub, or hastens the drain that it has. New streams must find that it drains.
    pub(super) fn begin(shared: &Shared, over: Duration) -> Drain {
        let now = shared.clock.now();
        let ends = now.saturating_add(millis(over));
        let mut drain = shared.drain.lock();
        let draining = match &*drain {
            Some(draining) => {
                draining.schedule.lock().hasten(now, ends);
                draining.clone()
            }
            None => {
                let schedule = Schedule::new(shared.registry.ids(), now, ends);
                let draining = Arc::new(Self {
                    shared: shared.this.clone(),
                    slot: TimerSlot::new(),
                    schedule: Mutex::new(schedule),
                });
                drain.insert(draining).clone()
            }
        };
        drop(drain);
        if let Some(next) = draining.fire(now) {
            shared.clock.schedule(&draining, next);
        }
        Drain(draining)
    }

    /// Wakes those that wait for the end.
    pub(super) fn wake(&self) {
        let wakers = std::mem::take(&mut self.schedule.lock().wakers);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Timed for Draining {
    fn timer(&self) -> &TimerSlot {
        &self.slot
    }

    /// Tells the streams whose time has come.
    fn fire(&self, now: u64) -> Option<u64> {
        let shared = self.shared.upgrade()?;
        let (due, ends) = {
            let mut schedule = self.schedule.lock();
            (schedule.take_due(now), schedule.ends)
        };
        for client in due.into_iter().filter_map(|id| shared.registry.get(id)) {
            shared.end(&client, EndReason::Drained);
        }
        if now < ends {
            // As soon as the timers fire again, which is every 50 ms.
            return Some((now + 1).min(ends));
        }
        self.schedule.lock().is_over = true;
        self.wake();
        None
    }
}

impl Future for Drain {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let mut schedule = self.0.schedule.lock();
        if schedule.is_over {
            return Poll::Ready(());
        }
        // Registered before the look at the streams, so that the end of the last one is not missed.
        if !schedule.wakers.iter().any(|known| known.will_wake(&waker)) {
            schedule.wakers.push(waker);
        }
        drop(schedule);
        let is_empty = self.0.shared.upgrade().is_none_or(|shared| shared.registry.count() == 0);
        if is_empty { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_told_evenly_over_the_time() {
        let ids: Vec<_> = (0..1_000).map(|_| ClientId::random()).collect();
        let mut schedule = Schedule::new(ids.clone(), 10_000, 20_000);
        let mut told = Vec::new();
        for (now, expected) in
            [(10_000, 0), (10_001, 1), (12_500, 250), (15_000, 500), (19_999, 1_000)]
        {
            told.extend(schedule.take_due(now));
            assert_eq!(told.len(), expected, "at {now}");
        }
        // Neither in the order in which they connected, nor the other way round.
        let rank = |id: &ClientId| ids.iter().position(|other| other == id);
        let first: Vec<_> = told[1..250].iter().map(rank).collect();
        assert!(!first.is_sorted() && !first.iter().rev().is_sorted());
        told.sort();
        let mut ids = ids;
        ids.sort();
        assert_eq!(told, ids, "each once");
    }

    #[test]
    fn the_earlier_end_counts() {
        let mut schedule = Schedule::new((0..100).map(|_| ClientId::random()).collect(), 0, 10_000);
        assert_eq!(schedule.take_due(5_000).len(), 50);
        schedule.hasten(5_000, 20_000);
        assert_eq!(schedule.take_due(6_000).len(), 10);
        schedule.hasten(6_000, 7_000);
        assert_eq!(schedule.take_due(6_500).len(), 20);
        assert_eq!(schedule.take_due(7_000).len(), 20);
        assert!(schedule.take_due(8_000).is_empty());
    }

    #[test]
    fn no_time_is_enough() {
        let mut schedule = Schedule::new(vec![ClientId::random()], 7, 7);
        assert_eq!(schedule.take_due(7).len(), 1);
    }
}
