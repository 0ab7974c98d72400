//! How many entries to ask for at a time.

/// Redis limits answers by the number of entries; this keeps them to a useful number of bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchSize(usize);

impl Default for BatchSize {
    /// One may be large already.
    fn default() -> Self {
        Self(1)
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
            // Not many times more, because the next may be larger.
            let more = (Self::SMALL / bytes.max(1)).clamp(2, 16);
            self.0 = (self.0 * more).min(Self::LARGEST);
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
    fn an_answer_soon_has_about_a_quarter_of_a_mebibyte() {
        for (bytes, asked) in [(1 << 20, [1, 1, 1]), (100_000, [1, 2, 4]), (10_000, [1, 16, 32])] {
            let mut size = BatchSize::default();
            let seen = asked.map(|_| {
                let entries = size.entries();
                size.seen(entries, entries * bytes);
                entries
            });
            assert_eq!(seen, asked, "of {bytes} bytes");
        }
    }

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
