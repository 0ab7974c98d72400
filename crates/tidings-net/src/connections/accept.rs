use std::io;
use std::time::Duration;

use tidings::ServerEvent;

use super::{Connections, Ending, NO_FILES, now};
use crate::hubs::CONNECTION;
use crate::{Io, Listener, Reception};

impl Connections {
    /// The next connection that there is room for, with its place in the lobby.
    ///
    /// It may be cancelled. While it waits, it ends what has been in the lobby for too long, so it must be called again
    /// and again.
    pub async fn accept<L: Listener>(&self, listener: &mut L) -> (L::Io, L::Addr, Reception) {
        /// How long to wait when there is no memory left for a connection.
        const PAUSE: Duration = Duration::from_millis(100);

        loop {
            // Before anything else takes the file.
            self.shared.state().keep_spare();
            let accepted = tokio::select! {
                biased;
                accepted = listener.accept() => accepted,
                () = self.wait_for_overdue() => {
                    self.end_overdue();
                    continue;
                }
            };
            // Under a storm of connections, it need not wait.
            self.end_overdue();
            match accepted {
                Ok((io, addr)) => {
                    if let Some(reception) = self.admit_accepted::<L>(&io, &addr, false) {
                        listener.prepare_connection(&io, self.limits());
                        return (io, addr, reception);
                    }
                }
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) if is_out_of_files(&error) => {
                    if let Some(accepted) = self.accept_without_files(listener).await {
                        listener.prepare_connection(&accepted.0, self.limits());
                        return accepted;
                    }
                }
                Err(error) => {
                    tracing::warn!(target: CONNECTION, %error, "no connection can be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// A place in the lobby for a connection that was accepted; `None` if there is no room for it.
    fn admit_accepted<L: Listener>(
        &self,
        io: &L::Io,
        addr: &L::Addr,
        has_last_file: bool,
    ) -> Option<Reception> {
        let (named, own) = (L::socket_addr(addr), io.peer_addr());
        let mut reception = self.admit(named.or(own), has_last_file)?;
        reception.can_return = named == own;
        Some(reception)
    }

    /// Waits until the first place's time is up.
    async fn wait_for_overdue(&self) {
        let first = self.shared.state().lobby.first_due();
        let up = async {
            match first {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = up => {}
            () = self.shared.sooner.notified() => {}
        }
    }

    /// Ends what has been in the lobby for too long.
    fn end_overdue(&self) {
        let mut state = self.shared.state();
        let overdue: Vec<_> = std::iter::from_fn(|| state.lobby.pop_overdue(now())).collect();
        drop(state);
        for ending in overdue {
            self.hubs().report(ServerEvent::ConnectionTimedOut);
            let _ = ending.send(Ending::TimedOut);
        }
    }

    /// There is no file left for a connection that waits, if one does: the system does not look. It is accepted with the
    /// spare file. Something in the lobby makes room for it; or else it is closed at once, so that its client need not wait.
    async fn accept_without_files<L: Listener>(
        &self,
        listener: &mut L,
    ) -> Option<(L::Io, L::Addr, Reception)> {
        /// How long evicted connections may take to close.
        const PAUSE: Duration = Duration::from_millis(10);

        let spare = self.shared.state().spare.take();
        if spare.is_none() {
            // What was evicted has not closed yet; or somebody else has taken the file, and another must go for it.
            tokio::time::sleep(PAUSE).await;
            self.shared.state().keep_spare();
            let has_none = self.shared.state().spare.is_none();
            if has_none && !self.evict() {
                // Without a file, it cannot even be closed.
                self.is_full(NO_FILES, self.count());
                if !std::mem::replace(&mut self.shared.state().has_refused, true) {
                    self.refuse();
                }
            }
            return None;
        }
        drop(spare);
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted.ok(),
            () = std::future::ready(()) => None,
        };
        accepted.and_then(|(io, addr)| {
            let reception = self.admit_accepted::<L>(&io, &addr, true)?;
            Some((io, addr, reception))
        })
    }
}

/// Whether accepting has failed because of that one connection.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};

    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Whether the process, or the system, has no more files.
fn is_out_of_files(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
    }
    #[cfg(not(unix))]
    {
        let _ = error;
        false
    }
}
