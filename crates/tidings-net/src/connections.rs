mod lobby;
mod permit;
mod place;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tidings::ServerEvent;
use tokio::sync::{Notify, oneshot};

use crate::{Hubs, Limits, Listener, Options, Reception};
use lobby::Lobby;
pub(crate) use lobby::Rank;
use permit::Holder;
pub use permit::{AddressPermit, Permit, TooMany};
pub(crate) use place::Place;

/// The connections of a server: accepts them, counts them, and refuses or evicts what is too much.
///
/// Clones are the same connections.
#[derive(Debug, Clone)]
pub struct Connections {
    shared: Arc<Shared>,
    /// What all permits share that do not count for an address.
    plain: Arc<Holder>,
}

#[derive(Debug)]
struct Shared {
    limits: Limits,
    hubs: Hubs,
    /// How long a newcomer has until its first head; or, with TLS, until the end of the handshake.
    first_timeout: Option<Duration>,
    most: usize,
    open: AtomicUsize,
    /// How many connections were open when one had to go or was refused; 0 once there is room again.
    full_at: AtomicUsize,
    /// A place's time is up sooner than was known.
    sooner: Notify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    lobby: Lobby,
    addresses: HashMap<IpAddr, usize>,
    /// A file that is given up to accept a connection when there is no other.
    spare: Option<File>,
}

impl State {
    fn keep_spare(&mut self) {
        if self.spare.is_none() {
            self.spare = File::open(if cfg!(windows) { "NUL" } else { "/dev/null" }).ok();
        }
    }
}

/// Why a connection ends in the lobby.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    TimedOut,
    Evicted,
}

impl Connections {
    /// None yet, with the limits of these options.
    pub fn new(options: &Options) -> Self {
        let limits = options.limits.clone();
        let has_tls = options.tls.is_some();
        let shared = Arc::new(Shared {
            first_timeout: if has_tls { limits.handshake_timeout } else { limits.head_timeout },
            most: limits.connections.unwrap_or_else(default_most),
            hubs: options.hubs.clone(),
            open: AtomicUsize::new(0),
            full_at: AtomicUsize::new(0),
            sooner: Notify::new(),
            state: Mutex::default(),
            limits,
        });
        let plain = Arc::new(Holder {
            shared: shared.clone(),
            address: None,
            client: None,
            is_of_request: false,
        });
        Self { shared, plain }
    }

