use std::io;
use std::time::Duration;

use tokio::time::Instant;

use crate::Io;

/// The progress of what was written to a connection.
///
/// A client that is slow makes progress: its system acknowledges bytes whenever it has room for them again. One that has
/// vanished, or does not read, makes none. What waits in the system's buffer counts, too: heartbeats for a client that has
/// vanished fit into it.
///
/// A slow client's system may take up much at once, and then nothing until most of that was read. So it has the time in which
/// a client that reads [`RATE`] would read it, up to [`MOST`] limits, as long as its system answers.
#[derive(Debug)]
pub(crate) struct Writes {
    limit: Option<Duration>,
    /// The last write has to wait.
    is_waiting: bool,
    /// Something was written that may not have arrived.
    is_watched: bool,
    /// Nothing was outstanding before, and its time has not begun.
    is_new: bool,
    /// A write that had to wait has gone on.
    has_moved: bool,
    last: Option<Look>,
}

#[derive(Debug, Clone, Copy)]
struct Look {
    acknowledged: u64,
    /// Since when that has not grown, although something is outstanding.
    since: Instant,
    /// When a client that is just fast enough will have read it.
    read_by: Instant,
}

/// How many bytes a client must read within the limit: with 30 seconds, 1.1 KB a second.
const RATE: u32 = 32 * 1024;

/// How many limits a client has to read what it has taken up: enough for 128 KiB.
pub(crate) const MOST: u32 = 4;

impl Writes {
    pub(crate) fn new(limit: Option<Duration>) -> Self {
        Self {
            limit,
            is_waiting: false,
            is_watched: false,
            is_new: false,
            has_moved: false,
            last: None,
        }
    }

    /// After a write, or an attempt. Returns whether it must be looked at now, and again from then on.
    #[inline]
    pub(crate) fn after(&mut self, is_waiting: bool) -> bool {
        let is_new = !self.is_watched;
        let is_full = is_waiting && !self.is_waiting;
        self.is_new |= is_new;
        // A connection that takes bytes again has made progress.
        self.has_moved |= self.is_waiting && !is_waiting;
        self.is_watched = true;
        self.is_waiting = is_waiting;
        is_new || is_full
    }

