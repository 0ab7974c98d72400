mod accept;
mod address;
mod lobby;
mod permit;
mod place;

use std::collections::HashMap;
use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tidings::ServerEvent;
use tokio::sync::{Notify, oneshot};

use crate::hubs::CONNECTION;
use crate::limits::NEVER;
use crate::{Hubs, Limits, Options, Reception};
pub use address::{AddressPermit, TooMany};
use lobby::Lobby;
pub(crate) use lobby::Rank;
use permit::Holder;
pub use permit::Permit;
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
    /// Whoever waits now was refused: there is no spare file, and nobody can go.
    has_refused: bool,
}

impl State {
    fn keep_spare(&mut self) {
        if self.spare.is_none() {
            self.spare = File::open(if cfg!(windows) { "NUL" } else { "/dev/null" }).ok();
        }
        self.has_refused &= self.spare.is_none();
    }
}

const NO_FILES: &str = "there are no files left for connections";

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

    /// A place in the lobby for a connection whose response has ended: it may be idle. `client` is the address of its other
    /// end, if it has one.
    pub fn readmit(&self, mut permit: Permit, client: Option<SocketAddr>) -> Reception {
        if permit.0.as_ref().is_some_and(|holder| holder.is_of_request) {
            permit.0 = Some(self.plain.clone());
        }
        let place = self.place(Rank::Idle, now(), self.limits().idle_timeout);
        Reception::new(self.clone(), permit, place, client, true)
    }

    /// Ends all connections in the lobby.
    pub fn close_lobby(&self) {
        let left = self.shared.state().lobby.clear();
        drop(left);
    }

    /// A newcomer's place in the lobby; `None` if there is no room for it. At the limit, or if it has the last file, another
    /// goes for it.
    fn admit(&self, client: Option<SocketAddr>, has_last_file: bool) -> Option<Reception> {
        let open = self.shared.open.load(Ordering::Relaxed);
        let full_at = self.shared.full_at.load(Ordering::Relaxed);
        if full_at > 0 && open < full_at - full_at / 16 {
            self.shared.full_at.store(0, Ordering::Relaxed);
        }
        let trusted = client.is_some_and(|client| self.limits().is_proxy(client.ip()));
        // Nobody goes for one that its own address has too many of.
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
        let full = match has_last_file {
            true => Some(NO_FILES),
            false => (open >= self.shared.most).then_some("the limit of connections is reached"),
        };
        if let Some(why) = full {
            self.is_full(why, open);
            if !self.evict() {
                self.refuse();
                return None;
            }
        }
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

    /// Warns once, until there is room again.
    fn is_full(&self, why: &str, open: usize) {
        if self.shared.full_at.swap(open.max(1), Ordering::Relaxed) == 0 {
            tracing::warn!(target: CONNECTION, open, "{why}: those without a request make room for others");
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
    now() + timeout.unwrap_or(NEVER)
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AnyIo, Io, Listener, Received};
    use tokio::io::{AsyncWrite, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    fn connections(limits: Limits) -> Connections {
        Connections::new(&Options { limits, ..Options::default() })
    }

    fn one_proxy() -> Limits {
        Limits::default().proxies([IpAddr::from([10, 0, 0, 1])])
    }

    /// What is known of a connection with its first head, which `client` sends.
    async fn received<IO: Io>(
        mut client: impl AsyncWrite + Unpin,
        (io, reception): (IO, Reception),
    ) -> Received<IO> {
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        reception.receive(io, bytes::Bytes::new()).await.unwrap()
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

    #[tokio::test]
    async fn nobody_goes_for_a_connection_that_its_own_address_has_too_many_of() {
        let connections = connections(Limits::default().connections_per_address(1));
        let client = |last: u8| Some(SocketAddr::from(([192, 0, 2, last], 5000)));
        let mut first = connections.place(Rank::Idle, now(), None);
        let _one = connections.admit(client(1), false).unwrap();
        assert!(connections.admit(client(1), true).is_none());
        assert!(first.ending.try_recv().is_err(), "it is still there");
        assert_eq!(connections.count(), 1);
        let _other = connections.admit(client(2), true).unwrap();
        assert_eq!(first.ending.try_recv(), Ok(Ending::Evicted));
    }

    #[tokio::test]
    async fn a_connection_of_tcp_has_an_address_whatever_its_listener_says() {
        struct Mine(TcpListener);

        impl Listener for Mine {
            type Io = TcpStream;
            type Addr = ();

            async fn accept(&mut self) -> std::io::Result<(TcpStream, ())> {
                Ok((TcpListener::accept(&self.0).await?.0, ()))
            }

            fn local_addr(&self) -> std::io::Result<()> {
                Ok(())
            }
        }

        let connections = connections(one_proxy());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let addr = client.local_addr().unwrap();
        let (io, (), reception) = connections.accept(&mut Mine(listener)).await;
        let received = received(client, (io, reception)).await;
        assert_eq!(received.client, Some(addr));
        assert!(!received.io.activity().is_of_proxy());
        assert!(!received.can_return, "nobody can make its address again");
    }

    #[tokio::test]
    async fn a_connection_whose_other_end_nobody_knows_is_no_proxys() {
        let connections = connections(one_proxy());
        let (client, io) = tokio::io::duplex(64);
        let reception = connections.admit(None, false).unwrap();
        let received = received(client, (AnyIo::new(io), reception)).await;
        assert!(!received.io.activity().is_of_proxy());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_unix_socket_is_a_proxys_if_there_are_any() {
        for (limits, expected) in [(Limits::default(), false), (one_proxy(), true)] {
            let connections = connections(limits);
            let (client, io) = tokio::net::UnixStream::pair().unwrap();
            let reception = connections.admit(None, false).unwrap();
            let received = received(client, (AnyIo::new(io), reception)).await;
            assert_eq!(received.io.activity().is_of_proxy(), expected);
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_proxy_on_a_unix_socket_says_who_its_client_is() {
        let path = std::env::temp_dir().join(format!("tidings-net-proxy-{}", std::process::id()));
        let limits = Limits::default().proxies([IpAddr::from([127, 0, 0, 1])]).proxy_protocol(true);
        let connections = connections(limits);
        let mut listener = tokio::net::UnixListener::bind(&path).unwrap();
        let header = "PROXY TCP4 192.0.2.7 127.0.0.1 5000 80\r\n";
        for (header, expected) in [(header, Some("192.0.2.7:5000")), ("", None)] {
            let mut proxy = tokio::net::UnixStream::connect(&path).await.unwrap();
            let first = format!("{header}GET / HTTP/1.1\r\nhost: a\r\n\r\n");
            proxy.write_all(first.as_bytes()).await.unwrap();
            let (io, _, reception) = connections.accept(&mut listener).await;
            let received = reception.receive(io, bytes::Bytes::new()).await.ok();
            let client = received.map(|received| received.client.unwrap().to_string());
            assert_eq!(client.as_deref(), expected);
        }
        std::fs::remove_file(&path).unwrap();
    }
}
