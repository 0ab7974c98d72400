use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

#[cfg(unix)]
use std::os::fd::AsFd as AsSocket;
#[cfg(windows)]
use std::os::windows::io::AsSocket;

use socket2::{SockRef, TcpKeepalive};

use crate::{Activity, Io, Network};

/// The limits of a server's connections, in time and number.
///
/// Every limit has a default that suits the open internet. Where a method takes `None`, that removes the limit. A time of
/// more than a year is a year.
///
/// ```
/// use std::time::Duration;
/// use tidings_net::Limits;
///
/// let limits = Limits::default()
///     .head_timeout(Duration::from_secs(10))
///     .connections_per_address(100);
/// # let _ = limits;
/// ```
///
/// The options of the sockets that come with them:
///
/// | option | value | purpose |
/// |---|---|---|
/// | `TCP_NODELAY` | on | events leave at once |
/// | `TCP_NOTSENT_LOWAT` (Linux, Android) | 64 KiB; 8 KiB for a stream of [`Retention::latest_per_key`](tidings::Retention::latest_per_key) on the direct transport | little waits in the kernel for a slow client, and the server sees its progress: otherwise the kernel takes megabytes, and a write that waits goes on only when the client has read about a third of them |
/// | keep-alive | see [`keepalive`](Self::keepalive) | a client that has vanished is found within a minute |
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Limits {
    pub(crate) keepalive: Option<Duration>,
    pub(crate) write_timeout: Option<Duration>,
    pub(crate) handshake_timeout: Option<Duration>,
    pub(crate) head_timeout: Option<Duration>,
    pub(crate) head_size: usize,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) body_timeout: Option<Duration>,
    pub(crate) connections: Option<usize>,
    pub(crate) connections_per_address: Option<usize>,
    pub(crate) proxies: Arc<[Network]>,
    pub(crate) proxy_protocol: bool,
    pub(crate) h2_streams: u32,
    pub(crate) h2_control_frames: Option<u32>,
}

/// How many bytes may wait in the kernel that were written and not sent: `TCP_NOTSENT_LOWAT`, which Linux and Android have. A
/// stalled write goes on when half of them were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Unsent {
    /// 64 KiB.
    Usual = 64 * 1024,
    /// 8 KiB, of a stream whose events supersede each other: what waits grows old.
    Little = 8 * 1024,
}

impl Unsent {
    /// Sets it on a socket of `std`, mio, tokio or socket2.
    ///
    /// # Errors
    ///
    /// If the system refuses it, for instance because the socket is not TCP.
    pub fn apply(self, socket: &impl AsSocket) -> io::Result<()> {
        #[cfg(any(target_os = "android", target_os = "linux"))]
        SockRef::from(socket).set_tcp_notsent_lowat(self as u32)?;
        #[cfg(not(any(target_os = "android", target_os = "linux")))]
        let _ = socket;
        Ok(())
    }
}

impl Limits {
    /// Sets how long a connection may be idle before the system probes its peer. It repeats the probe
    /// every 10 seconds, and ends the connection when three probes have failed. `None` for no probes.
    /// Default: 30 seconds. Systems count whole seconds. With axum and warp, a client of HTTP/2 is sent a PING
    /// as often. No answer to it is waited for, but one that has vanished does not acknowledge its bytes.
    pub fn keepalive(mut self, idle: impl Into<Option<Duration>>) -> Self {
        self.keepalive = bounded(idle);
        self
    }

