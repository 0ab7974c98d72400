use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tidings::backend::{Append, Appended, LogError, LogErrorKind, Origin, Replica, Reply};

use crate::append::{Committed, append};
use crate::clock::LogClock;
use crate::fault::Fault;
use crate::page::read_all;
use crate::queue::{Queue, Work};
use crate::retention::{Limits, tidy};
use crate::shelf::Shelf;
use crate::tables::State;

/// The one who writes, and tells the replica: a thread.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) limits: Limits,
    pub(crate) clock: LogClock,
    pub(crate) state: State,
    /// Where the replica begins.
    pub(crate) origin: u64,
    pub(crate) replica: Option<Replica>,
    pub(crate) pause: Option<Pause>,
    pub(crate) tidied: Instant,
}

/// After a failure nothing is tried for a while, and everybody is told what it was.
#[derive(Debug)]
pub(crate) struct Pause {
    until: Instant,
    kind: LogErrorKind,
    message: String,
}

/// How often the replica is told that nothing is missing; a second is the least.
const TICK: Duration = Duration::from_millis(300);
/// After a failure: the least, and how many times as long as it took to open the file anew. That is reading
/// all of it, and nobody else reads meanwhile.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_FACTOR: u32 = 10;
const TIDY_EVERY: Duration = Duration::from_secs(5);
/// How many events are handed to a new replica at a time.
const BACKLOG_PAGE: usize = 1_000;

impl Writer {
    /// Works until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        loop {
            let Work { appends, replies, start, is_closed } = self.queue.take(TICK);
            if let Some(replica) = start {
                self.begin(replica);
            }
            if !appends.is_empty() {
                self.append(appends, replies);
            } else if is_closed {
                break;
            } else {
                self.rest();
            }
            if let (Some(replica), None) = (&self.replica, &self.pause) {
                let _ = replica.caught_up();
            }
        }
        self.shelf.close();
    }

    /// Hands the recent events to a replica that begins.
    fn begin(&mut self, replica: Replica) {
        let mut position = self.origin;
        let _ = replica.link(Ok(()));
        while position < self.state.last {
            match self.shelf.with(|store| read_all(store, position, BACKLOG_PAGE)) {
                Ok(records) if !records.is_empty() => {
                    position = records.last().map_or(position, |record| record.position);
                    for record in records {
                        let _ = replica.deliver(record);
                    }
                }
                // It cannot have them. What is published from now on, it can.
                outcome => {
                    let fault = outcome.err().unwrap_or_else(|| Fault::damaged("it ends early"));
                    let _ = replica.link(Err(&self.shelf.error(fault)));
                    let _ = replica.restart(self.hole());
                    break;
                }
            }
        }
        self.replica = Some(replica);
    }

    /// Appends what has come meanwhile, all in one commit: so that however many publish, each waits for two
    /// commits at most, the one that is going on and the next.
    fn append(&mut self, batch: Vec<Append>, replies: Vec<Reply<Appended>>) {
        if let Some(pause) = self.pause.as_ref().filter(|pause| pause.until > Instant::now()) {
            return answer_all(replies, || LogError::new(pause.kind, &*pause.message));
        }
        if let Err(error) = self.open_if_needed() {
            return answer_all(replies, || same(&error));
        }
        let time = self.clock.now();
        let committed = self.shelf.with(|store| {
            let committed = append(store, &self.state, &self.limits, time, &batch)?;
            if !committed.records.is_empty() {
                // Not the end of the world: it is there to find out about another damage.
                let _ = store.file.set_mark(committed.state.last);
            }
            Ok(committed)
        });
        match committed {
            Ok(Committed { state, appended, records }) => {
                let counts = &self.shelf.counts;
                counts.events.fetch_add(records.len() as u64, Ordering::Relaxed);
                counts.commits.fetch_add(u64::from(!records.is_empty()), Ordering::Relaxed);
                self.state = state;
                self.shelf.note(&self.state);
                self.works_again();
                for record in records {
                    let _ = self.replica.as_ref().map(|replica| replica.deliver(record));
                }
                for (reply, appended) in replies.into_iter().zip(appended) {
                    reply.send(Ok(appended));
                }
            }
            Err(fault) => {
                let error = self.recover(fault);
                answer_all(replies, || same(&error));
            }
        }
    }

    /// Finds out, after a commit has failed, whether it is in the file all the same.
    fn recover(&mut self, fault: Fault) -> LogError {
        let (failure, began) = (self.shelf.error(fault), Instant::now());
        let before = self.state.last;
        let error = match self.shelf.reopen() {
            Ok(state) if state.last == before && state.epoch == self.state.epoch => {
                self.state = state;
                same(&failure)
            }
            // It is: the disk has failed after it was written, so it may not be on it.
            Ok(state) if state.last > before && state.epoch == self.state.epoch => {
                self.state = state;
                self.deliver_behind(before);
                LogError::new(LogErrorKind::Unacknowledged, failure.to_string())
            }
            Ok(_) => {
                self.shelf.close();
                let message = format!("{failure}; opened anew, it is another log");
                LogError::new(LogErrorKind::Unacknowledged, message)
            }
            Err(fault) => {
                let message = format!("{failure}; opened anew: {}", self.shelf.error(fault));
                LogError::new(LogErrorKind::Unacknowledged, message)
            }
        };
        self.shelf.note(&self.state);
        // The next attempts are refused for the cause, and are clean.
        self.pause(&failure, began);
        error
    }

    fn deliver_behind(&mut self, position: u64) {
        let count = usize::try_from(self.state.last - position).unwrap_or(usize::MAX);
        let Some(replica) = &self.replica else { return };
        match self.shelf.with(|store| read_all(store, position, count)) {
            Ok(records) => {
                for record in records {
                    let _ = replica.deliver(record);
                }
            }
            Err(_) => {
                let _ = replica.restart(self.hole());
            }
        }
    }

    /// For a replica that is not given what there is until now.
    fn hole(&self) -> Origin {
        let State { epoch, last, .. } = self.state.clone();
        Origin { epoch, position: last, end: last }
    }

    /// After a failure, with which one was busy since `began`.
    fn pause(&mut self, error: &LogError, began: Instant) {
        if let Some(replica) = &self.replica {
            let _ = replica.link(Err(error));
        }
        let until = Instant::now() + PAUSE.max(began.elapsed() * PAUSE_FACTOR);
        self.pause = Some(Pause { until, kind: error.kind(), message: error.to_string() });
    }

    fn works_again(&mut self) {
        if let (Some(_), Some(replica)) = (self.pause.take(), &self.replica) {
            let _ = replica.link(Ok(()));
        }
    }

    /// Opens the file again, if that has failed the last time.
    fn open_if_needed(&mut self) -> Result<(), LogError> {
        if self.shelf.with(|_| Ok(())).is_ok() {
            return Ok(());
        }
        let began = Instant::now();
        let opened = self.shelf.reopen().map_err(|fault| self.shelf.error(fault));
        let opened = opened.and_then(|state| {
            if state.epoch == self.state.epoch && state.last >= self.state.last {
                return Ok(state);
            }
            self.shelf.close();
            let message = format!("redb: {}: has become another log", self.shelf.path.display());
            Err(LogError::new(LogErrorKind::Corrupt, message))
        });
        match opened {
            Ok(state) => {
                let before = self.state.last;
                self.state = state;
                self.shelf.note(&self.state);
                self.deliver_behind(before);
                Ok(())
            }
            Err(error) => {
                self.pause(&error, began);
                Err(error)
            }
        }
    }

    /// Nothing is to be written. Sees to what has grown old, and whether what has failed works again.
    fn rest(&mut self) {
        let is_paused = match &self.pause {
            Some(pause) if pause.until > Instant::now() => return,
            pause => pause.is_some(),
        };
        if !is_paused && self.tidied.elapsed() < TIDY_EVERY {
            return;
        }
        self.tidied = Instant::now();
        if self.open_if_needed().is_err() {
            return;
        }
        let time = self.clock.now();
        match self.shelf.with(|store| tidy(store, &self.limits, &self.state, time, is_paused)) {
            Ok(after) => {
                self.state = after.unwrap_or_else(|| self.state.clone());
                self.shelf.note(&self.state);
                self.works_again();
            }
            Err(fault) => drop(self.recover(fault)),
        }
    }
}

