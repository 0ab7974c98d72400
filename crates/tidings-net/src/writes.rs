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
    /// Nothing was outstanding before.
    is_new: bool,
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
const MOST: u32 = 4;

impl Writes {
    pub(crate) fn new(limit: Option<Duration>) -> Self {
        Self { limit, is_waiting: false, is_watched: false, is_new: false, last: None }
    }

    /// After a write, or an attempt. Returns whether it must be looked at now, and again from then on.
    pub(crate) fn after(&mut self, is_waiting: bool) -> bool {
        let is_new = !self.is_watched || (is_waiting && !self.is_waiting);
        // A connection that takes bytes again has made progress.
        self.is_new |= !self.is_watched || (self.is_waiting && !is_waiting);
        self.is_watched = true;
        self.is_waiting = is_waiting;
        is_new
    }

    /// Returns when to look again, or an error if there was no progress for too long.
    pub(crate) fn look(&mut self, io: &impl Io, now: Instant) -> io::Result<Option<Instant>> {
        let Some(limit) = self.limit.filter(|_| self.is_watched) else {
            return Ok(None);
        };
        let progress = io.progress();
        let is_outstanding = match progress {
            Some(progress) => progress.is_outstanding || self.is_waiting,
            None => self.is_waiting,
        };
        let acknowledged = progress.map_or(0, |progress| progress.acknowledged);
        let mut last = self.last.unwrap_or(Look { acknowledged, since: now, read_by: now });
        let more = acknowledged.saturating_sub(last.acknowledged);
        if std::mem::take(&mut self.is_new) || more > 0 {
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

    /// A connection that has this progress.
    struct Peer(Cell<Progress>);

    impl Io for Peer {
        fn progress(&self) -> Option<Progress> {
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

    /// How many seconds after `acknowledged` bytes the connection ends.
    fn ends_after(acknowledged: u64, is_in_flight: bool) -> u64 {
        let began = Instant::now();
        let peer =
            Peer(Cell::new(Progress { acknowledged: 0, is_outstanding: true, is_in_flight }));
        let mut writes = Writes::new(Some(LIMIT));
        assert!(writes.after(false));
        assert!(!writes.after(false), "it is watched already");
        let mut now = began;
        let mut next = writes.look(&peer, now).unwrap();
        peer.0.set(Progress { acknowledged, ..peer.0.get() });
        while let Some(at) = next {
            assert!(at > now && at <= now + LIMIT / 2);
            now = at;
            next = match writes.look(&peer, now) {
                Ok(next) => next,
                Err(error) => {
                    assert_eq!(error.to_string(), "client has taken no bytes for 30s");
                    return (now - began).as_secs();
                }
            };
        }
        unreachable!("something is outstanding")
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
    fn what_a_client_has_taken_up_counts_although_nothing_was_outstanding_then() {
        let began = Instant::now();
        let all_is_there = Progress { acknowledged: 0, is_outstanding: false, is_in_flight: false };
        let peer = Peer(Cell::new(all_is_there));
        let mut writes = Writes::new(Some(LIMIT));
        writes.after(false);
        assert_eq!(writes.look(&peer, began).unwrap(), None);
        peer.0.set(Progress { acknowledged: 64 * 1024, is_outstanding: true, ..all_is_there });
        writes.after(false);
        writes.look(&peer, began).unwrap();
        assert!(writes.look(&peer, began + LIMIT * 3 - Duration::from_secs(1)).is_ok());
        assert!(writes.look(&peer, began + LIMIT * 3).is_err());
    }

    #[test]
    fn nothing_is_watched_when_all_has_arrived() {
        let progress = Progress { acknowledged: 7, is_outstanding: false, is_in_flight: false };
        let mut writes = Writes::new(Some(LIMIT));
        writes.after(false);
        assert_eq!(writes.look(&Peer(Cell::new(progress)), Instant::now()).unwrap(), None);
        assert!(writes.after(false), "the next write is looked at");
    }
}
