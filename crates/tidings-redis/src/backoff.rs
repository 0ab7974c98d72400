//! The wait before the next attempt.

use std::time::Duration;

/// Exponential, from 50 ms to 2 s, with full jitter: each wait is random, between nothing and the bound, so that
/// nodes that have lost the same server do not come back to it together.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(2);

    fn bound(&self) -> Duration {
        (Self::FIRST * 2u32.saturating_pow(self.failures.min(16))).min(Self::LONGEST)
    }

    /// Waits after a failure.
    pub(crate) async fn wait(&mut self) {
        let wait = self.bound().mul_f64(fastrand::f64());
        self.failures = self.failures.saturating_add(1);
        tokio::time::sleep(wait).await;
    }

    /// After a success: the next failure is the first again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_bound_and_begin_again() {
        let mut backoff = Backoff::default();
        let bounds: Vec<_> = (0..8)
            .map(|failures| {
                backoff.failures = failures;
                backoff.bound().as_millis()
            })
            .collect();
        assert_eq!(bounds, [50, 100, 200, 400, 800, 1_600, 2_000, 2_000]);
        backoff.failures = u32::MAX;
        assert_eq!(backoff.bound(), Backoff::LONGEST);
        backoff.reset();
        assert_eq!(backoff.bound(), Backoff::FIRST);
    }
}
