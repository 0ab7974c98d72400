/// How many numbers back a late one is still told from a repeated one.
const WINDOW: u64 = u128::BITS as u64;

/// What a number is to the numbers before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The first one, or the first one after a restart.
    First,
    /// Greater than all before; so many between were left out.
    Ahead(u64),
    /// Smaller than one before, and new.
    Late,
    /// It was there already.
    Repeated,
}

/// Numbers that should come once, in increasing order. It holds the newest one, and which of the
/// 128 before it have come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Track {
    /// One more than the newest number; 0 while there is none.
    next: u64,
    /// Bit `i`: number `next - 1 - i` has come.
    seen: u128,
    /// What `next` was before the last restart.
    before: u64,
}

impl Track {
    pub(crate) fn step(&mut self, number: u64) -> Step {
        if self.next == 0 {
            (self.next, self.seen) = (number.saturating_add(1), 1);
            return Step::First;
        }
        if number >= self.next {
            let skipped = number - self.next;
            self.seen = match skipped {
                0..127 => self.seen << (skipped + 1) | 1,
                _ => 1,
            };
            self.next = number.saturating_add(1);
            return Step::Ahead(skipped);
        }
        let back = self.next - 1 - number;
        // What comes from further back has, practically, been here: a replay from the wrong place.
        if back >= WINDOW || self.seen >> back & 1 == 1 {
            return Step::Repeated;
        }
        self.seen |= 1 << back;
        Step::Late
    }

    /// The newest number.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.next.checked_sub(1)
    }

    /// Forgets what has come, but for how far it went.
    pub(crate) fn restart(&mut self) {
        *self = Self { before: self.before.max(self.next), ..Self::default() };
    }

    /// Whether the number is one that may have come before the last restart.
    pub(crate) fn is_from_before(&self, number: u64) -> bool {
        number < self.before
    }

    /// How many numbers lie between the last one before the restart, if there was one, and this.
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
    fn a_number_of_every_kind_is_told() {
        let mut track = Track::default();
        assert_eq!(track.step(10), Step::First);
        assert_eq!(track.step(11), Step::Ahead(0));
        assert_eq!(track.step(14), Step::Ahead(2));
        assert_eq!(track.step(12), Step::Late);
        assert_eq!(track.step(12), Step::Repeated);
        assert_eq!(track.step(14), Step::Repeated);
        assert_eq!(track.step(9), Step::Late);
        assert_eq!(track.step(1000), Step::Ahead(985));
        assert_eq!(track.newest(), Some(1000));
    }

    #[test]
    fn a_restart_remembers_how_far_it_went() {
        let mut track = Track::default();
        assert_eq!(track.since_before(5), 0);
        track.step(10);
        track.restart();
        assert!(track.is_from_before(10) && !track.is_from_before(11));
        assert_eq!(track.since_before(13), 2);
        assert_eq!(track.step(4), Step::First);
    }

    proptest! {
        #[test]
        fn within_the_window_it_agrees_with_a_set(
            numbers in prop::collection::vec(0_u64..120, 1..60)
        ) {
            let mut track = Track::default();
            let mut seen = HashSet::new();
            let mut newest = None;
            for number in numbers {
                let expected = match newest {
                    None => Step::First,
                    Some(newest) if number > newest => Step::Ahead(number - newest - 1),
                    _ if seen.contains(&number) => Step::Repeated,
                    _ => Step::Late,
                };
                prop_assert_eq!(track.step(number), expected);
                seen.insert(number);
                newest = newest.max(Some(number));
            }
        }
    }
}
