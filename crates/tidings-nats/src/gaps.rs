//! Where a read has found nothing.

use std::collections::HashMap;

use parking_lot::Mutex;

/// Where there are no messages of a subject. The server answers a question with the next message, wherever that is; what lies
/// before it need not be asked for again, which would bring the same message each time.
///
/// Parts are read in order, forwards or backwards. So of each subject the gap that begins first and the one that ends last are
/// all that is of use.
#[derive(Debug, Default)]
pub(crate) struct Gaps(Mutex<HashMap<String, [Gap; 2]>>);

#[derive(Debug, Clone, Copy)]
struct Gap {
    after: u64,
    /// The position of the first message after it.
    next: u64,
}

impl Gaps {
    /// Keeps what was found: the first message of a subject after a position, by its own; `None` if there is none.
    pub(crate) fn learn(&self, subject: &str, after: u64, next: Option<u64>) {
        let gap = Gap { after, next: next.unwrap_or(u64::MAX) };
        let mut gaps = self.0.lock();
        let Some([first, last]) = gaps.get_mut(subject) else {
            gaps.insert(subject.to_owned(), [gap; 2]);
            return;
        };
        if gap.after < first.after {
            *first = gap;
        }
        if gap.next > last.next {
            *last = gap;
        }
    }

    /// Whether some of these subjects may have a message in a part, after its beginning and up to its end.
    pub(crate) fn is_open(&self, subjects: &[String], (after, to): (u64, u64)) -> bool {
        subjects.iter().any(|subject| !self.cover(subject, after, to))
    }

    /// Whether it is known that a subject has no message after a position and up to another.
    pub(crate) fn cover(&self, subject: &str, after: u64, to: u64) -> bool {
        let is_covered = |gap: &Gap| gap.after <= after && to < gap.next;
        self.0.lock().get(subject).is_some_and(|gaps| gaps.iter().any(is_covered))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_before_the_next_message_is_covered() {
        let gaps = Gaps::default();
        assert!(!gaps.cover("a", 0, 16));
        gaps.learn("a", 10, Some(100));
        assert!(gaps.cover("a", 10, 99) && gaps.cover("a", 20, 30));
        assert!(!gaps.cover("a", 9, 30), "there may be one at 10");
        assert!(!gaps.cover("a", 20, 100), "there is one at 100");
        assert!(!gaps.cover("b", 20, 30));
        gaps.learn("b", 20, None);
        assert!(gaps.cover("b", 20, u64::MAX - 1));
    }

    #[test]
    fn forwards_the_gap_that_ends_last_is_kept() {
        let gaps = Gaps::default();
        for after in 0..1_000 {
            gaps.learn("a", after, Some(after + 1));
        }
        gaps.learn("a", 1_000, Some(5_000));
        gaps.learn("a", 500, Some(900));
        assert!(gaps.cover("a", 1_500, 4_999));
        gaps.learn("a", 5_000, Some(9_000));
        assert!(gaps.cover("a", 6_000, 8_000));
    }

    #[test]
    fn backwards_the_gap_that_begins_first_is_kept() {
        let gaps = Gaps::default();
        gaps.learn("a", 0, Some(5_000));
        for after in (5_000..9_000).rev() {
            gaps.learn("a", after, Some(after + 1));
        }
        assert!(gaps.cover("a", 100, 4_999));
    }
}
