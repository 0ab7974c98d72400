use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::event::Event;

type Outcome = Result<Snapshot, Box<dyn Error + Send + Sync>>;

/// A snapshot that the application is making: it may await its database.
pub(crate) type PendingSnapshot = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// The current state that a subscription's topics are about, as events.
///
/// See [`Subscribe::snapshot`](crate::Subscribe::snapshot).
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub(crate) events: Vec<Event>,
}

impl Snapshot {
    /// A snapshot of these events, sent in this order. Ids that they carry are left out.
    pub fn new(events: impl IntoIterator<Item = Event>) -> Self {
        Self { events: events.into_iter().collect() }
    }
}

/// The application's function that makes snapshots.
#[derive(Clone)]
pub(crate) struct SnapshotHook(Arc<dyn Fn() -> PendingSnapshot + Send + Sync>);

impl SnapshotHook {
    pub(crate) fn new<F, Fut>(hook: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Outcome> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(hook())))
    }

    pub(crate) fn call(&self) -> PendingSnapshot {
        (self.0)()
    }
}

impl fmt::Debug for SnapshotHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SnapshotHook")
    }
}
