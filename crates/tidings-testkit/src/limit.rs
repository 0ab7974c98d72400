//! Time limits: a test that waits for what never comes fails, and says where.

use std::panic::Location;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

/// How long anything may take that a test waits for. Generous: it is reached only in failure.
pub const LIMIT: Duration = Duration::from_secs(10);

/// Awaits, but not for longer than [`LIMIT`].
///
/// # Panics
///
/// When the time is over, with `what` was waited for and the line of the caller.
#[track_caller]
pub fn within<F: IntoFuture>(what: &str, future: F) -> impl Future<Output = F::Output> {
    within_at(Location::caller(), what, future)
}

/// As [`within`], on behalf of the line `caller`.
pub(crate) async fn within_at<F: IntoFuture>(
    caller: &Location<'_>,
    what: &str,
    future: F,
) -> F::Output {
    match timeout(LIMIT, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: not within {LIMIT:?}, at {caller}"),
    }
}

/// Waits until something is so that nothing announces, such as a registry that becomes empty.
///
/// # Panics
///
/// When it is not so within [`LIMIT`].
#[track_caller]
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) -> impl Future<Output = ()> {
    within_at(Location::caller(), what, async move {
        let mut look = interval(Duration::from_millis(2));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !is_so() {
            look.tick().await;
        }
    })
}
