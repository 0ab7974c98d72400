use std::time::Duration;

/// How long clients are told to wait before they connect again, unless set: 3 seconds.
pub const DEFAULT_RETRY: Duration = Duration::from_secs(3);

/// A delay with a jitter of ±20 %, so that clients that lost their server at one moment do not come back at one moment.
pub(crate) fn jittered(delay: Duration) -> Duration {
    // Half of what a duration can hold, so that 20 % more is a duration, too.
    delay.min(Duration::MAX / 2).mul_f64(0.8 + 0.4 * fastrand::f64())
}
