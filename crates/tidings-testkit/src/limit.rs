//! Time limits. A test that waits for something that does not happen fails, and names the line.

use std::panic::Location;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

/// How long a test waits for anything. Generous: only failures reach it.
pub const LIMIT: Duration = Duration::from_secs(10);

/// Awaits a future within [`LIMIT`].
///
/// # Panics
///
/// After that time, with `what` was awaited and the line of the caller.
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

/// Waits for a condition that nothing announces, such as an empty registry.
///
/// # Panics
///
/// When the condition is not true within [`LIMIT`].
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