    /// The limits.
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// The hubs that are told what happens.
    pub fn hubs(&self) -> &Hubs {
        &self.shared.hubs
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }

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
                    if let Some(reception) = self.admit(L::socket_addr(&addr)) {
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
                    tracing::warn!(%error, "no connection can be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// A place in the lobby for a connection whose response has ended: it may be idle.
    pub fn readmit(&self, mut permit: Permit) -> Reception {
        if permit.0.as_ref().is_some_and(|holder| holder.is_of_request) {
            permit.0 = Some(self.plain.clone());
        }
        let place = self.place(Rank::Idle, now(), self.limits().idle_timeout);
        Reception::new(self.clone(), permit, place, None, true)
    }

    /// Ends all connections in the lobby.
    pub fn close_lobby(&self) {
        let lobby = std::mem::take(&mut self.shared.state().lobby);
        drop(lobby);
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

    /// A newcomer's place in the lobby; `None` if there is no room for it.
    fn admit(&self, client: Option<SocketAddr>) -> Option<Reception> {
        let open = self.shared.open.load(Ordering::Relaxed);
        let full_at = self.shared.full_at.load(Ordering::Relaxed);
        if full_at > 0 && open < full_at - full_at / 16 {
            self.shared.full_at.store(0, Ordering::Relaxed);
        }
        if open >= self.shared.most {
            self.is_full("the limit of connections is reached", open);
            if !self.evict() {
                self.refuse();
                return None;
            }
        }
        let trusted = client.is_some_and(|client| self.limits().is_proxy(client.ip()));
        let permit = match client.filter(|_| !trusted) {
            Some(client) => match self.permit(client) {
                Some(permit) => permit,
                None => {
                    self.refuse();
                    return None;
                }
            },
            None => self.plain_permit(),
        };
        let place = self.place(Rank::Silent, now(), self.shared.first_timeout);
        Some(Reception::new(self.clone(), permit, place, client, false))
    }

    fn plain_permit(&self) -> Permit {
        self.shared.open.fetch_add(1, Ordering::Relaxed);
        Permit(Some(self.plain.clone()))
    }

    /// The permit of a connection from this address; `None` if the address has too many.
    fn permit(&self, client: SocketAddr) -> Option<Permit> {
        let mut permit = self.plain_permit();
        if self.limits().connections_per_address.is_some() {
            let address = self.count_address(client.ip())?;
            permit.set_holder(Holder {
                shared: self.shared.clone(),
                address: Some(address),
                client: None,
                is_of_request: false,
            });
        }
        Some(permit)
    }

    /// Counts a request for the address that its proxy named, if that is limited.
    ///
    /// # Errors
    ///
    /// If the address has too many connections: the request must be refused.
    pub fn admit_address(&self, addr: IpAddr) -> Result<Option<AddressPermit>, TooMany> {
        if self.limits().connections_per_address.is_none() {
            return Ok(None);
        }
        self.count_address(addr).map(Some).ok_or_else(|| {
            self.refuse();
            TooMany(())
        })
    }

    /// Counts something for an address; `None` if it has too much.
    fn count_address(&self, addr: IpAddr) -> Option<AddressPermit> {
        let most = self.limits().connections_per_address.unwrap_or(usize::MAX);
        let addr = network_of(addr);
        let mut state = self.shared.state();
        let count = state.addresses.entry(addr).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(AddressPermit { shared: self.shared.clone(), addr })
    }

    /// A place in the lobby for a connection that waits since then, and may wait for so long from now on.
    pub(crate) fn place(&self, rank: Rank, since: Instant, timeout: Option<Duration>) -> Place {
        let (sender, ending) = oneshot::channel();
        let number = self.shared.state().lobby.enter(rank, since, due_in(timeout), sender);
        Place { shared: self.shared.clone(), number, ending }
    }

    /// Ends the connection in the lobby that must go first. Returns whether there was one.
    fn evict(&self) -> bool {
        let first = self.shared.state().lobby.evict(now());
        let Some(ending) = first else {
            return false;
        };
        self.hubs().report(ServerEvent::ConnectionEvicted);
        let _ = ending.send(Ending::Evicted);
        true
    }

    pub(crate) fn refuse(&self) {
        self.hubs().report(ServerEvent::ConnectionRefused);
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
            if self.shared.state().spare.is_none() {
                self.evict();
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
            self.is_full("there are no files left for connections", self.count());
            if !self.evict() {
                self.refuse();
                return None;
            }
            let reception = self.admit(L::socket_addr(&addr))?;
            Some((io, addr, reception))
        })
    }

    /// Warns once, until there is room again.
    fn is_full(&self, why: &str, open: usize) {
        if self.shared.full_at.swap(open.max(1), Ordering::Relaxed) == 0 {
            tracing::warn!(open, "{why}: those without a request make room for others");
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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

/// The process's limit of files, less what it needs for other things.
fn default_most() -> usize {
    #[cfg(unix)]
    if let Some(files) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        let files = usize::try_from(files).unwrap_or(usize::MAX);
        return files - (files / 8).min(1024);
    }
    usize::MAX
}

/// When time is up that begins now.
fn due_in(timeout: Option<Duration>) -> Instant {
    /// As good as never.
    const NEVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

    now() + timeout.unwrap_or(NEVER)
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// What counts as one client: an IPv4 address, or a network of 64 bits of IPv6, which a provider gives to one customer.
fn network_of(addr: IpAddr) -> IpAddr {
    match addr.to_canonical() {
        IpAddr::V4(addr) => addr.into(),
        IpAddr::V6(addr) => Ipv6Addr::from_bits(addr.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::{TcpListener, TcpStream};

    fn connections(limits: Limits) -> Connections {
        Connections::new(&Options { limits, ..Options::default() })
    }

    #[test]
    fn a_permit_is_as_large_as_a_pointer() {
        assert_eq!(size_of::<Permit>(), size_of::<usize>());
    }

    #[cfg(unix)]
    #[test]
    fn by_default_there_are_fewer_connections_than_files() {
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let files = files.map_or(usize::MAX, |files| files as usize);
        let most = default_most();
        assert!(most >= files / 8 * 7 && (most < files || files < 8), "{most} of {files}");
    }

    #[test]
    fn an_address_of_ipv6_counts_with_its_network() {
        let connections = connections(Limits::default().connections_per_address(1));
        let addr = |text: &str| text.parse::<IpAddr>().unwrap();
        let one = connections.admit_address(addr("2001:db8::1")).unwrap();
        assert!(connections.admit_address(addr("2001:db8::2:1")).is_err());
        let _other = connections.admit_address(addr("2001:db8:0:1::1")).unwrap();
        let _v4 = connections.admit_address(addr("192.0.2.1")).unwrap();
        assert!(connections.admit_address(addr("::ffff:192.0.2.1")).is_err());
        drop(one);
        connections.admit_address(addr("2001:db8::2:1")).unwrap();
    }

    #[tokio::test]
    async fn connections_count_until_their_permits_are_dropped() {
        let connections = connections(Limits::default());
        let mut listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (_io, _, reception) = connections.accept(&mut listener).await;
        assert_eq!(connections.count(), 1);
        drop(reception);
        assert_eq!(connections.count(), 0);
    }
}
