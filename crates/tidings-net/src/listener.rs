use std::any::Any;
use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};

use crate::{Io, Limits};

/// What a server listens on.
pub trait Listener: Send + 'static {
    /// A connection.
    type Io: Io;

    /// The address of an end.
    type Addr: Clone + Send + Sync + 'static;

    /// Accepts the next connection.
    ///
    /// It must be cancel-safe: servers drop the future again and again while they wait, and call it anew. So nothing may be
    /// awaited once a connection was taken, or that connection is lost; a handshake, for instance, belongs into the reads
    /// and writes of the connection.
    ///
    /// Errors are the system's. [`Connections`](crate::Connections) knows what to do with them: an error that is only of that
    /// one connection, no files, no memory.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Io, Self::Addr)>> + Send;

    /// The address that it listens on.
    ///
    /// # Errors
    ///
    /// The system's.
    fn local_addr(&self) -> io::Result<Self::Addr>;

    /// Prepares the listener before the first connection is accepted: its options, and the length of its queue. By default
    /// there is nothing to prepare.
    ///
    /// # Errors
    ///
    /// If the system refuses an option.
    fn prepare(&self, limits: &Limits) -> io::Result<()> {
        let _ = limits;
        Ok(())
    }

    /// Prepares a connection, for what it does not inherit from its listener. By default there is nothing to prepare. It
    /// fails if the connection is gone already, which its server will notice.
    fn prepare_connection(&self, io: &Self::Io, limits: &Limits) {
        let _ = (io, limits);
    }

    /// Makes a connection of this listener of a TCP connection that [`Io::into_tcp`] gave away, when its stream by the direct
    /// transport has ended. By default it does not, and the connection ends with the stream. So does one whose address
    /// is not known to be that of its socket, of which this must make it.
    fn from_tcp(socket: TcpStream) -> Option<(Self::Io, Self::Addr)> {
        let _ = socket;
        None
    }

    /// An address as that of a socket, if it is one. By default it is if its type is [`SocketAddr`]. If it is not, the
    /// connection has the address that [`Io::peer_addr`] says.
    fn socket_addr(addr: &Self::Addr) -> Option<SocketAddr> {
        (addr as &dyn Any).downcast_ref().copied()
    }
}

impl Listener for TcpListener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        TcpListener::accept(self).await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        TcpListener::local_addr(self)
    }

    fn prepare(&self, limits: &Limits) -> io::Result<()> {
        limits.apply(self)?;
        lengthen_queue(self);
        Ok(())
    }

    /// On Linux, a connection inherits all options from its listener, unless it came before the listener had them.
    fn prepare_connection(&self, io: &TcpStream, limits: &Limits) {
        let inherits = cfg!(any(target_os = "android", target_os = "linux"));
        if !inherits || !io.nodelay().unwrap_or(true) {
            let _ = limits.apply(io);
        }
    }

    fn from_tcp(socket: TcpStream) -> Option<(TcpStream, SocketAddr)> {
        let addr = socket.peer_addr().ok()?;
        Some((socket, addr))
    }
}

#[cfg(unix)]
impl Listener for tokio::net::UnixListener {
    type Io = tokio::net::UnixStream;
    type Addr = std::sync::Arc<tokio::net::unix::SocketAddr>;

    async fn accept(&mut self) -> io::Result<(Self::Io, Self::Addr)> {
        let (io, addr) = tokio::net::UnixListener::accept(self).await?;
        Ok((io, addr.into()))
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        tokio::net::UnixListener::local_addr(self).map(Into::into)
    }

    fn prepare(&self, _: &Limits) -> io::Result<()> {
        lengthen_queue(self);
        Ok(())
    }
}

/// Gives a listener the longest queue of new connections that the system allows (`net.core.somaxconn` on Linux): tokio and the
/// standard library ask for 1,024 and 128. Where listening again is not possible, the queue stays as it is.
#[cfg(unix)]
fn lengthen_queue(listener: &impl std::os::fd::AsFd) {
    let _ = rustix::net::listen(listener, i32::MAX);
}

#[cfg(not(unix))]
fn lengthen_queue<T>(_: &T) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::net::TcpStream as StdStream;
    use std::time::Duration;

    #[tokio::test]
    async fn many_clients_can_wait_to_be_accepted() {
        // The standard library asks for a queue of 128.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let addr = listener.local_addr().unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        listener.prepare(&Limits::default()).unwrap();
        let mut waiting = Vec::new();
        for n in 0..500 {
            let connected = StdStream::connect_timeout(&addr, Duration::from_secs(10));
            let mut client = connected.unwrap_or_else(|error| panic!("{error}, after {n}"));
            // A client is told that it is connected even if the queue is full; what it sends is not taken then.
            std::io::Write::write_all(&mut client, b"x").unwrap();
            waiting.push(client);
        }
        let queued = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let port = format!(":{:04X} ", addr.port());
        let line = queued.lines().find(|line| line.contains(&port) && line.contains(" 0A "));
        let queue = line.unwrap().split_whitespace().nth(4).unwrap();
        assert_eq!(queue, format!("00000000:{:08X}", waiting.len()));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_unix_socket_is_a_listener() {
        let directory = std::env::temp_dir().join(format!("tidings-net-{}", std::process::id()));
        let mut listener = tokio::net::UnixListener::bind(&directory).unwrap();
        listener.prepare(&Limits::default()).unwrap();
        let _client = tokio::net::UnixStream::connect(&directory).await.unwrap();
        let accepted = Listener::accept(&mut listener).await;
        std::fs::remove_file(&directory).unwrap();
        let (_, addr) = accepted.unwrap();
        assert_eq!(<tokio::net::UnixListener as Listener>::socket_addr(&addr), None);
    }

    #[tokio::test]
    async fn a_connection_that_came_before_the_listener_was_prepared_has_all_options() {
        let mut listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("its address");
        let early = TcpStream::connect(addr).await.expect("a connection");
        let limits = Limits::default();
        listener.prepare(&limits).expect("it takes all options");
        let late = TcpStream::connect(addr).await.expect("a connection");
        for _ in [early, late] {
            let (io, _) = Listener::accept(&mut listener).await.expect("a connection");
            listener.prepare_connection(&io, &limits);
            assert!(io.nodelay().expect("an option"));
            assert!(socket2::SockRef::from(&io).keepalive().expect("an option"));
        }
    }
}
