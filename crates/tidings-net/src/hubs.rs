use std::sync::Arc;
use std::time::Duration;

use tidings::{Hub, ServerEvent};

/// The target of what is told through `tracing`: see the core's docs.
pub(crate) const CONNECTION: &str = "tidings::connection";

/// The hubs whose streams a server sends.
///
/// ```
/// use tidings::Hub;
/// use tidings_net::Hubs;
///
/// let (news, chat) = (Hub::new(), Hub::new());
/// let hubs = Hubs::from([&news, &chat]);
/// hubs.close();
/// assert!(news.is_closed() && chat.is_closed());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Hubs(Arc<Vec<Hub>>);

impl Hubs {
    /// Adds a hub.
    pub fn add(&mut self, hub: &Hub) {
        Arc::make_mut(&mut self.0).push(hub.clone());
    }

    /// How many streams they have open.
    pub(crate) fn streams(&self) -> usize {
        self.0.iter().map(|hub| hub.clients().count()).sum()
    }

    /// Whether one of them sends its streams away.
    pub fn is_draining(&self) -> bool {
        self.0.iter().any(Hub::is_draining)
    }

    /// [Drains](Hub::drain) each, all at the same time.
    pub async fn drain(&self, over: Duration) {
        let drains: Vec<_> = self.0.iter().map(|hub| hub.drain(over)).collect();
        for drain in drains {
            drain.await;
        }
    }

    /// Closes each, which ends its streams after the last published event.
    pub fn close(&self) {
        self.0.iter().for_each(Hub::close);
    }

    /// Sets for each whether its streams [end by a reset](Hub::end_streams_by_reset).
    pub(crate) fn end_streams_by_reset(&self, by_reset: bool) {
        self.0.iter().for_each(|hub| hub.end_streams_by_reset(by_reset));
    }

    /// Reports to each, for its metrics: a connection is not of one hub.
    pub fn report(&self, event: ServerEvent) {
        self.0.iter().for_each(|hub| hub.report(event));
    }
}

impl From<&Hub> for Hubs {
    fn from(hub: &Hub) -> Self {
        Self::from([hub])
    }
}

impl<const N: usize> From<[&Hub; N]> for Hubs {
    fn from(hubs: [&Hub; N]) -> Self {
        Self(Arc::new(hubs.into_iter().cloned().collect()))
    }
}
