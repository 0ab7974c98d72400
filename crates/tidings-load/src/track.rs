/// A late number is told from a repeated one if it is no further back than this.
const WINDOW: u64 = u128::BITS as u64;

/// How a number relates to those that came earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The first one, or the first one after a restart.
    First,
    /// Greater than all others, with as many left out in between.
    Ahead(u64),
    /// Smaller than another one, and new.
    Late,
    /// New, and smaller than the first one, by this much.
    Earlier(u64),
    /// It has come already.
    Repeated,
}

/// Numbers that should come once, in increasing order. It holds the newest one, and which of the
/// previous 128 have come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Track {
    /// One more than the newest number; 0 while there is none.
    next: u64,
    /// The number that came first since the last restart.
    first: u64,
    /// Bit `i`: number `next - 1 - i` has come.
    seen: u128,
    /// What `next` was before the last restart.
    before: u64,
}

impl Track {
    pub(crate) fn record(&mut self, number: u64) -> Arrival {
        if self.next == 0 {
            (self.first, self.next, self.seen) = (number, number.saturating_add(1), 1);
            return Arrival::First;
        }
        if number >= self.next {
            let skipped = number - self.next;
            self.seen = match skipped {
                0..127 => self.seen << (skipped + 1) | 1,
                _ => 1,
            };
            self.next = number.saturating_add(1);
            return Arrival::Ahead(skipped);
        }
        let back = self.next - 1 - number;
        // A number from further back has almost certainly come: a replay from the wrong position.
        if back >= WINDOW || self.seen >> back & 1 == 1 {
            return Arrival::Repeated;
        }
        self.seen |= 1 << back;
        match number < self.first {
            true => Arrival::Earlier(self.first - number),
            false => Arrival::Late,
        }
    }

    /// Whether no number that has come since the last restart is as great.
    pub(crate) fn is_new(&self, number: u64) -> bool {
        number >= self.next
    }

    /// Forgets which numbers have come, except how far they went.
    pub(crate) fn restart(&mut self) {
        *self = Self { before: self.before.max(self.next), ..Self::default() };
    }

    /// Whether the number may have come before the last restart.
    pub(crate) fn is_from_before(&self, number: u64) -> bool {
        number < self.before
    }

    /// How many numbers lie between the last one before the restart, if there was a restart, and this.
    pub(crate) fn since_before(&self, number: u64) -> u64 {
        if self.before == 0 { 0 } else { number.saturating_sub(self.before) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_kind_of_arrival_is_recognized() {
        let mut track = Track::default();
        assert_eq!(track.record(10), Arrival::First);
        assert!(track.is_new(11) && !track.is_new(10));
        assert_eq!(track.record(11), Arrival::Ahead(0));
        assert_eq!(track.record(14), Arrival::Ahead(2));
        assert_eq!(track.record(12), Arrival::Late);
        assert_eq!(track.record(12), Arrival::Repeated);
        assert_eq!(track.record(14), Arrival::Repeated);
        assert_eq!(track.record(9), Arrival::Earlier(1));
        assert_eq!(track.record(1000), Arrival::Ahead(985));
    }

    #[test]
    fn a_restart_remembers_how_far_it_went() {
        let mut track = Track::default();
        assert_eq!(track.since_before(5), 0);
        track.record(10);
        track.restart();
        assert!(track.is_from_before(10) && !track.is_from_before(11));
        assert_eq!(track.since_before(13), 2);
        assert_eq!(track.record(4), Arrival::First);
    }

    proptest! {
        #[test]
        fn within_the_window_it_agrees_with_a_set(
            numbers in prop::collection::vec(0_u64..120, 1..60)
        ) {
            let mut track = Track::default();
            let mut seen = HashSet::new();
            let mut newest = None;
            let first = numbers[0];
            for number in numbers {
                let expected = match newest {
                    None => Arrival::First,
                    Some(newest) if number > newest => Arrival::Ahead(number - newest - 1),
                    _ if seen.contains(&number) => Arrival::Repeated,
                    _ if number < first => Arrival::Earlier(first - number),
                    _ => Arrival::Late,
                };
                prop_assert_eq!(track.record(number), expected);
                seen.insert(number);
                newest = newest.max(Some(number));
            }
        }
    }
}
