use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tidings::backend::{Append, Appended, LogError, LogErrorKind, Replica, Reply};

/// The work that waits for the thread that writes.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<QueueState>,
    changed: Condvar,
    max_events: usize,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct QueueState {
    work: Work,
    bytes: usize,
}

/// The work of the thread that writes.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// In the order in which they came.
    pub(crate) appends: Vec<Append>,
    pub(crate) replies: Vec<Reply<Appended>>,
    /// The replica, when it has just started.
    pub(crate) start: Option<Replica>,
    /// Nothing more will come.
    pub(crate) is_closed: bool,
}

impl Queue {
    pub(crate) fn new(max_events: usize, max_bytes: usize) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), max_events, max_bytes }
    }

    pub(crate) fn start(&self, replica: Replica) {
        self.state.lock().work.start = Some(replica);
        self.changed.notify_one();
    }

    pub(crate) fn push(&self, append: Append, reply: Reply<Appended>) {
        let mut state = self.state.lock();
        let bytes = bytes_of(&append);
        let refused = if state.work.is_closed {
            Some(LogError::new(LogErrorKind::Closed, "redb: the log is closed"))
        } else if state.work.appends.len() >= self.max_events
            // One event is always accepted, however large it is.
            || (state.bytes > 0 && state.bytes + bytes > self.max_bytes)
        {
            let waiting = state.work.appends.len();
            Some(LogError::new(
                LogErrorKind::Busy,
                format!(
                    "redb: {waiting} events of {} bytes are waiting for the disk already",
                    state.bytes
                ),
            ))
        } else {
            None
        };
        if let Some(error) = refused {
            drop(state);
            return reply.send(Err(error));
        }
        state.bytes += bytes;
        state.work.appends.push(append);
        state.work.replies.push(reply);
        drop(state);
        self.changed.notify_one();
    }

    pub(crate) fn close(&self) {
        self.state.lock().work.is_closed = true;
        self.changed.notify_one();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().work.is_closed
    }

    /// All work that has come; none if nothing comes within `wait`.
    pub(crate) fn take(&self, wait: Duration) -> Work {
        let mut state = self.state.lock();
        let is_idle = |state: &mut QueueState| {
            let work = &state.work;
            work.appends.is_empty() && work.start.is_none() && !work.is_closed
        };
        self.changed.wait_while_for(&mut state, is_idle, wait);
        state.bytes = 0;
        let is_closed = state.work.is_closed;
        std::mem::replace(&mut state.work, Work { is_closed, ..Work::default() })
    }
}

fn bytes_of(append: &Append) -> usize {
    append.topic.as_str().len() + append.event.size()
}

#[cfg(test)]
mod tests {
    use tidings::backend::Receiver;
    use tidings::{Event, Topic};

    use super::*;

    fn push(queue: &Queue, bytes: usize) -> Receiver<Appended> {
        let event = Event::new("x".repeat(bytes));
        let (reply, appended) = Reply::new();
        queue.push(Append::new(Topic::new("a").unwrap(), event, None), reply);
        appended
    }

    #[track_caller]
    fn refused(appended: Receiver<Appended>, kind: LogErrorKind, message: &str) {
        let error = appended.wait().unwrap_err();
        assert_eq!((error.kind(), &*error.to_string()), (kind, message));
    }

    #[test]
    fn too_many_events_are_refused_until_some_were_taken() {
        let queue = Queue::new(2, 1_000);
        let _kept = [push(&queue, 1), push(&queue, 1)];
        let message = "redb: 2 events of 4 bytes are waiting for the disk already";
        refused(push(&queue, 1), LogErrorKind::Busy, message);
        assert_eq!(queue.take(Duration::ZERO).appends.len(), 2);
        let _kept = push(&queue, 1);
        assert_eq!(queue.take(Duration::ZERO).appends.len(), 1);
    }

    #[test]
    fn too_many_bytes_are_refused_but_not_the_first() {
        let queue = Queue::new(10, 1_000);
        let _kept = push(&queue, 2_000);
        let message = "redb: 1 events of 2001 bytes are waiting for the disk already";
        refused(push(&queue, 1), LogErrorKind::Busy, message);
    }

    #[test]
    fn the_bytes_of_an_event_are_not_only_its_data() {
        let queue = Queue::new(10, 1_000);
        let event = Event::comment("x".repeat(2_000)).unwrap();
        let (reply, _kept) = Reply::new();
        queue.push(Append::new(Topic::new("a").unwrap(), event, None), reply);
        let message = "redb: 1 events of 2001 bytes are waiting for the disk already";
        refused(push(&queue, 1), LogErrorKind::Busy, message);
    }

    #[test]
    fn a_closed_queue_refuses_events_and_keeps_what_it_has() {
        let queue = Queue::new(10, 1_000);
        let _kept = push(&queue, 1);
        queue.close();
        refused(push(&queue, 1), LogErrorKind::Closed, "redb: the log is closed");
        let work = queue.take(Duration::from_secs(60));
        assert!(work.is_closed && work.appends.len() == 1);
        assert!(queue.take(Duration::from_secs(60)).appends.is_empty());
    }
}
