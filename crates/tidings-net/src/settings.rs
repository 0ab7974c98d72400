use std::io;
use std::time::Duration;

#[cfg(unix)]
use std::os::fd::AsFd as AsSocket;
#[cfg(windows)]
use std::os::windows::io::AsSocket;

use socket2::{SockRef, TcpKeepalive};

/// The settings of a socket, or of a listener, whose connections inherit them.
///
/// | setting | default | what for |
/// |---|---|---|
/// | `TCP_NODELAY` | on | events leave at once |
/// | `TCP_NOTSENT_LOWAT` | 64 KiB | a slow client has little waiting in the kernel, and its progress is seen: without it, a write may wait until a third of some megabytes is read |
/// | [`keepalive`](Self::keepalive) | after 30 s, every 10 s, 3 times | a silent client that is gone is found within a minute |
/// | [`write_timeout`](Self::write_timeout) | 30 s | a client that takes nothing is let go: `TCP_USER_TIMEOUT` (RFC 5482) where the system has it |
///
/// Connections inherit all of them from their listener on Linux; on other systems at least
/// `TCP_NODELAY` and keep-alive. `TCP_USER_TIMEOUT` and `TCP_NOTSENT_LOWAT` are set on Linux and
/// Android only; elsewhere `WriteLimit` does its part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct SocketSettings {
    keepalive: Option<Duration>,
    write_timeout: Option<Duration>,
}

/// How many bytes may wait in the kernel that were not even sent. A write that is stalled goes on
/// when half of them are: with the default limit, a client has to read some 1 KiB a second.
#[cfg(any(target_os = "android", target_os = "linux"))]
const NOT_SENT: u32 = 64 * 1024;

impl SocketSettings {
    /// How long a connection may be silent before the system asks whether the other end is still
    /// there, which it then does every 10 seconds, and gives up after the third time. `None` for
    /// never. Default 30 seconds; systems count whole seconds.
    pub fn keepalive(mut self, idle: impl Into<Option<Duration>>) -> Self {
        self.keepalive = idle.into();
        self
    }

    /// How long what was written may stay unacknowledged, or unread by a client whose buffers are
    /// full, before the connection is ended. `None` for as long as the system likes. Default 30
    /// seconds.
    pub fn write_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.write_timeout = timeout.into();
        self
    }

    /// The time after which a connection that takes nothing is ended.
    pub fn write_timeout_value(&self) -> Option<Duration> {
        self.write_timeout
    }

    /// Sets them on a socket or listener: of `std`, tokio or socket2.
    ///
    /// # Errors
    ///
    /// When the system refuses one, for instance because the socket is not TCP.
    pub fn apply(&self, socket: &impl AsSocket) -> io::Result<()> {
        let socket = SockRef::from(socket);
        socket.set_tcp_nodelay(true)?;
        if let Some(idle) = self.keepalive {
            let keepalive = TcpKeepalive::new().with_time(idle.max(Duration::from_secs(1)));
            #[cfg(not(target_os = "openbsd"))]
            let keepalive = keepalive.with_interval(Duration::from_secs(10));
            #[cfg(not(any(target_os = "openbsd", windows)))]
            let keepalive = keepalive.with_retries(3);
            socket.set_tcp_keepalive(&keepalive)?;
        }
        #[cfg(any(target_os = "android", target_os = "linux"))]
        {
            socket.set_tcp_user_timeout(self.write_timeout)?;
            socket.set_tcp_notsent_lowat(NOT_SENT)?;
        }
        Ok(())
    }
}

impl Default for SocketSettings {
    fn default() -> Self {
        Self {
            keepalive: Some(Duration::from_secs(30)),
            write_timeout: Some(Duration::from_secs(30)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    #[cfg(target_os = "linux")]
    fn connections_inherit_the_settings_of_their_listener() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let settings = SocketSettings::default().write_timeout(Duration::from_secs(7));
        settings.apply(&listener).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (connection, _) = listener.accept().unwrap();
        let socket = SockRef::from(&connection);
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(30));
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(7)));
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), NOT_SENT);
    }

    #[test]
    fn everything_can_be_left_to_the_system() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let settings = SocketSettings::default().keepalive(None).write_timeout(None);
        settings.apply(&listener).unwrap();
        assert!(!SockRef::from(&listener).keepalive().unwrap());
    }
}
