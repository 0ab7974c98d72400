use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Ending, PlaceKey, Shared, due_in};

/// A connection's place in the lobby, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    pub(super) shared: Arc<Shared>,
    pub(super) key: PlaceKey,
    pub(super) ending: oneshot::Receiver<Ending>,
}

impl Place {
    /// Waits until the connection must end. `None` if the server ends.
    pub(crate) fn poll_ending(&mut self, cx: &mut Context<'_>) -> Poll<Option<Ending>> {
        Pin::new(&mut self.ending).poll(cx).map(Result::ok)
    }

    /// Gives it this much time from now on.
    pub(crate) fn restart(&mut self, timeout: Option<Duration>) {
        let mut state = self.shared.state();
        if let Some(sender) = state.lobby.remove(&self.key) {
            self.key.0 = due_in(timeout);
            state.lobby.insert(self.key, sender);
            drop(state);
            self.shared.sooner.notify_one();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let place = self.shared.state().lobby.remove(&self.key);
        drop(place);
    }
}
