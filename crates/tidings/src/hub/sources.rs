//! How much a source may publish: a token bucket for each.

use std::sync::Arc;

use crate::sync::{HashMap, Mutex};

/// Publications of one source: so many a second, and so many at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) a_second: u32,
    pub(crate) burst: u32,
}

/// The sources that have published lately, each with its bucket.
#[derive(Debug, Default)]
pub(crate) struct Sources(Mutex<HashMap<Arc<str>, Bucket>>);

#[derive(Debug)]
struct Bucket {
    /// Thousandths of publications that the source may make. Below zero if other nodes have let it publish meanwhile.
    tokens: i64,
    /// When that was, in milliseconds of the hub's clock.
    at: u64,
    /// What was published here since the other nodes were told.
    untold: u32,
}

impl Bucket {
    const TOKEN: i64 = 1_000;

    fn full(rate: Rate, now: u64) -> Self {
        Self { tokens: i64::from(rate.burst) * Self::TOKEN, at: now, untold: 0 }
    }

    fn fill(&mut self, rate: Rate, now: u64) {
        let passed = i64::try_from(now.saturating_sub(self.at)).unwrap_or(i64::MAX);
        // A token is a thousand, and a second is a thousand milliseconds.
        let more = passed.saturating_mul(i64::from(rate.a_second));
        self.tokens = self.tokens.saturating_add(more).min(i64::from(rate.burst) * Self::TOKEN);
        self.at = now;
    }

    fn is_full(&self, rate: Rate) -> bool {
        self.tokens >= i64::from(rate.burst) * Self::TOKEN
    }
}

impl Sources {
    /// Whether a source may publish once more, which is then counted, and told to the other nodes if there are any.
    pub(crate) fn admit(&self, source: &Arc<str>, rate: Rate, now: u64, is_told: bool) -> bool {
        let mut sources = self.0.lock();
        let bucket = bucket_of(&mut sources, source.clone(), rate, now);
        let is_admitted = bucket.tokens >= Bucket::TOKEN;
        if is_admitted {
            bucket.tokens -= Bucket::TOKEN;
            bucket.untold += u32::from(is_told);
        }
        is_admitted
    }

    /// What was published here since the last call, for the other nodes: at most so many sources, the others next time.
    pub(crate) fn take_untold(&self, most: usize) -> Vec<(String, u32)> {
        let mut sources = self.0.lock();
        let untold = sources.iter_mut().filter(|(_, bucket)| bucket.untold > 0);
        let take = |(source, bucket): (&Arc<str>, &mut Bucket)| {
            (source.to_string(), std::mem::take(&mut bucket.untold))
        };
        untold.take(most).map(take).collect()
    }

    /// Another node has let a source publish.
    pub(crate) fn published_elsewhere(&self, source: &str, count: u32, rate: Rate, now: u64) {
        let mut sources = self.0.lock();
        let bucket = bucket_of(&mut sources, source.into(), rate, now);
        // No deeper than what another burst costs, whatever a node says.
        let deepest = -i64::from(rate.burst) * Bucket::TOKEN;
        bucket.tokens = (bucket.tokens - i64::from(count) * Bucket::TOKEN).max(deepest);
    }
}

/// With more sources than these, the other nodes are not told of all of them.
const MOST_TOLD: usize = 100_000;

/// A source's bucket as it is now.
fn bucket_of(
    sources: &mut HashMap<Arc<str>, Bucket>,
    source: Arc<str>,
    rate: Rate,
    now: u64,
) -> &mut Bucket {
    // A full bucket is as good as none, when the other nodes were told.
    if sources.len() == sources.capacity() {
        let are_told = sources.len() < MOST_TOLD;
        sources.retain(|_, bucket| {
            bucket.fill(rate, now);
            !bucket.is_full(rate) || are_told && bucket.untold > 0
        });
    }
    let bucket = sources.entry(source).or_insert_with(|| Bucket::full(rate, now));
    bucket.fill(rate, now);
    bucket
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { a_second: 10, burst: 3 };

    /// How many of ten publications are admitted.
    fn admitted(sources: &Sources, source: &str, now: u64) -> usize {
        let source = Arc::from(source);
        (0..10).filter(|_| sources.admit(&source, RATE, now, true)).count()
    }

    #[test]
    fn a_source_has_a_burst_and_then_its_rate() {
        let sources = Sources::default();
        assert_eq!(admitted(&sources, "a", 1_000), 3);
        assert_eq!(admitted(&sources, "b", 1_000), 3, "each has its own");
        assert_eq!(admitted(&sources, "a", 1_099), 0);
        assert_eq!(admitted(&sources, "a", 1_100), 1);
        assert_eq!(admitted(&sources, "a", 1_350), 2);
        assert_eq!(admitted(&sources, "a", 60_000), 3, "no more is saved up than the burst");
    }

    #[test]
    fn what_is_published_elsewhere_counts_here() {
        let (here, there) = (Sources::default(), Sources::default());
        assert_eq!(admitted(&here, "a", 1_000), 3);
        for (source, count) in here.take_untold(100) {
            there.published_elsewhere(&source, count, RATE, 1_000);
        }
        assert!(here.take_untold(100).is_empty(), "told once");
        assert_eq!(admitted(&there, "a", 1_000), 0);
        assert_eq!(admitted(&there, "a", 1_100), 1);
    }

    #[test]
    fn sources_that_rest_are_forgotten() {
        let sources = Sources::default();
        for n in 0..10_000_u64 {
            let source = Arc::from(n.to_string());
            sources.admit(&source, RATE, n * 100, false);
        }
        assert!(sources.0.lock().capacity() < 100);
    }

    #[test]
    fn sources_that_rest_are_forgotten_though_there_are_too_many_to_tell_of() {
        let sources = Sources::default();
        for second in 0..60_u64 {
            for n in 0..10_000_u64 {
                let source = Arc::from(format!("{second} {n}"));
                assert!(sources.admit(&source, RATE, second * 1_000 + n / 10, true));
            }
            assert!(!sources.take_untold(1_000).is_empty());
        }
        assert!(sources.0.lock().capacity() < 3 * MOST_TOLD);
    }

    #[test]
    fn sources_that_publish_elsewhere_only_and_rest_are_forgotten() {
        let sources = Sources::default();
        for n in 0..10_000_u64 {
            sources.published_elsewhere(&n.to_string(), 1, RATE, n * 100);
        }
        assert!(sources.0.lock().capacity() < 100);
    }
}
