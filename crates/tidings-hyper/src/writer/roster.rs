use std::num::NonZeroU32;

/// The streams that are sent their cohort's batches, by their keys.
///
/// While a batch is being sent, those that have it come first, and those that it is still due to
/// follow. A stream knows its index, so that it can leave; `moved` gets the key and the new index
/// of each stream that changes places with it.
#[derive(Debug, Default)]
pub(super) struct Roster {
    keys: Vec<u32>,
    served: usize,
}

/// An index of a roster, so that no index needs no room.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seat(NonZeroU32);

impl Seat {
    pub(super) fn at(index: u32) -> Self {
        Self(NonZeroU32::MIN.saturating_add(index))
    }

    pub(super) fn index(self) -> u32 {
        self.0.get() - 1
    }
}

impl Roster {
    /// All of them.
    pub(super) fn keys(&self) -> &[u32] {
        &self.keys
    }

    /// Begins a batch: it is due to all.
    pub(super) fn begin_batch(&mut self) {
        self.served = 0;
    }

    /// The first streams that the batch is due to, `most` at most.
    pub(super) fn due(&self, most: usize) -> &[u32] {
        let due = &self.keys[self.served..];
        &due[..due.len().min(most)]
    }

    /// Whether the batch is due to any stream.
    pub(super) fn is_due(&self) -> bool {
        self.served < self.keys.len()
    }

    /// The first streams that the batch was due to have it.
    pub(super) fn mark_served(&mut self, streams: usize) {
        self.served += streams;
    }

    /// Adds a stream that has the batch, if there is one. Returns its index.
    pub(super) fn join(&mut self, key: u32, mut moved: impl FnMut(u32, u32)) -> u32 {
        let index = self.served;
        let last = self.keys.len();
        self.keys.push(key);
        if index < last {
            self.keys.swap(index, last);
            moved(self.keys[last], last as u32);
        }
        self.served += 1;
        index as u32
    }

    /// Removes the stream at an index.
    pub(super) fn leave(&mut self, index: u32, mut moved: impl FnMut(u32, u32)) {
        let mut hole = index as usize;
        if hole < self.served {
            // The last one that has the batch takes its place, and leaves its own to one that has not.
            self.served -= 1;
            if hole < self.served {
                self.keys.swap(hole, self.served);
                moved(self.keys[hole], hole as u32);
                hole = self.served;
            }
        }
        self.keys.swap_remove(hole);
        if let Some(key) = self.keys.get(hole) {
            moved(*key, hole as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// A roster of the streams 0 to `size`, of which the first `served` have the batch.
    fn roster(size: u32, served: u32) -> (Roster, BTreeMap<u32, u32>) {
        let roster = Roster { keys: (0..size).collect(), served: served as usize };
        (roster, (0..size).map(|key| (key, key)).collect())
    }

    #[track_caller]
    fn assert_consistent(roster: &Roster, indices: &BTreeMap<u32, u32>, served: &[u32]) {
        assert_eq!(roster.keys.len(), indices.len());
        for (key, index) in indices {
            assert_eq!(roster.keys[*index as usize], *key, "{roster:?} {indices:?}");
        }
        let mut found = roster.keys[..roster.served].to_vec();
        found.sort_unstable();
        assert_eq!(found, served);
    }

    #[test]
    fn a_stream_may_leave_in_the_middle_of_a_batch() {
        for size in 1..=5 {
            for served in 0..=size {
                for leaving in 0..size {
                    let (mut roster, mut indices) = roster(size, served);
                    let index = indices.remove(&leaving).unwrap();
                    roster.leave(index, |key, index| _ = indices.insert(key, index));
                    let rest: Vec<_> = (0..served).filter(|key| *key != leaving).collect();
                    assert_consistent(&roster, &indices, &rest);
                }
            }
        }
    }

    #[test]
    fn a_stream_that_joins_in_the_middle_of_a_batch_has_it() {
        for size in 0..=5 {
            for served in 0..=size {
                let (mut roster, mut indices) = roster(size, served);
                let index = roster.join(9, |key, index| _ = indices.insert(key, index));
                indices.insert(9, index);
                let all: Vec<_> = (0..served).chain([9]).collect();
                assert_consistent(&roster, &indices, &all);
            }
        }
    }
}
