use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::Ending;

/// The connections that wait for a request: whose time is up first, and who must go first for another.
///
/// Those go first that lose least: the ones between requests; then those that have sent nothing; then those whose heads
/// have not come to their ends. Of each, the oldest. But a newcomer has a moment in which others go first: its head is on
/// the way. When all are newcomers, the oldest goes, whatever it has sent, so that nobody can drive out others by a byte.
#[derive(Debug, Default)]
pub(super) struct Lobby {
    seats: HashMap<u64, Seat>,
    next: u64,
    by_due: BTreeSet<(Instant, u64)>,
    by_rank: [BTreeSet<(Instant, u64)>; 3],
}

/// What a connection in the lobby has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rank {
    /// Nothing since its last request.
    Idle,
    /// Nothing at all.
    Silent,
    /// A part of a head, or of a handshake.
    Begun,
}

#[derive(Debug)]
struct Seat {
    rank: Rank,
    since: Instant,
    due: Instant,
    ending: oneshot::Sender<Ending>,
}

impl Lobby {
    /// How long it is last to go, from when it came; or, between requests, from when a head has begun.
    const MOMENT: Duration = Duration::from_secs(1);

    /// Returns its number.
    pub(super) fn enter(
        &mut self,
        rank: Rank,
        since: Instant,
        due: Instant,
        ending: oneshot::Sender<Ending>,
    ) -> u64 {
        self.next += 1;
        self.add(self.next, Seat { rank, since, due, ending });
        self.next
    }

    fn add(&mut self, number: u64, seat: Seat) {
        self.by_due.insert((seat.due, number));
        self.by_rank[seat.rank as usize].insert((seat.since, number));
        self.seats.insert(number, seat);
    }

    fn take(&mut self, number: u64) -> Option<Seat> {
        let seat = self.seats.remove(&number)?;
        self.by_due.remove(&(seat.due, number));
        self.by_rank[seat.rank as usize].remove(&(seat.since, number));
        if self.seats.len() < self.seats.capacity() / 8 {
            self.seats.shrink_to_fit();
        }
        Some(seat)
    }

    /// Returns what is to be dropped with no lock held.
    pub(super) fn leave(&mut self, number: u64) -> Option<oneshot::Sender<Ending>> {
        self.take(number).map(|seat| seat.ending)
    }

    /// Everybody leaves. Returns what is to be dropped with no lock held.
    pub(super) fn clear(&mut self) -> Self {
        // No number comes again: places that are dropped later have theirs.
        let empty = Self { next: self.next, ..Self::default() };
        std::mem::replace(self, empty)
    }

    /// Its time is up at another moment. Returns whether it is still there.
    pub(super) fn set_due(&mut self, number: u64, due: Instant) -> bool {
        let Some(seat) = self.take(number) else { return false };
        self.add(number, Seat { due, ..seat });
        true
    }

    /// It has begun to send something.
    pub(super) fn begin(&mut self, number: u64, now: Instant) {
        if let Some(seat) = self.take(number) {
            let since = if seat.rank == Rank::Idle { now } else { seat.since };
            self.add(number, Seat { rank: Rank::Begun, since, ..seat });
        }
    }

    /// When the first one's time is up.
    pub(super) fn first_due(&self) -> Option<Instant> {
        self.by_due.first().map(|(due, _)| *due)
    }

    /// Takes one whose time is up.
    pub(super) fn pop_overdue(&mut self, now: Instant) -> Option<oneshot::Sender<Ending>> {
        let (due, number) = self.by_due.first().copied()?;
        (due <= now).then(|| self.leave(number)).flatten()
    }

    /// Takes the one that must go first.
    pub(super) fn evict(&mut self, now: Instant) -> Option<oneshot::Sender<Ending>> {
        let first = |rank: Rank| self.by_rank[rank as usize].first().copied();
        let had_its_moment =
            |seat: &(Instant, u64)| now.saturating_duration_since(seat.0) >= Self::MOMENT;
        let [silent, begun] = [Rank::Silent, Rank::Begun].map(first);
        let (_, number) = first(Rank::Idle)
            .or_else(|| silent.filter(had_its_moment))
            .or_else(|| begun.filter(had_its_moment))
            .or_else(|| [silent, begun].into_iter().flatten().min())?;
        self.leave(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order in which these go, `now` milliseconds after the beginning: each with what it has sent, and since when.
    fn order(seats: &[(&'static str, Rank, u64)], now: u64) -> Vec<&'static str> {
        let began = Instant::now();
        let at = |millis| began + Duration::from_millis(millis);
        let mut lobby = Lobby::default();
        let mut endings: Vec<_> = (seats.iter())
            .map(|(name, rank, since)| {
                let (sender, ending) = oneshot::channel();
                lobby.enter(*rank, at(*since), at(10_000 - since), sender);
                (*name, ending)
            })
            .collect();
        let mut order = Vec::new();
        while let Some(ending) = lobby.evict(at(now)) {
            ending.send(Ending::Evicted).unwrap();
            let gone = endings.iter_mut().position(|(_, ending)| ending.try_recv().is_ok());
            order.push(endings.remove(gone.unwrap()).0);
        }
        assert!(lobby.seats.is_empty() && lobby.by_due.is_empty() && endings.is_empty());
        order
    }

    #[test]
    fn who_loses_least_goes_first_and_newcomers_last() {
        use Rank::{Begun, Idle, Silent};

        let seats = [
            ("begun long ago", Begun, 0),
            ("silent for long", Silent, 100),
            ("silent as long", Silent, 200),
            ("idle for long", Idle, 300),
            ("newcomer that has begun", Begun, 4_000),
            ("newcomer", Silent, 4_100),
            ("newest, has begun", Begun, 4_200),
            ("idle for a moment", Idle, 4_300),
        ];
        let expected = [
            "idle for long",
            "idle for a moment",
            "silent for long",
            "silent as long",
            "begun long ago",
            "newcomer that has begun",
            "newcomer",
            "newest, has begun",
        ];
        assert_eq!(order(&seats, 4_500), expected);
    }

    #[test]
    fn a_place_changes_with_what_was_sent() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut lobby = Lobby::default();
        let mut enter = |rank, due| {
            let (sender, ending) = oneshot::channel();
            (lobby.enter(rank, at(0), at(due), sender), ending)
        };
        let (idle, mut idle_ending) = enter(Rank::Idle, 75);
        let (_silent, mut silent_ending) = enter(Rank::Silent, 30);
        assert_eq!(lobby.first_due(), Some(at(30)));
        lobby.begin(idle, at(5));
        assert!(lobby.set_due(idle, at(10)));
        assert_eq!(lobby.first_due(), Some(at(10)));
        assert!(lobby.pop_overdue(at(9)).is_none());
        lobby.evict(at(5)).unwrap().send(Ending::Evicted).unwrap();
        assert!(silent_ending.try_recv().is_ok());
        lobby.pop_overdue(at(10)).unwrap().send(Ending::TimedOut).unwrap();
        assert!(idle_ending.try_recv().is_ok());
        assert!(!lobby.set_due(idle, at(20)));
        let (sender, mut last_ending) = oneshot::channel();
        lobby.enter(Rank::Idle, at(0), at(75), sender);
        drop(lobby.clear());
        assert_eq!(last_ending.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(lobby.enter(Rank::Idle, at(0), at(75), oneshot::channel().0), 4);
        assert!(lobby.evict(at(20)).is_some());
        assert!(lobby.evict(at(20)).is_none());
    }
}