    /// Returns when to look again, or an error if there was no progress for too long.
    pub(crate) fn look(&mut self, io: &impl Io, now: Instant) -> io::Result<Option<Instant>> {
        let Some(limit) = self.limit.filter(|_| self.is_watched) else {
            return Ok(None);
        };
        let is_new = std::mem::take(&mut self.is_new);
        if let Some(last) = self.last.as_mut().filter(|_| is_new && !self.is_waiting) {
            // Most of what the system takes arrives. To ask for each event would cost more than the event.
            last.since = now;
            last.read_by = last.read_by.max(now);
            return Ok(Some(now + limit / 2));
        }
        let progress = io.progress();
        let is_outstanding = match progress {
            Some(progress) => progress.is_outstanding || self.is_waiting,
            None => self.is_waiting,
        };
        let acknowledged = progress.map_or(0, |progress| progress.acknowledged);
        let mut last = self.last.unwrap_or(Look { acknowledged, since: now, read_by: now });
        let more = acknowledged.saturating_sub(last.acknowledged);
        if std::mem::take(&mut self.has_moved) || is_new || more > 0 {
            let time = limit.mul_f64((more as f64 / f64::from(RATE)).min(f64::from(MOST)));
            let read_by = (last.read_by.max(now) + time).min(now + limit * MOST);
            last = Look { acknowledged, since: now, read_by };
        }
        self.last = Some(last);
        if !is_outstanding {
            self.is_watched = false;
            return Ok(None);
        }
        let answers = progress.is_some_and(|progress| !progress.is_in_flight);
        let since = if answers { last.read_by } else { last.since };
        if now >= since + limit {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("client has taken no bytes for {limit:?}"),
            ));
        }
        Ok(Some((since + limit).min(now + limit / 2)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use tidings_sys::Progress;
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    const LIMIT: Duration = Duration::from_secs(30);

    /// A connection that has this progress, and counts how often it is asked.
    struct Peer(Cell<Progress>, Cell<usize>);

    impl Io for Peer {
        fn progress(&self) -> Option<Progress> {
            self.1.set(self.1.get() + 1);
            Some(self.0.get())
        }
    }

    impl AsyncRead for Peer {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Peer {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    /// How long a connection lives from `began` on that has this progress from then on.
    fn lives(peer: &Peer, writes: &mut Writes, began: Instant, progress: Progress) -> Duration {
        let mut now = began;
        let mut next = writes.look(peer, now);
        peer.0.set(progress);
        loop {
            match next {
                Ok(at) => {
                    let at = at.expect("something is outstanding");
                    assert!(at > now && at <= now + LIMIT / 2);
                    now = at;
                }
                Err(error) => {
                    assert_eq!(error.to_string(), "client has taken no bytes for 30s");
                    return now - began;
                }
            }
            next = writes.look(peer, now);
        }
    }

    /// How many seconds after `acknowledged` bytes the connection ends.
    fn ends_after(acknowledged: u64, is_in_flight: bool) -> u64 {
        let peer = Peer(Cell::new(Progress::new(0, true, is_in_flight)), Cell::default());
        let mut writes = Writes::new(Some(LIMIT));
        assert!(writes.after(false));
        assert!(!writes.after(false), "it is watched already");
        let progress = Progress::new(acknowledged, true, is_in_flight);
        lives(&peer, &mut writes, Instant::now(), progress).as_secs()
    }

    /// A connection whose first write has arrived.
    fn idle_at(now: Instant) -> (Peer, Writes) {
        let progress = Progress::new(7, false, false);
        let peer = Peer(Cell::new(progress), Cell::default());
        let mut writes = Writes::new(Some(LIMIT));
        assert!(writes.after(false), "it is looked at");
        assert_eq!(writes.look(&peer, now).unwrap(), None);
        (peer, writes)
    }

    #[test]
    fn without_progress_a_connection_ends_at_the_limit() {
        assert_eq!(ends_after(0, true), 30);
        assert_eq!(ends_after(0, false), 30);
    }

    #[test]
    fn progress_begins_the_limit_again() {
        // It is seen after half of the limit.
        assert_eq!(ends_after(1, true), 15 + 30);
        assert_eq!(ends_after(1, false), 15 + 30);
    }

    #[test]
    fn a_client_that_answers_has_time_to_read_what_it_has_taken_up() {
        assert_eq!(ends_after(64 * 1024, false), 15 + 60 + 30);
        assert_eq!(ends_after(10_000_000, false), 15 + 4 * 30 + 30);
        assert_eq!(ends_after(10_000_000, true), 15 + 30, "it has vanished");
    }

    #[test]
    fn what_a_client_has_taken_up_counts_although_nothing_was_outstanding_before() {
        let now = Instant::now();
        let (peer, mut writes) = idle_at(now);
        writes.after(false);
        let progress = Progress::new(64 * 1024 + 7, true, peer.0.get().is_in_flight);
        // As for one that was watched all the time.
        assert_eq!(lives(&peer, &mut writes, now, progress).as_secs(), 15 + 60 + 30);
    }

    #[test]
    fn a_connection_that_was_idle_has_no_more_time_than_another() {
        let now = Instant::now();
        let (peer, mut writes) = idle_at(now);
        assert!(writes.after(false), "its time begins");
        let progress = Progress::new(peer.0.get().acknowledged, true, true);
        assert_eq!(lives(&peer, &mut writes, now + LIMIT * 10, progress), LIMIT);
    }

    #[test]
    fn a_connection_that_takes_all_is_asked_twice_a_limit() {
        let mut now = Instant::now();
        let (peer, mut writes) = idle_at(now);
        let mut next = None;
        for _ in 0..1_000 {
            now += LIMIT / 100;
            if writes.after(false) || next.is_some_and(|at| at <= now) {
                next = writes.look(&peer, now).unwrap();
            }
        }
        assert!(peer.1.get() <= 1 + 2 * 10, "{} times", peer.1.get());
        writes.look(&peer, now + LIMIT).unwrap();
        assert_eq!(writes.look(&peer, now + LIMIT).unwrap(), None, "it is idle");
    }
}