    /// Sets how long written bytes may wait without any progress, before the connection ends: the
    /// other end's system acknowledges none of them (Linux, Android), or the connection takes none.
    /// A client whose system answers, but has no room, has longer, by the time in which a client that reads
    /// 32 KiB in this time would read what it has taken up, at most by four times this: by default, 150 seconds
    /// in all, and up to 15 until it is found. Over HTTP/2, a stream is reset of whose bytes none were sent for as
    /// long, because the client opens no window for them. `None`: only the system ends such connections, and such
    /// streams stay. Default: 30 seconds.
    pub fn write_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.write_timeout = bounded(timeout);
        self
    }

    /// Sets how long a client has for the handshake of TLS, and over HTTP/2 from the end of its preface to its
    /// settings; up to there, it has [`head_timeout`](Self::head_timeout). Default: 10 seconds.
    pub fn handshake_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.handshake_timeout = bounded(timeout);
        self
    }

    /// Sets how long the head of a request may take: the first one's from when the connection was
    /// accepted, so that it also limits the time to the first byte; a later one's from its first byte.
    /// With TLS, the first one's from the end of the handshake, for which there is
    /// [`handshake_timeout`](Self::handshake_timeout). If a part of it has come, the answer is 408; over
    /// HTTP/2, where other streams may be open, the connection ends without one. Default: 30 seconds.
    pub fn head_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.head_timeout = bounded(timeout);
        self
    }

    /// Sets how many bytes the head of a request may have. If there are more, the answer is 431.
    /// Default: 64 KiB. With actix-web, a head of HTTP/1 may not have more than 128 KiB, whatever is set
    /// (not tested). It may have as many soon after a request whose body the application did not read,
    /// because it may be more of that.
    pub fn head_size(mut self, bytes: usize) -> Self {
        self.head_size = bytes;
        self
    }

    /// Sets how long a connection may be idle after a response before it ends; a connection of HTTP/2,
    /// how long it may have no open stream. Default: 75 seconds.
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.idle_timeout = bounded(timeout);
        self
    }

    /// Sets how long the body of a request may bring no bytes while the application waits for it.
    /// Then the application gets an error. Default: 30 seconds.
    pub fn body_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.body_timeout = bounded(timeout);
        self
    }

    /// Sets how many connections there may be. At this number, and when the process has no more files, a new connection takes
    /// the place of one that waits for a request. Those go first that have waited for their next request for more than a
    /// second, or whose stream on the direct transport has ended; then those that have sent nothing; then those whose head has
    /// not come to its end; of each, the oldest. Those that came within the last second go last. If there is none, the new one
    /// is closed at once, or waits if there is not even a file with which to close it. Default: the number of files that the
    /// process may have (`RLIMIT_NOFILE`) less an eighth, of which no more than 1,024 are kept back; where systems have no such
    /// limit, no limit.
    pub fn connections(mut self, number: usize) -> Self {
        self.connections = Some(number);
        self
    }

    /// Sets how many connections a client's address may have, or a network of 64 bits of IPv6.
    /// One too many is closed at once, and takes nobody's place. Default: `None`, no limit, because many people
    /// may share an address.
    ///
    /// Connections of [`proxies`](Self::proxies) count for the client whose address they say. With
    /// `X-Forwarded-For`, they say it for each request: one too many is answered 429.
    pub fn connections_per_address(mut self, number: impl Into<Option<usize>>) -> Self {
        self.connections_per_address = number.into();
        self
    }

    /// Sets the addresses and networks of proxies, which are believed when they say a client's address
    /// in `X-Forwarded-For`: the last one in it that is not a proxy's. With any, so are those that connect by a Unix socket.
    /// Default: none.
    pub fn proxies<N: Into<Network>>(mut self, proxies: impl IntoIterator<Item = N>) -> Self {
        self.proxies = proxies.into_iter().map(Into::into).collect();
        self
    }

    /// Sets whether the [`proxies`](Self::proxies), by a Unix socket too, begin each connection with a header of the PROXY
    /// protocol, version 1 or 2, which says the client's address. Then a connection of theirs without
    /// it ends, and `X-Forwarded-For` is not read. Default: they do not.
    pub fn proxy_protocol(mut self, enabled: bool) -> Self {
        self.proxy_protocol = enabled;
        self
    }

    /// Sets how many open streams a connection of HTTP/2 may have. One too many is refused, and the
    /// client may try it again. Default: 250.
    pub fn h2_streams(mut self, number: u32) -> Self {
        self.h2_streams = number;
        self
    }

    /// Sets how many frames of HTTP/2 that carry no request a client may send each second, for which the
    /// server must do something: SETTINGS, PING, PRIORITY, RST_STREAM, CONTINUATION, DATA without
    /// data, and unknown ones. DATA with padding has none if it is so short that it may be all padding: 256 bytes.
    /// So count HEADERS that are neither a new request nor the trailers of one, a request that is refused, and each
    /// WINDOW_UPDATE beyond one for each request, and two for each frame of data that the client was sent and each KiB
    /// of it. It may save up those of 10 seconds. With more of them, the connection ends. Default: 100.
    pub fn h2_control_frames(mut self, each_second: impl Into<Option<u32>>) -> Self {
        self.h2_control_frames = each_second.into();
        self
    }

    /// How long written bytes may wait without any progress.
    pub fn write_timeout_value(&self) -> Option<Duration> {
        self.write_timeout
    }

    /// How long the body of a request may bring no bytes.
    pub fn body_timeout_value(&self) -> Option<Duration> {
        self.body_timeout
    }

    /// How long a connection may be idle before its peer is probed.
    pub fn keepalive_value(&self) -> Option<Duration> {
        self.keepalive
    }

    /// How many bytes the head of a request may have.
    pub fn head_size_value(&self) -> usize {
        self.head_size
    }

    /// How many open streams a connection of HTTP/2 may have.
    pub fn h2_streams_value(&self) -> u32 {
        self.h2_streams
    }

    /// Whether this address is a proxy's.
    pub(crate) fn is_proxy(&self, addr: IpAddr) -> bool {
        self.proxies.iter().any(|network| network.contains(addr))
    }

    /// Whether a connection with this other end is a proxy's. A Unix socket is, if there are any; one whose other end nobody
    /// knows is not.
    pub(crate) fn is_of_proxy(&self, peer: Option<SocketAddr>, io: &impl Io) -> bool {
        match peer {
            Some(peer) => self.is_proxy(peer.ip()),
            None => io.is_unix() && !self.proxies.is_empty(),
        }
    }

    /// The client's address by the values of `X-Forwarded-For` of a request on this connection: the last one in them that is
    /// not a proxy's; or the first one, if all are. `None` if the connection is not a proxy's, or names nobody.
    pub fn forwarded<'a>(
        &self,
        connection: &Activity,
        values: impl DoubleEndedIterator<Item = &'a [u8]>,
    ) -> Option<IpAddr> {
        if !connection.is_of_proxy() {
            return None;
        }
        let named = values.rev().flat_map(|value| value.rsplit(|&byte| byte == b','));
        let mut client = None;
        for addr in named.map_while(parse_forwarded) {
            client = Some(addr);
            if !self.is_proxy(addr) {
                break;
            }
        }
        client
    }

    /// Sets the options on a socket or listener of `std`, tokio or socket2.
    ///
    /// # Errors
    ///
    /// If the system refuses one, for instance because the socket is not TCP.
    pub fn apply(&self, socket: &impl AsSocket) -> io::Result<()> {
        Unsent::Usual.apply(socket)?;
        let socket = SockRef::from(socket);
        socket.set_tcp_nodelay(true)?;
        if let Some(idle) = self.keepalive {
            /// The most that Linux takes.
            const MOST: Duration = Duration::from_secs(32_767);

            let idle = idle.clamp(Duration::from_secs(1), MOST);
            let keepalive = TcpKeepalive::new().with_time(idle);
            #[cfg(not(target_os = "openbsd"))]
            let keepalive = keepalive.with_interval(Duration::from_secs(10));
            #[cfg(not(any(target_os = "openbsd", windows)))]
            let keepalive = keepalive.with_retries(3);
            socket.set_tcp_keepalive(&keepalive)?;
        }
        Ok(())
    }
}

