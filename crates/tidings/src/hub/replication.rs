use std::collections::BTreeMap;
use std::ptr;
use std::sync::Arc;
use std::task::Waker;

use super::link::LinkState;
use super::pages::Pages;
use crate::backend::{Log, LogError};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{HashMap, Mutex};
use crate::waking::{self, Waiter, Waiters};

/// A hub's connection to its log, and the streams and publications that wait for it.
#[derive(Debug)]
pub(crate) struct Replication {
    pub(crate) log: Arc<dyn Log>,
    /// Whether the log delivers only topics that the hub is interested in.
    pub(super) is_selective: bool,
    pub(crate) pages: Pages,
    /// Streams that wait for anything new from the log, by their addresses.
    waiting_for_progress: Mutex<HashMap<usize, Arc<dyn Waiter>>>,
    is_waited_for: AtomicBool,
    /// Publications of this node that the log has acknowledged and not yet delivered, by position.
    undelivered: Mutex<BTreeMap<(u64, u64), Waker>>,
    retry_generation: AtomicU64,
    link: Mutex<LinkState>,
    /// Why the log could not be read, as operators were told, and the retry generations in which they were.
    told: Mutex<BTreeMap<String, u64>>,
}

impl Replication {
    /// For how many retry generations the same cause is no news: about a minute.
    const REMIND: u64 = 60;

    /// How many causes operators are told in that time: a cause may name what is another thing for each stream.
    const CAUSES: usize = 16;

    pub(super) fn new(log: Arc<dyn Log>, now: u64) -> Self {
        Self {
            is_selective: log.is_selective(),
            log,
            pages: Pages::default(),
            waiting_for_progress: Mutex::default(),
            is_waited_for: AtomicBool::new(false),
            undelivered: Mutex::default(),
            retry_generation: AtomicU64::new(0),
            link: Mutex::new(LinkState::new(now)),
            told: Mutex::default(),
        }
    }

    pub(super) fn link(&self) -> LinkState {
        self.link.lock().clone()
    }

    pub(super) fn update_link<T>(&self, update: impl FnOnce(&mut LinkState) -> T) -> T {
        update(&mut self.link.lock())
    }

    /// Whether operators are to be told that the log cannot be read.
    pub(crate) fn is_news(&self, error: &LogError) -> bool {
        let (cause, now) = (error.to_string(), self.retry_generation());
        let mut told = self.told.lock();
        told.retain(|_, at| now < *at + Self::REMIND);
        if told.contains_key(&cause) || told.len() == Self::CAUSES {
            return false;
        }
        told.insert(cause, now);
        true
    }

    /// Has a stream woken when anything new comes from the log. The caller looks once more after this.
    pub(crate) fn wait_for_progress<W: Waiter + 'static>(&self, waiter: &Arc<W>) {
        let mut waiting = self.waiting_for_progress.lock();
        waiting.insert(Arc::as_ptr(waiter).addr(), waiter.clone());
        self.is_waited_for.store(true, Ordering::Release);
    }

    /// Has a waker woken when the replica has reached a position. `number` distinguishes those that wait for
    /// the same one. The caller looks once more after this.
    pub(super) fn wait_for_position(&self, position: u64, number: u64, waker: &Waker) {
        let waker = waker.clone();
        let replaced = self.undelivered.lock().insert((position, number), waker);
        drop(replaced);
    }

    pub(super) fn stop_waiting_for_position(&self, position: u64, number: u64) {
        let waker = self.undelivered.lock().remove(&(position, number));
        drop(waker);
    }

    /// The replica has reached a position.
    pub(super) fn on_reached(&self, position: u64) {
        let mut undelivered = self.undelivered.lock();
        if !undelivered.is_empty() {
            let rest = undelivered.split_off(&(position.saturating_add(1), 0));
            let reached = std::mem::replace(&mut *undelivered, rest);
            drop(undelivered);
            reached.into_values().for_each(Waker::wake);
        }
        self.on_progress();
    }

    /// Something new has come from the log.
    pub(super) fn on_progress(&self) {
        if !self.is_waited_for.load(Ordering::Acquire) {
            return;
        }
        let mut guard = self.waiting_for_progress.lock();
        self.is_waited_for.store(false, Ordering::Release);
        let waiting = std::mem::take(&mut *guard);
        drop(guard);
        let waiting = waiting.into_values().enumerate().collect();
        waking::wake(Waiters::of(ptr::from_ref(self).addr(), waiting));
    }

    /// The generation counts the moments at which failed work is tried again: every second, and when the link
    /// or the history has changed.
    pub(crate) fn retry_generation(&self) -> u64 {
        self.retry_generation.load(Ordering::Acquire)
    }

    /// Has everything tried again.
    pub(crate) fn retry(&self) {
        self.retry_generation.fetch_add(1, Ordering::AcqRel);
        // Those that wait for a position give up after a while.
        let undelivered = std::mem::take(&mut *self.undelivered.lock());
        undelivered.into_values().for_each(Waker::wake);
        self.on_progress();
    }
}