fn answer_all(replies: Vec<Reply<Appended>>, error: impl Fn() -> LogError) {
    for reply in replies {
        reply.send(Err(error()));
    }
}

/// An error once more, for somebody else.
fn same(error: &LogError) -> LogError {
    LogError::new(error.kind(), error.to_string())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tempfile::TempDir;
    use tidings::backend::{IdempotencyKey, Log};
    use tidings::{Event, Topic};

    use super::*;
    use crate::RedbLog;

    fn append(log: &RedbLog, key: &str) -> Result<Appended, LogError> {
        let topic = Topic::new("a").unwrap();
        let key = Some(IdempotencyKey::new(key).unwrap());
        let (reply, appended) = Reply::new();
        log.append(Append { topic, event: Event::new("x"), key }, reply);
        appended.wait()
    }

    /// Tries again until it is appended.
    fn insist(log: &RedbLog, key: &str) -> Appended {
        let began = Instant::now();
        loop {
            match append(log, key) {
                Ok(appended) => break appended,
                Err(error) => assert!(began.elapsed() < Duration::from_secs(30), "{error}"),
            }
            thread::yield_now();
        }
    }

    #[test]
    fn a_commit_that_fails_is_not_there_or_is_said_to_be_in_doubt() {
        let folder = TempDir::new().unwrap();
        let log = RedbLog::open(folder.path().join("events.redb")).unwrap();
        let mut last = insist(&log, "first").position;
        // The first synchronisation is that of the events, the second that which makes them count.
        for (failing, kind) in [(1, LogErrorKind::Unavailable), (2, LogErrorKind::Unacknowledged)] {
            let disk = &log.shelf().counts.disk;
            let next = disk.syncs.load(Ordering::Relaxed) + failing;
            disk.failing_sync.store(next, Ordering::Relaxed);
            let key = format!("sync-{failing}");
            let error = append(&log, &key).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains("on purpose"), "{error}");
            // For a while nothing is tried, and nothing in doubt.
            let error = append(&log, "later").unwrap_err();
            assert_eq!(error.kind(), LogErrorKind::Unavailable, "{error}");
            let Appended { position, is_duplicate, .. } = insist(&log, &key);
            assert_eq!((position, is_duplicate), (last + 1, kind == LogErrorKind::Unacknowledged));
            last = position;
        }
        assert_eq!(insist(&log, "later").position, last + 1);
    }
}
