//! How many entries to ask for at a time.

/// Redis limits answers by the number of entries; this keeps them to a useful number of bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchSize(usize);

impl Default for BatchSize {
    fn default() -> Self {
        Self(64)
    }
}

impl BatchSize {
    const LARGEST: usize = 2_048;
    /// After an answer below this size, the next may be larger.
    const SMALL: usize = 256 << 10;
    /// An answer above this size is too large.
    const LARGE: usize = 1 << 20;

    pub(crate) fn entries(self) -> usize {
        self.0
    }

    /// An answer had this many entries and bytes.
    pub(crate) fn seen(&mut self, entries: usize, bytes: usize) {
        if bytes > Self::LARGE {
            self.smaller();
        } else if entries >= self.0 && bytes < Self::SMALL {
            self.0 = (self.0 * 2).min(Self::LARGEST);
        }
    }

    /// After an answer that did not come in time, perhaps because it was too large.
    pub(crate) fn smaller(&mut self) {
        self.0 = (self.0 / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_events_are_asked_for_in_large_batches_and_large_ones_in_small() {
        let mut size = BatchSize::default();
        for _ in 0..10 {
            size.seen(size.entries(), size.entries() * 100);
        }
        assert_eq!(size.entries(), BatchSize::LARGEST);
        for _ in 0..20 {
            size.seen(size.entries(), size.entries() << 20);
        }
        assert_eq!(size.entries(), 1);
        // An answer with fewer entries than asked for tells nothing.
        size.seen(0, 0);
        assert_eq!(size.entries(), 1);
        size.smaller();
        assert_eq!(size.entries(), 1);
    }
}
