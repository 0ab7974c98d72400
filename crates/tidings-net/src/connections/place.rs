use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Ending, Shared, due_in, now};

/// A connection's place in the lobby, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    pub(super) shared: Arc<Shared>,
    pub(super) number: u64,
    pub(super) ending: oneshot::Receiver<Ending>,
}

impl Place {
    /// Waits until the connection must end. `None` if the server ends.
    pub(crate) fn poll_ending(&mut self, cx: &mut Context<'_>) -> Poll<Option<Ending>> {
        Pin::new(&mut self.ending).poll(cx).map(Result::ok)
    }

    /// Gives it this much time from now on.
    pub(crate) fn restart(&mut self, timeout: Option<Duration>) {
        let is_there = self.shared.state().lobby.set_due(self.number, due_in(timeout));
        if is_there {
            self.shared.sooner.notify_one();
        }
    }

    /// The connection has begun to send something.
    pub(crate) fn begin(&mut self) {
        self.shared.state().lobby.begin(self.number, now());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let ending = self.shared.state().lobby.leave(self.number);
        drop(ending);
    }
}
