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
use crate::shared_store::SharedStore;
use crate::tables::LogState;

/// The thread that writes, and delivers to the replica.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) shared: Arc<SharedStore>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) limits: Limits,
    pub(crate) clock: LogClock,
    pub(crate) state: LogState,
    /// The position after which the replica begins.
    pub(crate) origin: u64,
    pub(crate) replica: Option<Replica>,
    pub(crate) pause: Option<Pause>,
    pub(crate) tidied: Instant,
}

/// After a failure nothing is tried for a while, and publications fail with the same error.
#[derive(Debug)]
pub(crate) struct Pause {
    until: Instant,
    kind: LogErrorKind,
    message: String,
}

/// How often the replica learns that it has caught up; at least once a second is needed.
const TICK: Duration = Duration::from_millis(300);
/// The pause after a failure: at least `PAUSE`, and `PAUSE_FACTOR` times as long as opening the file again took. That
/// reads all of it, and blocks other reads.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_FACTOR: u32 = 10;
const TIDY_EVERY: Duration = Duration::from_secs(5);
/// How many events a new replica is given at a time.
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
                self.idle();
            }
            if let (Some(replica), None) = (&self.replica, &self.pause) {
                let _ = replica.caught_up();
            }
        }
        self.shared.close();
    }

    /// Delivers the recent events to a new replica.
    fn begin(&mut self, replica: Replica) {
        let (began, mut position) = (Instant::now(), self.origin);
        self.replica = Some(replica.clone());
        let _ = replica.link(Ok(()));
        while position < self.state.last {
            match self.shared.with(|store| read_all(store, position, BACKLOG_PAGE)) {
                Ok(records) if !records.is_empty() => {
                    position = records.last().map_or(position, |record| record.position);
                    for record in records {
                        let _ = replica.deliver(record);
                    }
                }
                // It cannot have these, only what is published from now on. The end of the pause reports the link up again.
                outcome => {
                    let fault = outcome.err().unwrap_or_else(|| Fault::damaged("it ends early"));
                    self.pause(&self.shared.error(fault), began);
                    let _ = replica.restart(self.origin_after_gap());
                    break;
                }
            }
        }
    }

    /// Appends everything that has come meanwhile in one commit. So each publication waits for two commits at most, the
    /// current and the next, however many there are.
    fn append(&mut self, batch: Vec<Append>, replies: Vec<Reply<Appended>>) {
        if let Some(pause) = self.pause.as_ref().filter(|pause| pause.until > Instant::now()) {
            return answer_all(replies, || LogError::new(pause.kind, &*pause.message));
        }
        if let Err(error) = self.prepare() {
            return answer_all(replies, || same(&error));
        }
        let time = self.clock.now();
        let committed = self.shared.with(|store| {
            let mut committed = append(store, &self.state, &self.limits, time, &batch)?;
            if !committed.records.is_empty() {
                // A failure is tolerable: the mark only serves to notice another damage.
                let _ = store.file.set_mark(committed.state.last);
            } else if self.pause.is_some() {
                // Duplicates only. The first may not be on disk, and nothing shows that writing works again.
                let written = tidy(store, &self.limits, &self.state, time, true)?;
                committed.state = written.unwrap_or(committed.state);
            }
            Ok(committed)
        });
        match committed {
            Ok(Committed { state, appended, records }) => {
                let counts = &self.shared.counts;
                counts.events.fetch_add(records.len() as u64, Ordering::Relaxed);
                counts.commits.fetch_add(u64::from(!records.is_empty()), Ordering::Relaxed);
                self.state = state;
                self.shared.update_counts(&self.state);
                // The file may have gone meanwhile. Then nobody is shown these events, unless it comes back.
                if let Err(error) = self.check_place() {
                    let doubt = || LogError::new(LogErrorKind::Unacknowledged, error.to_string());
                    return answer_all(replies, doubt);
                }
                self.report_recovery();
                for record in records {
                    let _ = self.replica.as_ref().map(|replica| replica.deliver(record));
                }
                let finished = || LogError::new(LogErrorKind::Finished, "redb: topic is finished");
                for (reply, appended) in replies.into_iter().zip(appended) {
                    reply.send(appended.ok_or_else(finished));
                }
            }
            Err(fault) => {
                let error = self.recover(fault);
                answer_all(replies, || same(&error));
            }
        }
    }

    /// Finds out, after a commit has failed, whether it is in the file nevertheless.
    fn recover(&mut self, fault: Fault) -> LogError {
        let (failure, began) = (self.shared.error(fault), Instant::now());
        let before = self.state.last;
        let error = match self.shared.reopen() {
            Ok(state) if state.last == before && state.epoch == self.state.epoch => {
                self.state = state;
                same(&failure)
            }
            // It is: the disk failed after it was written, so it may not be on the disk.
            Ok(state) if state.last > before && state.epoch == self.state.epoch => {
                self.state = state;
                self.deliver_rest();
                LogError::new(LogErrorKind::Unacknowledged, failure.to_string())
            }
            Ok(_) => {
                self.shared.close();
                let message = format!("{failure}; after opening it again, it is another log");
                LogError::new(LogErrorKind::Unacknowledged, message)
            }
            Err(fault) => {
                let message = format!("{failure}; opening it again: {}", self.shared.error(fault));
                LogError::new(LogErrorKind::Unacknowledged, message)
            }
        };
        self.shared.update_counts(&self.state);
        // The next attempts fail with the cause, and are not in doubt.
        self.pause(&failure, began);
        error
    }

    /// Delivers what the replica lacks: also what was withheld from it when the file had gone.
    fn deliver_rest(&self) {
        let Some(replica) = &self.replica else { return };
        let Ok(position) = replica.position() else { return };
        let count = usize::try_from(self.state.last.saturating_sub(position)).unwrap_or(usize::MAX);
        match self.shared.with(|store| read_all(store, position, count)) {
            Ok(records) => {
                for record in records {
                    let _ = replica.deliver(record);
                }
            }
            Err(_) => {
                let _ = replica.restart(self.origin_after_gap());
            }
        }
    }

    /// For a replica that cannot have the events up to now.
    fn origin_after_gap(&self) -> Origin {
        let LogState { epoch, last, .. } = self.state.clone();
        Origin::new(epoch, last, last)
    }

    /// Pauses after a failure, with which the writer was busy since `began`.
    fn pause(&mut self, error: &LogError, began: Instant) {
        if let Some(replica) = &self.replica {
            let _ = replica.link(Err(error));
        }
        let until = Instant::now() + PAUSE.max(began.elapsed() * PAUSE_FACTOR);
        self.pause = Some(Pause { until, kind: error.kind(), message: error.to_string() });
    }

    fn report_recovery(&mut self) {
        if let (Some(_), Some(replica)) = (self.pause.take(), &self.replica) {
            let _ = replica.link(Ok(()));
            self.deliver_rest();
        }
    }

    /// Makes sure that the log can be written.
    fn prepare(&mut self) -> Result<(), LogError> {
        self.open_if_needed()?;
        self.check_place()
    }

    /// Looks whether the file at the log's path is the one that is open. It stays open if not: clients can still read it,
    /// and it may be moved back.
    fn check_place(&mut self) -> Result<(), LogError> {
        let began = Instant::now();
        self.shared.with(|store| store.file.check_place()).map_err(|fault| {
            let error = self.shared.error(fault);
            self.pause(&error, began);
            error
        })
    }

    /// Opens the file again, if that failed the last time.
    fn open_if_needed(&mut self) -> Result<(), LogError> {
        if self.shared.with(|_| Ok(())).is_ok() {
            return Ok(());
        }
        let began = Instant::now();
        let opened = self.shared.reopen().map_err(|fault| self.shared.error(fault));
        let opened = opened.and_then(|state| {
            if state.epoch == self.state.epoch && state.last >= self.state.last {
                return Ok(state);
            }
            self.shared.close();
            let message = format!("redb: {}: is another log now", self.shared.path.display());
            Err(LogError::new(LogErrorKind::Corrupt, message))
        });
        match opened {
            Ok(state) => {
                self.state = state;
                self.shared.update_counts(&self.state);
                self.deliver_rest();
                Ok(())
            }
            Err(error) => {
                self.pause(&error, began);
                Err(error)
            }
        }
    }

    /// Nothing is to be written: trims what has expired, and tests whether what failed works again.
    fn idle(&mut self) {
        let is_paused = match &self.pause {
            Some(pause) if pause.until > Instant::now() => return,
            pause => pause.is_some(),
        };
        if self.prepare().is_err() || (!is_paused && self.tidied.elapsed() < TIDY_EVERY) {
            return;
        }
        // A hub may still be built on this log, and then begins after the origin.
        if self.replica.is_none() {
            return;
        }
        self.tidied = Instant::now();
        let time = self.clock.now();
        match self.shared.with(|store| tidy(store, &self.limits, &self.state, time, is_paused)) {
            Ok(after) => {
                self.state = after.unwrap_or_else(|| self.state.clone());
                self.shared.update_counts(&self.state);
                self.report_recovery();
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

/// The same error, for another reply.
fn same(error: &LogError) -> LogError {
    LogError::new(error.kind(), error.to_string())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::{fs, thread};

    use parking_lot::Mutex;
    use tempfile::TempDir;
    use tidings::backend::{IdempotencyKey, Log, Page, Read};
    use tidings::{Event, Hub, Link, Topic};

    use super::*;
    use crate::RedbLog;
    use crate::tables::EVENTS;

    /// The log of a hub whose replica a test feeds itself.
    #[derive(Debug)]
    struct Fed {
        origin: Origin,
        replica: Arc<Mutex<Option<Replica>>>,
    }

    impl Log for Fed {
        fn origin(&self) -> Origin {
            self.origin.clone()
        }

        fn start(&self, replica: Replica) {
            *self.replica.lock() = Some(replica);
        }

        fn append(&self, _: Append, _: Reply<Appended>) {}

        fn read(&self, _: Read, _: Reply<Page>) {}

        fn end(&self, _: Reply<u64>) {}

        fn stop(&self) {}
    }

    /// A hub on what a writer has, and its replica, which the writer has not begun yet.
    fn hub_of(writer: &Writer) -> (Hub, Replica) {
        let origin = Origin::new(writer.state.epoch.clone(), writer.origin, writer.state.last);
        let replica = Arc::<Mutex<Option<Replica>>>::default();
        let hub = Hub::builder().build_on(Fed { origin, replica: replica.clone() });
        let replica = replica.lock().take().unwrap();
        (hub, replica)
    }

    /// How many events of its only topic the hub was given.
    fn events(hub: &Hub) -> u64 {
        hub.topics()[0].events
    }

    /// A log with this many events that is closed.
    fn closed_log(path: &Path, events: usize) {
        let log = RedbLog::open(path).unwrap();
        for n in 0..events {
            append_at_last(&log, &n.to_string());
        }
    }

    /// Appends without the threads, and returns the kind of error.
    fn fail(writer: &mut Writer, key: &str) -> LogErrorKind {
        attempt(writer, key).unwrap_err().kind()
    }

    fn attempt(writer: &mut Writer, key: &str) -> Result<Appended, LogError> {
        let key = Some(IdempotencyKey::new(key).unwrap());
        let (reply, appended) = Reply::new();
        let append = Append::new(Topic::new("a").unwrap(), Event::new("x"), key);
        writer.append(vec![append], vec![reply]);
        appended.wait()
    }

    /// The next sync of the file fails.
    fn fail_next_sync(writer: &Writer) {
        let disk = &writer.shared.counts.disk;
        disk.failing_sync.store(disk.syncs.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// The pause is over.
    fn end_pause(writer: &mut Writer) {
        writer.pause.as_mut().unwrap().until = Instant::now();
    }

    fn append(log: &RedbLog, key: &str) -> Result<Appended, LogError> {
        let topic = Topic::new("a").unwrap();
        let key = Some(IdempotencyKey::new(key).unwrap());
        let (reply, appended) = Reply::new();
        log.append(Append::new(topic, Event::new("x"), key), reply);
        appended.wait()
    }

    /// Tries until it is appended.
    fn append_at_last(log: &RedbLog, key: &str) -> Appended {
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
    fn a_commit_that_fails_is_not_in_the_log_or_reported_to_be_in_doubt() {
        let folder = TempDir::new().unwrap();
        let log = RedbLog::open(folder.path().join("events.redb")).unwrap();
        let mut last = append_at_last(&log, "first").position;
        // The first sync is that of the events, the second makes them count.
        for (failing, kind) in [(1, LogErrorKind::Unavailable), (2, LogErrorKind::Unacknowledged)] {
            let disk = &log.shared().counts.disk;
            let next = disk.syncs.load(Ordering::Relaxed) + failing;
            disk.failing_sync.store(next, Ordering::Relaxed);
            let key = format!("sync-{failing}");
            let error = append(&log, &key).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains("on purpose"), "{error}");
            // For a while nothing is tried, so nothing is in doubt.
            let error = append(&log, "later").unwrap_err();
            assert_eq!(error.kind(), LogErrorKind::Unavailable, "{error}");
            let Appended { position, is_duplicate, .. } = append_at_last(&log, &key);
            assert_eq!((position, is_duplicate), (last + 1, kind == LogErrorKind::Unacknowledged));
            last = position;
        }
        assert_eq!(append_at_last(&log, "later").position, last + 1);
    }

    #[test]
    #[cfg(unix)]
    fn a_file_that_is_moved_during_a_commit_leaves_its_events_in_doubt() {
        let folder = TempDir::new().unwrap();
        let [path, away] = ["events.redb", "away"].map(|name| folder.path().join(name));
        let log = RedbLog::open(&path).unwrap();
        let first = append_at_last(&log, "first").position;
        *log.shared().counts.disk.moved.lock() = Some([path.clone(), away.clone()]);
        let error = append(&log, "during").unwrap_err();
        assert_eq!(error.kind(), LogErrorKind::Unacknowledged, "{error}");
        assert!(error.to_string().contains("was deleted or moved while it was open"), "{error}");
        // Nothing more is written to it.
        let error = append(&log, "later").unwrap_err();
        assert_eq!(error.kind(), LogErrorKind::Unavailable, "{error}");
        fs::rename(away, path).unwrap();
        let Appended { position, is_duplicate, .. } = append_at_last(&log, "during");
        assert_eq!((position, is_duplicate), (first + 1, true));
        assert_eq!(append_at_last(&log, "later").position, first + 2);
    }

    #[test]
    fn a_log_is_not_trimmed_before_its_hub_has_begun() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("events.redb");
        closed_log(&path, 3);
        // All have expired.
        let mut writer = RedbLog::builder().max_age(Duration::ZERO).writer(&path).unwrap();
        writer.tidied = Instant::now().checked_sub(TIDY_EVERY).unwrap();
        writer.idle();
        let (hub, replica) = hub_of(&writer);
        writer.begin(replica);
        assert_eq!((hub.health().link, events(&hub)), (Link::Up, 3));
        writer.idle();
        assert_eq!(writer.state.trimmed, 3);
    }

    #[test]
    fn a_replica_that_cannot_have_all_is_ready_when_the_file_can_be_written() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("events.redb");
        closed_log(&path, 3);
        let mut writer = RedbLog::builder().writer(&path).unwrap();
        let harmed = writer.shared.with(|store| {
            let txn = store.begin_write()?;
            txn.open_table(EVENTS)?.remove(2_u64)?;
            Ok(txn.commit()?)
        });
        harmed.unwrap();
        let (hub, replica) = hub_of(&writer);
        writer.begin(replica.clone());
        assert!(matches!(hub.health().link, Link::Down { .. }), "{:?}", hub.health());
        assert_eq!(replica.position().unwrap(), 3);
        end_pause(&mut writer);
        writer.idle();
        assert_eq!(hub.health().link, Link::Up);
        assert!(writer.pause.is_none());
    }

    #[test]
    fn a_duplicate_is_acknowledged_after_a_failure_only_when_writing_works() {
        let folder = TempDir::new().unwrap();
        let mut writer = RedbLog::builder().writer(&folder.path().join("events.redb")).unwrap();
        let (hub, replica) = hub_of(&writer);
        writer.begin(replica);
        attempt(&mut writer, "first").unwrap();
        fail_next_sync(&writer);
        fail(&mut writer, "second");
        end_pause(&mut writer);
        fail_next_sync(&writer);
        fail(&mut writer, "first");
        assert!(matches!(hub.health().link, Link::Down { .. }), "{:?}", hub.health());
        end_pause(&mut writer);
        assert!(attempt(&mut writer, "first").unwrap().is_duplicate);
        assert_eq!(hub.health().link, Link::Up);
    }

    #[test]
    #[cfg(unix)]
    fn what_was_withheld_is_delivered_also_if_the_next_commit_is_in_doubt() {
        let folder = TempDir::new().unwrap();
        let [path, away] = ["events.redb", "away"].map(|name| folder.path().join(name));
        let mut writer = RedbLog::builder().writer(&path).unwrap();
        let (hub, replica) = hub_of(&writer);
        writer.begin(replica.clone());
        *writer.shared.counts.disk.moved.lock() = Some([path.clone(), away.clone()]);
        assert_eq!(fail(&mut writer, "withheld"), LogErrorKind::Unacknowledged);
        assert_eq!(replica.position().unwrap(), 0);
        fs::rename(away, path).unwrap();
        end_pause(&mut writer);
        // The last sync of this commit makes its events count.
        let disk = &writer.shared.counts.disk;
        disk.failing_sync.store(disk.syncs.load(Ordering::Relaxed) + 3, Ordering::Relaxed);
        assert_eq!(fail(&mut writer, "in-doubt"), LogErrorKind::Unacknowledged);
        assert_eq!((replica.position().unwrap(), events(&hub)), (2, 2));
    }
}