/// As good as never, and short enough to be added to any moment.
pub(crate) const NEVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A limit in time, which may be added to any moment.
fn bounded(time: impl Into<Option<Duration>>) -> Option<Duration> {
    time.into().map(|time| time.min(NEVER))
}

/// An address of `X-Forwarded-For`, to which some proxies add a port.
fn parse_forwarded(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let addr = text.parse().ok();
    addr.or_else(|| text.parse().ok().map(|addr: SocketAddr| addr.ip()))
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        Self {
            keepalive: seconds(30),
            write_timeout: seconds(30),
            handshake_timeout: seconds(10),
            head_timeout: seconds(30),
            head_size: 64 * 1024,
            idle_timeout: seconds(75),
            body_timeout: seconds(30),
            connections: None,
            connections_per_address: None,
            proxies: Arc::default(),
            proxy_protocol: false,
            h2_streams: 250,
            h2_control_frames: Some(100),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    #[cfg(target_os = "linux")]
    fn connections_inherit_the_options_of_their_listener() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let limits = Limits::default();
        limits.apply(&listener).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (connection, _) = listener.accept().unwrap();
        let socket = SockRef::from(&connection);
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(30));
        // It would end connections whose clients are slow.
        assert_eq!(socket.tcp_user_timeout().unwrap(), None);
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), 64 * 1024);
    }

    #[test]
    fn without_keepalive_the_system_does_not_probe() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = SockRef::from(&listener);
        Limits::default().keepalive(None).apply(&listener).unwrap();
        assert!(!socket.keepalive().unwrap());
        Limits::default().apply(&listener).unwrap();
        assert!(socket.keepalive().unwrap());
    }

    #[test]
    fn a_limit_may_be_as_long_as_time_goes() {
        let limits = Limits::default().keepalive(Duration::MAX).idle_timeout(Duration::MAX);
        limits.apply(&TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
        assert_eq!(limits.idle_timeout, Some(NEVER));
        assert_eq!(limits.idle_timeout(None).idle_timeout, None);
    }
}
